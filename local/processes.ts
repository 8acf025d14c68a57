import { readdir, readFile, readlink } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

/**
 * One process, told from any later one that gets the same number: process ids are reused, but not with the same start time
 * in the same boot.
 */
export interface ProcessIdentity {
  pid: number;
  /** Clock ticks between boot and the start of the process. */
  startTicks: number;
  bootId: string;
  /** Absolute path of the program it runs. */
  executable: string;
}

/** What /proc/<pid>/stat says. The name in it may hold spaces and parentheses, so fields count from the last parenthesis. */
export function parseStat(text: string): { state: string; session: number; startTicks: number } {
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  return { state: fields[0] ?? "", session: Number(fields[3]), startTicks: Number(fields[19]) };
}

/** The identity of a live process; undefined when there is none (a zombie is none) or it belongs to someone else. */
export async function identify(pid: number): Promise<ProcessIdentity | undefined> {
  try {
    const [stat, bootId, executable] = await Promise.all([
      readFile(`/proc/${pid}/stat`, "utf8"),
      readFile("/proc/sys/kernel/random/boot_id", "utf8"),
      readlink(`/proc/${pid}/exe`),
    ]);
    const { state, startTicks } = parseStat(stat);
    if (state === "Z" || state === "X") return undefined;
    return { pid, startTicks, bootId: bootId.trim(), executable: executable.replace(/ \(deleted\)$/, "") };
  } catch {
    return undefined;
  }
}

/** Whether the very process that was recorded still runs. */
export async function isAlive(recorded: ProcessIdentity): Promise<boolean> {
  const now = await identify(recorded.pid);
  return now?.startTicks === recorded.startTicks && now.bootId === recorded.bootId;
}

/**
 * The live processes of the session that `leader` started, itself included: nginx's workers outlive a killed master.
 * While any of them lives, the kernel gives the session's number to no new process.
 */
export async function sessionMembers(leader: ProcessIdentity): Promise<number[]> {
  const current = await identify(leader.pid);
  if (current !== undefined && !(await isAlive(leader))) return [];
  const members: number[] = [];
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const member = await identify(Number(entry));
    if (member?.bootId !== leader.bootId || member.executable !== leader.executable) continue;
    const stat = await readFile(`/proc/${entry}/stat`, "utf8").catch(() => "");
    if (stat !== "" && parseStat(stat).session === leader.pid) members.push(member.pid);
  }
  return members;
}

/**
 * Ends a process and all of its session: `signal` to the leader, SIGKILL to what is left after `graceMs`.
 * Does nothing when it is gone, and never touches a foreign process that was given its number.
 */
export async function endSession(
  leader: ProcessIdentity,
  signal: NodeJS.Signals,
  graceMs: number,
): Promise<void> {
  if (await isAlive(leader)) {
    send(leader.pid, signal);
    const deadline = Date.now() + graceMs;
    while (Date.now() < deadline && (await isAlive(leader))) await sleep(20);
  }
  for (;;) {
    const left = await sessionMembers(leader);
    if (left.length === 0) return;
    for (const pid of left) send(pid, "SIGKILL");
    await sleep(20);
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    // It ended by itself in between.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
