/*
 * Pulumi's own backends lock a stack with a file that has no expiry: the lock of a runner which was lost stays, and stops every later
 * update. It may be removed only where it is certain that nobody is at work any more, which is known of our own deploy runs alone.
 */

/** The jobs of deploy.yml and channels.yml that update the stack (update.yml). */
export const updateJobs = ["move", "publish", "deploy"] as const;

/** A deploy of this repository: one attempt of a run, and which of its jobs. */
export interface Run {
  id: number;
  attempt: number;
  job: (typeof updateJobs)[number];
}

export interface Lock {
  /** "user@machine", as Pulumi says it; "somebody unknown" where it could not be read. */
  owner: string;
  since: string;
  /** The deploy run that made it; null: made by anybody else. */
  run: Run | null;
}

/** What GitHub says of a run. */
export interface RunState {
  run: Run;
  /** Of the job: "completed", "in_progress", ...; null: GitHub does not know it, or could not be asked. */
  status: string | null;
  /** The workflow's file, e.g. ".github/workflows/deploy.yml" (some answers add "@<ref>"). */
  workflow: string | null;
}

export type Decision = { cancel: true; why: string } | { cancel: false; why: string };

const refusal = /^error: the stack is currently locked by (\d+) lock\(s\)/m;
const lockLine = /^\s+\S+: created by (.+@(\S+)) \(pid \d+\) at (\S+)$/gm;
const deployWorkflow = /^\.github\/workflows\/(deploy|channels)\.yml(@|$)/;

const machinePattern = new RegExp(`^runner-images-(${updateJobs.join("|")})-(\\d{1,15})-(\\d{1,5})$`);

/** The machine's name which update.yml gives its runner, so that a lock tells which run made it. */
export function machineName({ id, attempt, job }: Run): string {
  return `runner-images-${job}-${id}-${attempt}`;
}

function runOf(machine: string): Run | null {
  const [, job, id, attempt] = machinePattern.exec(machine) ?? [];
  return id === undefined ? null : { id: Number(id), attempt: Number(attempt), job: job as Run["job"] };
}

/**
 * The locks for which an update was refused.
 * @param stderr what Pulumi wrote there
 * @returns null where it was not refused for a lock
 */
export function parseLocks(stderr: string): Lock[] | null {
  const count = refusal.exec(stderr)?.[1];
  if (count === undefined) return null;
  const locks = [...stderr.matchAll(lockLine)].map(([, owner, machine, since]) => ({
    owner: owner!,
    since: since!,
    run: runOf(machine!),
  }));
  // One that Pulumi counts and we cannot read is somebody's.
  while (locks.length < Number(count)) locks.push({ owner: "somebody unknown", since: "unknown", run: null });
  return locks;
}

/** The runs to ask GitHub about. */
export function runsOf(locks: Lock[]): Run[] {
  return locks.flatMap(({ run }) => run ?? []);
}

/** Whether the locks may be removed: every one of them was made by a deploy run of this repository which has ended. */
export function decide(stack: string, locks: Lock[], states: RunState[]): Decision {
  for (const { owner, since, run } of locks) {
    const problem = run === null ? "which is no deploy run" : stillAtWork(run, states);
    if (problem !== null) {
      return {
        cancel: false,
        why: `the stack ${stack} is locked by ${owner} since ${since}, ${problem}; wait until that update has ended, or, when you are sure that nobody is at work on it: pulumi cancel --stack ${stack} --yes`,
      };
    }
  }
  if (locks.length === 0) return { cancel: false, why: `the stack ${stack} names no lock` };
  const names = locks.map(({ run }) => `${run!.id} (attempt ${run!.attempt})`).join(", ");
  return { cancel: true, why: `removing the lock of the deploy run ${names}, which has ended without` };
}

function stillAtWork(run: Run, states: RunState[]): string | null {
  const state = states.find((known) => machineName(known.run) === machineName(run));
  if (state === undefined || state.status === null) return "a run which GitHub does not tell about";
  if (!deployWorkflow.test(state.workflow ?? ""))
    return `a run of ${state.workflow ?? "no known workflow"}, not of deploy.yml or channels.yml`;
  if (state.status !== "completed") return `a deploy run which is ${state.status}`;
  return null;
}
