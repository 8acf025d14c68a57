import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { removeLeftFolders } from "../../../local/command-provider/pipe.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "pipe-"));
  vi.stubEnv("TMPDIR", folder);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

it("removes what a killed command provider left, and nothing of one that runs or of anybody else", async () => {
  const { pid: ended } = spawnSync("true");
  const others = [`command-provider-${process.pid}-b`, `command-provider-x-${ended}-c`, `${ended}`].sort();
  for (const name of [`command-provider-${ended}-a`, ...others])
    await mkdir(path.join(folder, name, "pipe"), { recursive: true });
  await removeLeftFolders();
  expect((await readdir(folder)).sort()).toEqual(others);
});
