import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { execa } from "execa";
import { UserError } from "./errors.js";

/** Exit code of flock(1) for a lock that somebody else holds. */
const busy = 75;

/**
 * Does `work` while no other process on this machine does it under the same name. flock(1) holds the lock for as long
 * as our end of its pipe is open: the kernel gives it back however this process ends, so `kill -9` leaves nothing behind.
 * @param file names the lock: `<file>.lock` is made beside it, and its folder where that is missing
 * @param what what the other one is doing, for the error, e.g. "a download of ubuntu-x86_64"
 * @param waitSeconds how long to wait for the other one first: it may have been cancelled and be cleaning up
 * @throws UserError when the other one is still at it then
 */
export async function exclusively<T>(
  file: string,
  what: string,
  work: () => Promise<T>,
  waitSeconds = 10,
): Promise<T> {
  await mkdir(path.dirname(file), { recursive: true });
  const lock = `${file}.lock`;
  const holder = spawn(
    "flock",
    ["--wait", String(waitSeconds), "-E", String(busy), lock, "sh", "-c", "echo held; exec cat >/dev/null"],
    // A session of its own: Ctrl-C must not take the lock from a process that is still cleaning up.
    { stdio: ["pipe", "pipe", "inherit"], detached: true },
  );
  const ended = once(holder, "close") as Promise<[number | null]>;
  const held = await Promise.race([once(holder.stdout, "data").then(() => true), ended.then(() => false)]);
  if (!held) {
    const [code] = await ended;
    if (code !== busy) throw new Error(`flock ${lock} exited with ${code}`);
    const pid = (await readFile(lock, "utf8")).trim();
    const other = pid === "" ? `holder of ${lock}` : `process ${pid}`;
    throw new UserError(`${what} is already running on this machine (${other}): wait for it, or end it`);
  }
  try {
    await writeFile(lock, `${process.pid}\n`);
    return await work();
  } finally {
    holder.stdin.end();
    await ended;
  }
}

/** Whether a process on this machine, whichever, is at work under this name now. */
export async function isUnderWay(file: string): Promise<boolean> {
  const lock = `${file}.lock`;
  // flock would make it.
  if (!existsSync(lock)) return false;
  const { exitCode } = await execa("flock", ["--nonblock", "-E", String(busy), lock, "true"], {
    reject: false,
  });
  return exitCode === busy;
}
