import { readFile, writeFile } from "node:fs/promises";
import { z } from "zod";
import { say } from "../release/process/progress.js";
import { median } from "./median.js";

/** What is counted. Of several rounds the median counts, of memory the most. */
export const quantities = {
  seconds: { heading: "seconds", short: "s" },
  /** Of all processes that ended, without servers: what a busy machine leaves as it is. */
  cpuSeconds: { heading: "CPU seconds", short: "s" },
  /** Of a server that was there before, while it worked for the one that is measured. */
  serverSeconds: { heading: "CPU seconds of the server", short: "s" },
  megabytes: { heading: "MB", short: "MB" },
  mebibytes: { heading: "peak memory, MiB", short: "MiB" },
  changes: { heading: "resources changed", short: "" },
} as const;
export type Quantity = keyof typeof quantities;
const quantity = z.enum(Object.keys(quantities) as [Quantity, ...Quantity[]]);

const side = z.object({
  /** Markdown. */
  name: z.string(),
  /** What each round gave. */
  rounds: z.partialRecord(quantity, z.array(z.number()).min(1)),
});

const promise = z.object({
  quantity,
  /** The names of two sides, the first of which is divided by the second; with one only it is the quantity itself. */
  of: z.string(),
  by: z.string().nullable(),
  /** Null: shown, and not promised. */
  atMost: z.number().nullable(),
});

/** Sides that were measured in turns: one table, one plot. What grows has a side for each of its sizes. */
const comparison = z.object({ title: z.string(), sides: z.array(side).min(1), promises: z.array(promise) });

export const benchResult = z.object({
  /** Of the file bench/<name>.ts. */
  name: z.string(),
  title: z.string(),
  /** Markdown: what is compared, and what with. */
  about: z.string(),
  comparisons: z.array(comparison).min(1),
  /** Markdown: what the figures do not say by themselves, and what was not measured. */
  notes: z.array(z.string()),
});

export type Side = z.infer<typeof side>;
export type BenchPromise = z.infer<typeof promise>;
export type Comparison = z.infer<typeof comparison>;
export type BenchResult = z.infer<typeof benchResult>;

/** What counts of a side's rounds; undefined where the side was not asked for that. */
export function figure({ rounds }: Side, quantity: Quantity): number | undefined {
  const values = rounds[quantity];
  if (values === undefined) return undefined;
  return quantity === "mebibytes" ? Math.max(...values) : median(values, (value) => value);
}

/** @returns the ratio or quantity that a promise is about, and whether it was kept */
export function judge({ sides }: Comparison, promise: BenchPromise): { value: number; kept: boolean } {
  const of = (name: string) => {
    const found = sides.find((side) => side.name === name);
    const value = found === undefined ? undefined : figure(found, promise.quantity);
    if (value === undefined) throw new Error(`a promise is about ${name}, of which there is no such figure`);
    return value;
  };
  const value = promise.by === null ? of(promise.of) : of(promise.of) / of(promise.by);
  return { value, kept: promise.atMost === null || value <= promise.atMost };
}

/** One line for each promise that was not kept. */
export function brokenPromises({ name, comparisons }: BenchResult): string[] {
  return comparisons.flatMap((comparison) =>
    comparison.promises
      .filter((promise) => !judge(comparison, promise).kept)
      .map((promise) => {
        const what = promise.by === null ? promise.of : `${promise.of} / ${promise.by}`;
        const value = Number(judge(comparison, promise).value.toPrecision(3));
        return `${name}: ${comparison.title}: ${quantities[promise.quantity].heading} of ${what}: ${value}, promised: at most ${promise.atMost}`;
      }),
  );
}

/** Hands a bench's result over to bench/run.ts; a bench that was started by itself prints it. */
export async function report(result: BenchResult): Promise<void> {
  const text = JSON.stringify(benchResult.parse(result), undefined, 2);
  const file = process.env["BENCH_RESULT"];
  if (file === undefined) process.stdout.write(`${text}\n`);
  else await writeFile(file, text);
}

/**
 * Measures the contestants in turns, so that what else the machine does falls on all of them.
 * @returns of each round the seconds until the contestant has ended, and what it and the processes that it waited for used
 */
export async function inTurns<Name extends string>(
  rounds: number,
  contestants: Record<Name, () => Promise<unknown>>,
): Promise<Record<Name, { seconds: number[]; cpuSeconds: number[] }>> {
  const names = Object.keys(contestants) as Name[];
  const empty = names.map((name) => [name, { seconds: [], cpuSeconds: [] }]);
  const measured = Object.fromEntries(empty) as Record<Name, { seconds: number[]; cpuSeconds: number[] }>;
  for (let round = 1; round <= rounds; round++) {
    for (const name of names) {
      const start = [performance.now() / 1000, await cpuSeconds()] as const;
      await contestants[name]();
      const [seconds, cpu] = [performance.now() / 1000 - start[0], (await cpuSeconds()) - start[1]];
      measured[name].seconds.push(Number(seconds.toFixed(3)));
      measured[name].cpuSeconds.push(Number(cpu.toFixed(2)));
      say(`round ${round} of ${rounds}: ${name} ${seconds.toFixed(2)} s, CPU ${cpu.toFixed(2)} s`);
    }
  }
  return measured;
}

async function cpuSeconds(): Promise<number> {
  const { own, children } = await cpuTimes();
  return own + children;
}

/**
 * What a process used, and what those did that it and they waited for, in seconds: utime, stime, cutime and cstime of
 * proc_pid_stat(5), in ticks of 10 ms; after the name, which may hold anything.
 */
export async function cpuTimes(pid: number | "self" = "self"): Promise<{ own: number; children: number }> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [utime, stime, cutime, cstime] = fields.slice(11, 15).map(Number) as [number, number, number, number];
  return { own: (utime + stime) / 100, children: (cutime + cstime) / 100 };
}
