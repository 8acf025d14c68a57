import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { identify } from "../../../local/processes.js";
import { shield } from "../../../local/shielded-engine.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "shielded-engine-"));
});
afterEach(() => rm(folder, { recursive: true }));

/** @param engine what is run as the engine, by Node, as CommonJS */
async function shielded(engine: string, seconds = 60): Promise<string> {
  const file = path.join(folder, "it's an engine", "pulumi");
  await mkdir(path.dirname(file));
  await writeFile(file, `#!${process.execPath}\n${engine}`, { mode: 0o755 });
  const script = path.join(folder, "shielded");
  await writeFile(script, shield(file, seconds), { mode: 0o755 });
  return script;
}

const read = (name: string) => readFile(path.join(folder, name), "utf8");

/** In place of npm start, which goes on after a Ctrl-C until the engine has ended. */
const parentCode = `process.on("SIGINT", () => {});
  require("node:child_process").spawn(process.argv[1], ["up"], { stdio: "ignore" });
  setInterval(() => {}, 60_000);`;

/** Notes what it is told, and ends when it is told that its clean-up is over (SIGUSR1). */
const engineCode = `const { appendFileSync, writeFileSync } = require("node:fs");
  for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => appendFileSync("told", signal + "\\n"));
  process.on("SIGUSR1", () => process.exit());
  writeFileSync("pid", String(process.pid));
  writeFileSync("running", "");
  setInterval(() => {}, 60_000);`;

const until = (condition: () => boolean | Promise<boolean>) =>
  vi.waitUntil(condition, { timeout: 20_000, interval: 20 });
const isThere = (name: string) => () => existsSync(path.join(folder, name));
const untilGone = (pid: number) => until(async () => (await identify(pid)) === undefined);

/** Runs it below a process which is then killed. @returns the PID that the engine wrote */
async function withKilledParent(
  script: string,
  before: (parent: number) => void = () => undefined,
): Promise<number> {
  const parent = spawn(process.execPath, ["-e", parentCode, script], { cwd: folder, detached: true });
  await until(isThere("running"));
  before(parent.pid!);
  parent.kill("SIGKILL");
  await once(parent, "exit");
  return Number(await read("pid"));
}

describe("an engine of the local platform", () => {
  it("gets its arguments, and its exit code is ours", async () => {
    const script = await shielded("console.log(process.argv.slice(2)); process.exit(7)");
    const { stdout, exitCode } = await execa(script, ["up", "a b", "'"], { reject: false });
    expect([stdout, exitCode]).toEqual([`[ 'up', 'a b', "'" ]`, 7]);
  });

  it("is told where npm start is killed, and has time to clean up", async () => {
    const pid = await withKilledParent(await shielded(engineCode));
    await until(isThere("told"));
    expect(await identify(pid)).toBeDefined();
    process.kill(pid, "SIGUSR1");
    await untilGone(pid);
    expect(await read("told")).toBe("SIGTERM\n");
  });

  it("is killed where it was told and does not end", async () => {
    await untilGone(await withKilledParent(await shielded(engineCode, 1)));
    expect(await read("told")).toBe("SIGTERM\n");
  });

  it("is not told of a Ctrl-C on the terminal, which reaches the group of npm start", async () => {
    const script = await shielded(engineCode, 1);
    await untilGone(await withKilledParent(script, (parent) => process.kill(-parent, "SIGINT")));
    expect(await read("told")).toBe("SIGTERM\n");
  });
});
