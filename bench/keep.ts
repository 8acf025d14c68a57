/** Runs benches, and keeps the newest result of each together with where it was measured. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { arch, cpus, loadavg, tmpdir, totalmem } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { format, resolveConfig } from "prettier";
import { z } from "zod";
import { checkout, platformPaths } from "../local/paths.js";
import { findEngine } from "../local/tools/engine.js";
import { resolveAccelerator } from "../release/boot/accelerator.js";
import { say } from "../release/process/progress.js";
import { benchResult, brokenPromises, type BenchResult } from "./result.js";

/** In the order of docs/benchmarks.md; each is a file here. */
export const benches = ["publish", "fetch", "delta", "noop", "merge", "age", "move", "boot", "build"];

const conditions = z.object({
  /** ISO 8601, to the day. */
  date: z.string(),
  /** Of HEAD; with a `+` where something was changed and not committed. */
  commit: z.string(),
  machine: z.object({
    cpu: z.string(),
    cores: z.number(),
    memoryGiB: z.number(),
    /** How guests run here. */
    accelerator: z.string(),
    /** Of one minute, when the bench began. */
    load: z.number(),
  }),
  /** Of tools, by name. */
  versions: z.record(z.string(), z.string()),
});
export type Conditions = z.infer<typeof conditions>;

const kept = z.object({ conditions, result: benchResult });
export type Kept = z.infer<typeof kept>;

/** @returns undefined where a bench was never measured */
export async function readKept(folder: string, name: string): Promise<Kept | undefined> {
  try {
    return kept.parse(JSON.parse(await readFile(path.join(folder, `${name}.json`), "utf8")));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/**
 * Runs one bench in a process of its own and keeps its result; where there is none, that of before stays.
 * @returns what went wrong, in lines: promises that are broken, or that it died
 */
export async function runBench(file: string, folder: string, where: Conditions): Promise<string[]> {
  const { name } = path.parse(file);
  const temporary = await mkdtemp(path.join(tmpdir(), "runner-images-bench-"));
  try {
    const handed = path.join(temporary, "result.json");
    const { exitCode, signal } = await execa("node", ["--import", import.meta.resolve("tsx"), file], {
      env: { BENCH_RESULT: handed },
      stdio: "inherit",
      reject: false,
    });
    const text = await readFile(handed, "utf8").catch(() => undefined);
    const died = exitCode === 0 ? [] : [`${name}: ended with ${signal ?? exitCode}`];
    if (text === undefined) return [...died, `${name}: gave no result; the one of before stays`];
    const result: BenchResult = benchResult.parse(JSON.parse(text));
    await mkdir(folder, { recursive: true });
    const kept = path.join(folder, `${name}.json`);
    const style = await resolveConfig(kept);
    const json = JSON.stringify({ conditions: where, result } satisfies Kept);
    await writeFile(kept, await format(json, { ...style, parser: "json" }));
    return [...died, ...brokenPromises(result)];
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

/** Where and on what a bench is about to be run. */
export async function conditionsHere(): Promise<Conditions> {
  const load = Number(loadavg()[0]!.toFixed(2));
  const version = async (command: string, args: string[]) => {
    const { stdout } = await execa(command, args, { reject: false, all: true });
    return /\d+(\.\d+)+/.exec(stdout ?? "")?.[0] ?? "none";
  };
  const git = async (...args: string[]) => (await execa("git", args, { cwd: checkout })).stdout;
  // What benches write is no change of what they measure.
  const changed = await git("status", "--porcelain", "--", ".", ":!docs", ":!README.md");
  const own = arch() === "arm64" ? "aarch64" : "x86_64";
  const engine = await findEngine(platformPaths());
  return {
    date: new Date().toISOString().slice(0, 10),
    commit: (await git("rev-parse", "--short=12", "HEAD")) + (changed === "" ? "" : "+"),
    machine: {
      cpu: cpus()[0]?.model.trim() ?? own,
      cores: cpus().length,
      memoryGiB: Math.round(totalmem() / 1024 ** 3),
      accelerator: (await resolveAccelerator("auto", own)) === "kvm" ? "KVM" : "no KVM (emulation)",
      load,
    },
    versions: {
      Node: process.versions.node,
      engine: engine === undefined ? "none" : await version(engine, ["version"]),
      QEMU: await version(`qemu-system-${own}`, ["--version"]),
      zstd: await version("zstd", ["--version"]),
    },
  };
}

/** @returns the lines of all that went wrong; one bench that dies stops no other */
export async function runBenches(names: readonly string[], folder: string): Promise<string[]> {
  const wrong: string[] = [];
  for (const name of names) {
    say(`\n== ${name} ==`);
    wrong.push(
      ...(await runBench(path.join(import.meta.dirname, `${name}.ts`), folder, await conditionsHere())),
    );
  }
  return wrong;
}
