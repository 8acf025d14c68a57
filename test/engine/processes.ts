import { readdir, readFile } from "node:fs/promises";

/**
 * The live processes of a run, wherever in the process tree they are: they are told a folder for temporary files which no others
 * are told, and hand it on, also to builds and guests, which are told next to nothing.
 */
export async function processesOf(tmpdir: string): Promise<{ pid: number; command: string }[]> {
  const found = [];
  for (const entry of await readdir("/proc")) {
    if (!/^\d+$/.test(entry)) continue;
    const [environment, command] = await Promise.all(
      ["environ", "cmdline"].map((name) => readFile(`/proc/${entry}/${name}`, "utf8").catch(() => "")),
    );
    if (environment!.split("\0").includes(`TMPDIR=${tmpdir}`))
      found.push({ pid: Number(entry), command: command!.replaceAll("\0", " ") });
  }
  return found;
}

/** Ends a process, or with a negative number a process group, with SIGKILL; one that has ended already is no error. */
export function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    // It died with its parent, just before.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
