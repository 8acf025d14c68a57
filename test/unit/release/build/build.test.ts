import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { buildDirectory, buildTools, findBuilt, mismatch } from "../../../../release/build/build.js";
import { requireTools } from "../../../../release/process/tools.js";
import { factsOf } from "../memory-store.js";

const commit = "c".repeat(40);
let root: string;

beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), "runner-images-build-"));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true });
});

describe("a built image", () => {
  async function write(name: string, text: string): Promise<void> {
    const folder = path.join(buildDirectory(root, commit, "x86_64"), "image", "build");
    await mkdir(folder, { recursive: true });
    await writeFile(path.join(folder, name), text);
  }
  const facts = factsOf("x86_64");

  it("is found by its disk and its facts", async () => {
    await write("ubuntu-x86_64.qcow2", "disk");
    await write("ubuntu-x86_64.build.json", JSON.stringify(facts));
    expect(await findBuilt(root, commit, "x86_64")).toEqual({
      path: path.join(root, `build/${commit}-x86_64/image/build/ubuntu-x86_64.qcow2`),
      facts,
    });
    expect(await findBuilt(root, commit, "aarch64")).toBeNull();
  });

  it.each([
    ["a disk alone", { "ubuntu-x86_64.qcow2": "disk" }],
    ["facts alone", { "ubuntu-x86_64.build.json": JSON.stringify(facts) }],
    ["an empty disk", { "ubuntu-x86_64.qcow2": "", "ubuntu-x86_64.build.json": JSON.stringify(facts) }],
    ["spoilt facts", { "ubuntu-x86_64.qcow2": "disk", "ubuntu-x86_64.build.json": "{" }],
  ])("is not %s, as a killed build may leave", async (_, files) => {
    for (const [name, text] of Object.entries(files)) await write(name, text);
    expect(await findBuilt(root, commit, "x86_64")).toBeNull();
  });

  it("is told from one made of something else", () => {
    const asked = { base: "debian", profile: "full", runner: "github" } as const;
    expect(mismatch({ ...facts, profile: "full" }, asked)).toBeNull();
    expect(mismatch(facts, { ...asked, base: "ubuntu" })).toBe("base debian, not ubuntu");
    expect(mismatch({ ...facts, profile: "small" }, asked)).toBe("profile small, not full");
    expect(mismatch(facts, { ...asked, runner: "fixture" })).toBe("runner github, not fixture");
  });

  it("is what it is where it was built before there were profiles", () => {
    expect(mismatch(facts, { base: "debian", profile: "full", runner: "github" })).toBeNull();
  });
});

describe("what a machine needs to build", () => {
  it("names every missing tool and the command that installs them", async () => {
    vi.stubEnv("PATH", root);
    await writeFile(path.join(root, "make"), "", { mode: 0o755 });
    await expect(requireTools(buildTools("aarch64"))).rejects.toThrow(
      "not installed: packer, qemu-system-aarch64, qemu-img, zstd: apt-get install packer qemu-system-arm qemu-utils zstd",
    );
  });

  it("takes a file that cannot be run for a missing tool", async () => {
    vi.stubEnv("PATH", root);
    await writeFile(path.join(root, "zstd"), "", { mode: 0o644 });
    await expect(requireTools(["zstd"])).rejects.toThrow("not installed: zstd: apt-get install zstd");
  });
});
