import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  buildDirectory,
  buildImage,
  buildTools,
  findBuilt,
  mismatch,
} from "../../../../release/build/build.js";
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

describe("a guest that dies while it is built, which Packer does not see", () => {
  const panic = "[   12.3] Kernel panic - not syncing: Fatal exception in interrupt\r\n";
  const fault = `[   12.2] Oops: int3: 0000 [#1] PREEMPT SMP NOPTI\r\n${panic}`;
  const image = () => path.join(buildDirectory(root, commit, "x86_64"), "image");

  /** Builds an image of which each build but the first `deaths` goes well; those leave a console and then hang. */
  async function build(
    consoleText: string,
    { deaths, accelerator }: { deaths: number; accelerator: "tcg" | "kvm" },
  ) {
    await mkdir(path.join(image(), "build/x86_64"), { recursive: true });
    await writeFile(path.join(image(), "console"), consoleText);
    await writeFile(path.join(image(), "facts"), JSON.stringify(factsOf("x86_64")));
    await writeFile(path.join(image(), "Makefile"), "%:\n\t@sh build.sh\n");
    await writeFile(
      path.join(image(), "build.sh"),
      `echo >> attempts
      if [ $(wc -l < attempts) -le ${deaths} ]; then cp console build/x86_64/console.log; exec sleep 600; fi
      echo disk > build/ubuntu-x86_64.qcow2
      cp facts build/ubuntu-x86_64.build.json`,
    );
    const bin = path.join(root, "bin");
    await mkdir(bin);
    for (const tool of buildTools("x86_64"))
      if (tool !== "make") await writeFile(path.join(bin, tool), "", { mode: 0o755 });
    vi.stubEnv("PATH", `${bin}:${process.env.PATH}`);
    const made = { base: "debian", profile: "small", runner: "github" } as const;
    return buildImage({ root, commit, arch: "x86_64", accelerator, ...made });
  }
  const attempts = async () => (await readFile(path.join(image(), "attempts"), "utf8")).length;

  it("ends the build at once, with what its console says", async () => {
    await expect(build(panic, { deaths: 1, accelerator: "tcg" })).rejects.toThrow(
      /^the guest died while it was built: kernel panic: Fatal exception in interrupt \(whole console: .*console\.log/,
    );
    expect(await attempts()).toBe(1);
  });

  it("is built once more where QEMU's emulation killed it", async () => {
    expect(await build(fault, { deaths: 1, accelerator: "tcg" })).toMatchObject({
      facts: { arch: "x86_64" },
    });
    expect(await attempts()).toBe(2);
  });

  it.each([
    ["a third time", { deaths: 2, accelerator: "tcg" }, 2],
    ["again where nothing is emulated", { deaths: 1, accelerator: "kvm" }, 1],
  ] as const)("is not built %s", async (_, how, times) => {
    await expect(build(fault, how)).rejects.toThrow(/kernel panic/);
    expect(await attempts()).toBe(times);
  });

  it("is not taken for dead by the console of a build that was killed", async () => {
    await mkdir(path.join(image(), "build/x86_64"), { recursive: true });
    await writeFile(path.join(image(), "build/x86_64/console.log"), panic);
    expect(await build("", { deaths: 0, accelerator: "tcg" })).toMatchObject({ facts: { arch: "x86_64" } });
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
