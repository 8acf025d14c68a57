import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { UserError } from "../release/errors.js";
import { step } from "../release/progress.js";

const busyExitCode = 75;

export interface LockOptions {
  /** What to say when another process holds the lock; gets that process's id. */
  busy: (pid: string) => string;
  /** Seconds to wait for the other process first. */
  waitSeconds?: number;
}

/**
 * Runs `work` while holding a lock on a file. flock(1) holds it for us for as long as our end of a pipe is open, so the kernel
 * frees it however this process ends, and there is no such thing as a stale lock.
 * @throws UserError with `busy`'s text when another process holds the lock
 */
export async function withLock<T>(file: string, options: LockOptions, work: () => Promise<T>): Promise<T> {
  await mkdir(path.dirname(file), { recursive: true });
  const { busy, waitSeconds = 0 } = options;
  let release = await acquire(file, 0);
  if (release === undefined && waitSeconds > 0) {
    const pid = await readHolder(file);
    release = await step(`waiting for process ${pid} to finish`, () => acquire(file, waitSeconds));
  }
  if (release === undefined) throw new UserError(busy(await readHolder(file)));
  try {
    await writeFile(file, `${process.pid}\n`);
    return await work();
  } finally {
    await release();
  }
}

/** @returns how to release the lock; undefined when another process holds it */
async function acquire(file: string, waitSeconds: number): Promise<(() => Promise<void>) | undefined> {
  const holder = spawn(
    "flock",
    [
      ...["--timeout", String(waitSeconds), "--conflict-exit-code", String(busyExitCode)],
      ...[file, "sh", "-c", "echo held; exec cat >/dev/null"],
    ],
    // A session of its own: Ctrl-C on the terminal must not take the lock away from a run that is still cleaning up.
    { detached: true, stdio: ["pipe", "pipe", "inherit"] },
  );
  const ended = once(holder, "close") as Promise<[number | null]>;
  const held = await Promise.race([once(holder.stdout, "data").then(() => true), ended.then(() => false)]);
  if (held) {
    return async () => {
      holder.stdin.end();
      await ended;
    };
  }
  const [code] = await ended;
  if (code !== busyExitCode) throw new Error(`flock ${file} exited with ${code}`);
  return undefined;
}

async function readHolder(file: string): Promise<string> {
  const pid = (await readFile(file, "utf8").catch(() => "")).trim();
  return pid === "" ? "(unknown)" : pid;
}
