import { execFile } from "node:child_process";
import { constants, openSync } from "node:fs";
import { mkdtemp, open, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { promisify } from "node:util";

/**
 * What a child's standard streams are made of. Node's own `stdio: "pipe"` is a socket, and a script which opens
 * /dev/stderr or /dev/stdin by name (`tee /dev/stderr`) fails on a socket; under the official plugin it works.
 * Neither has a name in the file system when it is returned.
 */

/** A pipe. Node has no pipe(2), so this one began as a named pipe. The read end does not block, the write end does. */
export async function openPipe(): Promise<{ read: number; write: number }> {
  return await inFolder(async (folder) => {
    const name = path.join(folder, "pipe");
    await promisify(execFile)("mkfifo", ["-m", "600", name]);
    // In this order, and the first without blocking, since each open waits for the other end.
    const read = openSync(name, constants.O_RDONLY | constants.O_NONBLOCK);
    return { read, write: openSync(name, constants.O_WRONLY) };
  });
}

/**
 * A file to read a text from, as bash does for a here-document: opening a named pipe by its descriptor would block
 * for good once the writer is through.
 */
export async function openText(text: string): Promise<number> {
  return await inFolder(async (folder) => {
    const name = path.join(folder, "text");
    const file = await open(name, "wx", 0o600);
    try {
      await file.writeFile(text);
    } finally {
      await file.close();
    }
    return openSync(name, "r");
  });
}

/** Removes the folders of providers that were killed while they had one: a few milliseconds for each stream. */
export async function removeLeftFolders(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const [, pid] = /^command-provider-(\d+)-/.exec(name) ?? [];
    if (pid === undefined || isRunning(Number(pid))) continue;
    // Another user's stays.
    await rm(path.join(tmpdir(), name), { recursive: true, force: true }).catch(() => undefined);
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(path.join(tmpdir(), `command-provider-${process.pid}-`));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
