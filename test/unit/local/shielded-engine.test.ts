import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { shield } from "../../../local/shielded-engine.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "shielded-engine-"));
});
afterEach(() => rm(folder, { recursive: true }));

/** @param engine what is run as the engine, by sh */
async function shielded(engine: string, seconds = 60): Promise<string> {
  const file = path.join(folder, "it's an engine", "pulumi");
  await mkdir(path.dirname(file));
  await writeFile(file, `#!/bin/sh\n${engine}`, { mode: 0o755 });
  const script = path.join(folder, "shielded");
  await writeFile(script, shield(file, seconds), { mode: 0o755 });
  return script;
}

const read = (name: string) => readFile(path.join(folder, name), "utf8");

/** In place of npm start, which goes on after a Ctrl-C until the engine has ended. */
const parentCode = `process.on("SIGINT", () => {});
  require("node:child_process").spawn(process.argv[1], ["up"], { stdio: "ignore" });
  setInterval(() => {}, 60_000);`;

/** Runs it below a process which is then killed. @returns the PID that the engine wrote */
async function withKilledParent(
  script: string,
  before: (parent: number) => void = () => undefined,
): Promise<number> {
  const parent = spawn(process.execPath, ["-e", parentCode, script], { cwd: folder, detached: true });
  await vi.waitUntil(() => existsSync(path.join(folder, "running")), { timeout: 10_000 });
  before(parent.pid!);
  parent.kill("SIGKILL");
  await once(parent, "exit");
  return Number(await read("pid"));
}

const untilGone = (pid: number) =>
  vi.waitUntil(() => !existsSync(`/proc/${pid}`), { timeout: 20_000, interval: 20 });

describe("an engine of the local platform", () => {
  const told = (andThen: string) =>
    `trap 'echo told >> told; ${andThen}' TERM INT\necho $$ > pid\ntouch running\nwhile :; do sleep 0.1; done`;

  it("gets its arguments, and its exit code is ours", async () => {
    const script = await shielded('printf "%s|" "$@"; exit 7');
    const { stdout, exitCode } = await execa(script, ["up", "a b", "'"], { reject: false });
    expect([stdout, exitCode]).toEqual(["up|a b|'|", 7]);
  });

  it("is told where npm start is killed, and has time to clean up", async () => {
    const script = await shielded(told("sleep 1; echo cleaned up >> told; exit 0"));
    await untilGone(await withKilledParent(script));
    expect(await read("told")).toBe("told\ncleaned up\n");
  });

  it("is killed where it was told and does not end", async () => {
    const script = await shielded(told(""), 1);
    await untilGone(await withKilledParent(script));
    expect(await read("told")).toBe("told\n");
  });

  it("is not told of a Ctrl-C on the terminal, which reaches the group of npm start", async () => {
    const script = await shielded(told(""), 1);
    await untilGone(await withKilledParent(script, (parent) => process.kill(-parent, "SIGINT")));
    expect(await read("told")).toBe("told\n");
  });
});
