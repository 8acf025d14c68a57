import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { withDisk } from "../../../../release/inspect/disk.js";
import { makeSbom, readComponents } from "../../../../release/inspect/sbom.js";

const commit = "a".repeat(40);
let folder: string;
let disk: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "runner-images-inspect-"));
  disk = path.join(folder, "disk.qcow2");
});
afterEach(() => rm(folder, { recursive: true }));

const script = path.resolve(import.meta.dirname, "../../../engine/fake-image/make-disk");
const makeDisk = (runner: string, more: string[] = []) =>
  execa(script, [disk, commit, "x86_64", runner, "1000", ...more]);

const sbomOf = () => withDisk(disk, (opened) => makeSbom(opened, commit, "x86_64"));

describe("a bill of materials", () => {
  it("lists what is installed on the disk, and only that", async () => {
    await makeDisk("github");
    const text = await sbomOf();
    expect(readComponents(text)).toEqual([
      { kind: "deb", name: "dash", version: "0.5.12-2" },
      { kind: "github", name: "runner", version: "v0.0.0" },
    ]);
    expect(JSON.parse(text)).toMatchObject({
      bomFormat: "CycloneDX",
      specVersion: "1.6",
      metadata: { component: { name: "ubuntu-x86_64", version: commit, description: "debian 0" } },
    });
  });

  it("lists what was installed from a download, by what its installer left", async () => {
    const root = path.join(folder, "root");
    const rust = path.join(root, "gha/.rustup/toolchains/stable-x86_64-unknown-linux-gnu/lib/rustlib");
    await mkdir(rust, { recursive: true });
    const manifest =
      '[pkg.cargo]\nversion = "0.98.0"\n[pkg.rustc]\nversion = "1.97.0 (2d8144b78 2026-07-07)"\n';
    await writeFile(path.join(rust, "multirust-channel-manifest.toml"), manifest);
    await mkdir(path.join(root, "usr/local/aws-cli/v2/2.16.9/dist"), { recursive: true });
    await symlink("2.16.9", path.join(root, "usr/local/aws-cli/v2/current"));
    await makeDisk("github", [root]);
    await rm(root, { recursive: true });
    expect(readComponents(await sbomOf())!.filter(({ kind }) => kind === "github")).toEqual([
      { kind: "github", name: "runner", version: "v0.0.0" },
      { kind: "github", name: "aws-cli", version: "2.16.9" },
      { kind: "github", name: "rust", version: "1.97.0" },
    ]);
  });

  it("is refused in one line where a toolchain does not say which it is", async () => {
    const root = path.join(folder, "root");
    const rust = path.join(root, "gha/.rustup/toolchains/stable/lib/rustlib");
    await mkdir(rust, { recursive: true });
    await writeFile(path.join(rust, "multirust-channel-manifest.toml"), "= 1");
    await makeDisk("github", [root]);
    await expect(sbomOf()).rejects.toThrow(/qcow2: \/gha\/.*\.toml on it does not say which Rust it is/);
  });

  it("is the same text of the same disk, and leaves nothing beside it", async () => {
    await makeDisk("fixture");
    expect(await sbomOf()).toBe(await sbomOf());
    expect(await readdir(folder)).toEqual(["disk.qcow2"]);
  });

  it.each([
    ["no disk", async () => writeFile(disk, "disk"), /cannot be read as an image's disk: .*qcow2/],
    [
      "an empty disk",
      () => execa("qemu-img", ["create", "-q", "-f", "qcow2", disk, "64M"]),
      /cannot be read as an image's disk: .*partition table/,
    ],
    [
      "a disk without a file system",
      async () => {
        const raw = path.join(folder, "raw");
        await execa("truncate", ["-s", "8M", raw]);
        await execa("/usr/sbin/sfdisk", ["-q", raw], { input: "label: gpt\nstart=2048, type=linux\n" });
        await execa("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", raw, disk]);
        await rm(raw);
      },
      /cannot be read as an image's disk: /,
    ],
  ])("is refused in one line for %s", async (_, make, message) => {
    await make();
    await expect(sbomOf()).rejects.toThrow(message);
    expect(await readdir(folder)).toEqual(["disk.qcow2"]);
  });

  it.each(["", "{}", "<html>", '{"bomFormat": "SPDX", "components": []}'])("is not %j", (text) => {
    expect(readComponents(text)).toBeNull();
  });
});
