import { readdir, readFile } from "node:fs/promises";
import { execa, type Options } from "execa";
import { cpuTimes, type Side } from "./result.js";

/** What a command and all its descendants took. */
export interface Measured {
  seconds: number;
  /** Of those that were waited for: servers that were started before do not count. */
  cpuSeconds: number;
  /** Of a server, meanwhile. */
  serverSeconds?: number;
  /** Peak of all together, bytes. */
  memory: number;
}

/**
 * Runs a command to its end.
 * @param server the process that works for it
 * @throws where it fails
 */
export async function measure(
  command: string,
  args: string[],
  options: Options,
  server?: number,
): Promise<Measured> {
  const serverBefore = server === undefined ? 0 : (await cpuTimes(server)).own;
  const [start, before] = [performance.now(), await cpuTimes()];
  const child = execa(command, args, { stdio: ["ignore", "ignore", "inherit"], ...options });
  let memory = 0;
  // Not more often: looking costs time, which the one that uses all cores would pay alone.
  const sampling = setInterval(() => {
    void residentMemory(child.pid!).then((bytes) => (memory = Math.max(memory, bytes)));
  }, 200);
  try {
    await child;
  } finally {
    clearInterval(sampling);
  }
  const seconds = (performance.now() - start) / 1000;
  return {
    seconds,
    cpuSeconds: (await cpuTimes()).children - before.children,
    ...(server !== undefined && { serverSeconds: (await cpuTimes(server)).own - serverBefore }),
    memory,
  };
}

/** As a side of a comparison. */
export function sideOf(name: string, runs: (Measured & { bytes?: number })[]): Side {
  const bytes = runs.flatMap((run) => run.bytes ?? []);
  const server = runs.flatMap((run) => run.serverSeconds ?? []);
  return {
    name,
    rounds: {
      seconds: runs.map((run) => Number(run.seconds.toFixed(2))),
      cpuSeconds: runs.map((run) => Number(run.cpuSeconds.toFixed(2))),
      ...(server.length > 0 && { serverSeconds: server.map((seconds) => Number(seconds.toFixed(2))) }),
      ...(bytes.length > 0 && { megabytes: bytes.map((count) => count / 1e6) }),
      mebibytes: runs.map((run) => Math.round(run.memory / 1024 ** 2)),
    },
  };
}

/** Resident memory of a process and all its descendants, in bytes. Pages they share count for each, in our disfavour. */
async function residentMemory(pid: number): Promise<number> {
  try {
    const status = await readFile(`/proc/${pid}/status`, "utf8");
    const own = Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
    const tasks = await readdir(`/proc/${pid}/task`);
    const children = await Promise.all(
      tasks.map((task) => readFile(`/proc/${pid}/task/${task}/children`, "utf8")),
    );
    const pids = children
      .join(" ")
      .split(/\s+/)
      .filter((text) => text !== "");
    const below = await Promise.all(pids.map((child) => residentMemory(Number(child))));
    return below.reduce((sum, bytes) => sum + bytes, own);
  } catch {
    // It has just ended.
    return 0;
  }
}
