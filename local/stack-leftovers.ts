import { readdir, readFile, readlink } from "node:fs/promises";
import { hostname } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { UserError } from "../release/process/errors.js";
import { say } from "../release/process/progress.js";

/** A lock of Pulumi's file backend: a file without expiry, which a killed engine leaves behind. */
const lockFile = z.object({ pid: z.number().int(), hostname: z.string() });

/** How long an engine whose `npm start` was killed may take to clean up before it counts as an update of somebody else. */
const cleanUpMs = 30_000;

const stateFile = z.object({
  checkpoint: z.object({ latest: z.object({ pending_operations: z.array(z.unknown()).optional() }) }),
});

/** What a killed engine has left in the file backend. */
export interface Leftovers {
  /** A lock that nobody holds any more: every update would refuse to run. */
  lock: boolean;
  /** Notes of commands that were cut off: every update would warn of them. Ours are all made to be repeated. */
  pendingOperations: boolean;
  /**
   * Files that were being written. Temporary ones were to become part of the state: nothing reads them, and nothing else would ever remove
   * them. Attributes beside a file make it unreadable ("EOF") where they are cut off, and are not needed.
   */
  cutOff: string[];
}

/** https://github.com/google/go-cloud/blob/master/blob/fileblob/fileblob.go (createTemp): the file's name, the time in hex. */
const temporaryFile = /\.[0-9a-f]+\.tmp$/;
/** https://github.com/google/go-cloud/blob/master/blob/fileblob/attrs.go: written in place, and read back unless missing. */
const attributes = /^(stacks|locks)\/.*\.attrs$/;

/**
 * @param state the folder of the file backend
 * @throws UserError when a live engine is at work on the stack
 */
export async function stackLeftovers(state: string, project: string, stack: string): Promise<Leftovers> {
  const lock = await hasStaleLock(state, project, stack);
  const text = await readFile(stackFile(state, project, stack), "utf8").catch(() => "");
  const stored = stateFile.safeParse(parseJson(text)).data;
  return {
    lock,
    pendingOperations: (stored?.checkpoint.latest.pending_operations ?? []).length > 0,
    cutOff: await findCutOff(path.join(state, ".pulumi")),
  };
}

/** Where the file backend keeps a stack. */
export function stackFile(state: string, project: string, stack: string): string {
  return path.join(state, ".pulumi", "stacks", project, `${stack}.json`);
}

/**
 * Whether the stack has a lock that nobody holds any more. Waits for an engine that is just ending.
 * @throws UserError when a live engine holds it
 */
async function hasStaleLock(state: string, project: string, stack: string): Promise<boolean> {
  const folder = path.join(state, ".pulumi", "locks", "organization", project, stack);
  const deadline = Date.now() + cleanUpMs;
  for (;;) {
    const locks = await readLocks(folder);
    const owner = await liveOwner(locks);
    if (owner === undefined) return locks.length > 0;
    if (Date.now() > deadline) {
      throw new UserError(
        `the stack ${stack} is being updated by process ${owner}; wait for it, or end it: kill -INT ${owner}`,
      );
    }
    say(`stack ${stack}: waiting for the engine of an earlier run (process ${owner}) to end`);
    await sleep(2_000);
  }
}

async function findCutOff(folder: string): Promise<string[]> {
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  const found = await Promise.all(
    names.map(async (name) => {
      const file = path.join(folder, name);
      return temporaryFile.test(name) || (attributes.test(name) && !(await isJson(file))) ? [file] : [];
    }),
  );
  return found.flat();
}

async function isJson(file: string): Promise<boolean> {
  return parseJson(await readFile(file, "utf8").catch(() => "")) !== undefined;
}

async function readLocks(folder: string): Promise<z.infer<typeof lockFile>[]> {
  const names = await readdir(folder).catch(() => []);
  const locks = [];
  for (const name of names.filter((entry) => entry.endsWith(".json"))) {
    const text = await readFile(path.join(folder, name), "utf8").catch(() => undefined);
    // It may be gone by now, or cut off by a kill: then nobody holds it.
    const parsed = text === undefined ? undefined : lockFile.safeParse(parseJson(text));
    if (parsed !== undefined) locks.push(parsed.data ?? { pid: 0, hostname: hostname() });
  }
  return locks;
}

async function liveOwner(locks: z.infer<typeof lockFile>[]): Promise<number | undefined> {
  for (const lock of locks) {
    // On another machine nothing can be looked up: treat it as alive.
    if (lock.hostname !== hostname() || (await isEngine(lock.pid))) return lock.pid;
  }
  return undefined;
}

/** The number may belong to another program by now. */
async function isEngine(pid: number): Promise<boolean> {
  const executable = await readlink(`/proc/${pid}/exe`).catch(() => "");
  return path.basename(executable.replace(/ \(deleted\)$/, "")) === "pulumi";
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
