import { cp, mkdir, mkdtemp, readdir, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkout } from "../../../local/paths.js";

/** What `npm ci` writes of the packages it has installed. */
const npmsList = ".package-lock.json";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), "release-main-test-"));
  await cp(path.join(checkout, "release"), path.join(root, "release"), {
    recursive: true,
    preserveTimestamps: true,
  });
  for (const name of ["package.json", "tsconfig.json", "pins"])
    await symlink(path.join(checkout, name), path.join(root, name));
  await mkdir(path.join(root, "node_modules"));
  for (const name of await readdir(path.join(checkout, "node_modules")))
    if (name !== npmsList)
      await symlink(path.join(checkout, "node_modules", name), path.join(root, "node_modules", name));
  await writeFile(path.join(root, "node_modules", npmsList), "{}");
});
afterEach(() => rm(root, { recursive: true }));

const run = (...args: string[]) =>
  execa("node", ["release/main.mjs", ...args], {
    cwd: root,
    // No store anywhere.
    env: { AWS_REGION: "", AWS_DEFAULT_REGION: "", AWS_ENDPOINT_URL: "", AWS_ENDPOINT_URL_S3: "" },
    reject: false,
  });
const bundles = async () =>
  (await readdir(path.join(root, ".local"))).filter((name) => name.startsWith("release-")).sort();

const usage = /^Usage: release fetch /;

describe("release/main.mjs", () => {
  it("puts the modules together once, and again when one of them is another", async () => {
    expect((await run("fetch", "--help")).stdout).toMatch(usage);
    const first = await bundles();
    expect(first).toHaveLength(1);
    const entry = path.join(root, ".local", first[0]!, "cli.mjs");
    await writeFile(entry, `process.stdout.write("the bundle that was there");`);
    // Whoever puts another one together writes it there first.
    const written = async () => (await stat(path.join(root, ".local"))).mtimeMs;
    const before = await written();
    expect((await run("fetch", "--help")).stdout).toBe("the bundle that was there");
    expect(await written()).toBe(before);
    // Of the same length, a moment later.
    const now = new Date();
    await utimes(path.join(root, "release", "store", "keys.ts"), now, now);
    expect((await run("fetch", "--help")).stdout).toMatch(usage);
    expect(await bundles()).toHaveLength(2);
  });

  it("puts the packages in, and does so again when they were installed anew", async () => {
    expect((await run("fetch", "--help")).stdout).toMatch(usage);
    await rm(path.join(root, "node_modules", "commander"));
    expect((await run("fetch", "--help")).stdout).toMatch(usage);
    const now = new Date();
    await utimes(path.join(root, "node_modules", npmsList), now, now);
    expect((await run("fetch", "--help")).stderr).toMatch(/'commander'/);
  });

  it("puts each part of it so that it can be loaded, with its packages", async () => {
    await run("fetch", "--help");
    const folder = path.join(root, ".local", (await bundles())[0]!);
    const parts = (await readdir(folder)).filter((name) => name !== "cli.mjs");
    expect(parts.length).toBeGreaterThan(20);
    const script = parts
      .map((name) => `await import(${JSON.stringify(path.join(folder, name))});`)
      .join("\n");
    const loaded = await execa("node", ["--input-type=module"], { input: script, cwd: root, reject: false });
    expect(loaded.stderr).toBe("");
    expect(loaded.exitCode).toBe(0);
  });

  it("loads what only some commands need, and passes on how it ends", async () => {
    const { exitCode, stderr } = await run("status", "--bucket", "images", "--json");
    expect(stderr.trim().split("\n").at(-1)).toBe("error: no region: set AWS_REGION");
    expect(exitCode).toBe(1);
    expect((await run("status", "--no-such")).exitCode).toBe(2);
  });

  it("leaves one bundle where many begin at the same time", async () => {
    const runs = await Promise.all(Array.from({ length: 4 }, () => run("fetch", "--help")));
    for (const { stdout, stderr } of runs) expect(stdout, stderr).toMatch(usage);
    expect(await bundles()).toEqual([expect.stringMatching(/^release-[0-9a-f]{16}$/)]);
  });

  it("removes what was not used for a day, the half of a killed run too, and nothing else", async () => {
    const local = path.join(root, ".local");
    const longAgo = new Date(Date.now() - 25 * 60 * 60 * 1000);
    for (const name of ["release-0", "release-1.77.part", "release-2", "other"]) {
      await mkdir(path.join(local, name), { recursive: true });
      if (name !== "release-2") await utimes(path.join(local, name), longAgo, longAgo);
    }
    await run("fetch", "--help");
    const left = await readdir(local);
    expect(left).toHaveLength(3);
    expect(left).toEqual(
      expect.arrayContaining(["other", "release-2", expect.stringMatching(/^release-[0-9a-f]{16}$/)]),
    );
  });

  it("keeps a bundle that was used today, however old it is", async () => {
    await run("fetch", "--help");
    const [first] = await bundles();
    const longAgo = new Date(Date.now() - 25 * 60 * 60 * 1000);
    await utimes(path.join(root, ".local", first!), longAgo, longAgo);
    await run("fetch", "--help");
    const now = new Date();
    await utimes(path.join(root, "release", "store", "keys.ts"), now, now);
    await run("fetch", "--help");
    expect(await bundles()).toHaveLength(2);
  });

  it("runs the modules as they are where nothing can be written", async () => {
    await writeFile(path.join(root, ".local"), "no folder");
    const { stdout, exitCode, stderr } = await run("fetch", "--help");
    expect(stdout, stderr).toMatch(usage);
    expect(exitCode).toBe(0);
  });

  it("says what is wrong with a module that cannot be translated", async () => {
    await writeFile(path.join(root, "release", "store", "keys.ts"), "export const = 1;\n");
    const { stderr, exitCode } = await run("fetch", "--help");
    expect(exitCode).not.toBe(0);
    expect(stderr).toMatch(/keys\.ts:1:13/);
  });
});
