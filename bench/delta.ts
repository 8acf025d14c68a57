/**
 * What changed between two images, in place of the newer one: a delta as `publish` makes it and a host applies it, against
 * `zstd --patch-from` of the whole disks. Promises: a tenth of the bytes at most; and on the host 1 GiB of memory at most, also where every
 * block of the disk has changed.
 *
 * Usage: tsx bench/delta.ts [before.qcow2 after.qcow2]
 * Default: the two images that went live last on the local platform, else two that are built here and differ by a package
 */
import { mkdtemp, open, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { checkout, platformPaths } from "../local/paths.js";
import { bucket } from "../local/services/s3-server.js";
import { blockBytes } from "../release/build/blocks.js";
import { buildDirectory } from "../release/build/build.js";
import { sha256File } from "../release/process/hash.js";
import { say } from "../release/process/progress.js";
import { imageName, keys } from "../release/store/keys.js";
import type { Pointer } from "../release/store/records.js";
import { bundleStep } from "./bundle.js";
import { measure, sideOf, type Measured } from "./measure.js";
import { releaseBuild } from "./release-build.js";
import { report } from "./result.js";

const rounds = 3;
const arch = "x86_64";
const stepFile = await bundleStep("delta-step.ts");
const folder = await mkdtemp(path.join(tmpdir(), "runner-images-bench-"));
const at = (name: string) => path.join(folder, name);
const sizeOf = async (file: string) => (await stat(file)).size;

try {
  const [before, after] = await twoDisks();
  const diskBytes = await sizeOf(after);
  await execa("zstd", ["-q", "-T0", "-6", "--long=26", after, "-o", at("whole.zst")]);
  const whole = await sizeOf(at("whole.zst"));
  const [patch, delta] = ["`zstd --patch-from`", "`release publish`, `release fetch`"] as const;
  const made: Record<string, (Measured & { bytes: number })[]> = { [patch]: [], [delta]: [] };
  const applied: Record<string, Measured[]> = { [patch]: [], [delta]: [] };
  for (let round = 1; round <= rounds; round++) {
    const patching = ["-q", "-f", "-3", "--long=31", `--patch-from=${before}`, after, "-o", at("patch")];
    made[patch]!.push({ ...(await measure("zstd", patching, {})), bytes: await sizeOf(at("patch")) });
    made[delta]!.push({
      ...(await step("make", before, after, at("delta"))),
      bytes: await sizeOf(at("delta")),
    });
    const pipe = `zstd -q -d --long=31 --patch-from=${before} ${at("patch")} -c | tee ${at("out")} | sha256sum`;
    applied[patch]!.push(await measure("bash", ["-o", "pipefail", "-c", pipe], {}));
    applied[delta]!.push(await step("apply", before, at("delta"), at("out"), String(diskBytes)));
    if ((await sha256File(at("out"))) !== (await sha256File(after))) throw new Error("it is another disk");
    say(`round ${round} of ${rounds}`);
  }
  await changeEveryBlock(before, at("changed"));
  const worst = {
    made: await step("make", before, at("changed"), at("worst")),
    applied: await step("apply", before, at("worst"), at("out"), String(await sizeOf(at("changed")))),
  };
  if ((await sha256File(at("out"))) !== (await sha256File(at("changed"))))
    throw new Error("it is another disk");
  const [making, applying] = ["make it", "apply it"] as const;
  await report({
    name: "delta",
    title: "Updating by a delta",
    about: `What changed between two images of this project that went live one after the other, with disks of ${megabytes(await sizeOf(before))} and ${megabytes(diskBytes)} MB. Ours copies the blocks that are somewhere in the other disk, and compresses the rest against what is left of that one; the other way compresses the whole disk against the whole disk.`,
    comparisons: [
      {
        title: "what a host downloads",
        sides: [
          { name: "whole", rounds: { megabytes: [whole / 1e6] } },
          { name: patch, rounds: { megabytes: made[patch]!.map(({ bytes }) => bytes / 1e6) } },
          { name: delta, rounds: { megabytes: made[delta]!.map(({ bytes }) => bytes / 1e6) } },
        ],
        promises: [
          { quantity: "megabytes", of: delta, by: "whole", atMost: 0.1 },
          { quantity: "megabytes", of: delta, by: patch, atMost: null },
        ],
      },
      {
        title: "make a delta",
        sides: [sideOf(patch, without(made[patch]!)), sideOf(delta, without(made[delta]!))],
        promises: [{ quantity: "mebibytes", of: delta, by: patch, atMost: 1 }],
      },
      {
        title: "apply a delta",
        sides: [sideOf(patch, applied[patch]!), sideOf(delta, applied[delta]!)],
        promises: [{ quantity: "mebibytes", of: delta, by: patch, atMost: 1 }],
      },
      {
        title: "a disk of which every block has changed",
        sides: [sideOf(making, [worst.made]), sideOf(applying, [worst.applied])],
        promises: [{ quantity: "mebibytes", of: applying, by: null, atMost: 1024 }],
      },
    ],
    notes: [
      "A segment of a delta has at most 64 MiB of fresh bytes, compressed against at most 256 MiB of the base: the last table has as much of both as there can be, so a larger disk takes no more.",
      "Against other ways: zstd in seekable frames of 1 MiB, of which a host fetches those that differ, cost 9 % in size for everybody, and 5 % of the bytes for a change of a script (measured on two images of this project, and not built). Users of tart, whose images are cut into layers of a fixed size, report [about 70 %](https://github.com/cirruslabs/tart/issues/886) that need not be fetched again. Of casync no figure of whole disk images was found.",
    ],
  });
} finally {
  await rm(folder, { recursive: true, force: true });
}

function step(...args: string[]): Promise<Measured> {
  return measure("node", [stepFile, ...args], { cwd: checkout });
}

function without(runs: (Measured & { bytes: number })[]): Measured[] {
  return runs.map(({ seconds, cpuSeconds, memory }) => ({ seconds, cpuSeconds, memory }));
}

/** The two that are named, or the disks of the two images that went live last here, or two that are built for it. */
async function twoDisks(): Promise<[before: string, after: string]> {
  const [before, after] = process.argv.slice(2);
  if (before !== undefined && after !== undefined) return [before, after];
  const data = path.join(platformPaths().store, "data", bucket);
  const log = path.join(data, keys.pointerPrefix);
  const moves = (await readdir(log).catch(() => [])).sort();
  const commits = await Promise.all(
    moves.map(async (name) => (JSON.parse(await readFile(path.join(log, name), "utf8")) as Pointer).commit),
  );
  const [newest, previous] = [...new Set(commits.reverse())];
  if (newest === undefined || previous === undefined) return buildTwo();
  for (const [commit, name] of [
    [previous, "before"],
    [newest, "after"],
  ] as const)
    await execa("zstd", ["-q", "-d", path.join(data, keys.disk(commit, arch)), "-o", at(name)]);
  return [at("before"), at("after")];
}

/** Two images that differ by a package, from a checkout of its own. */
async function buildTwo(): Promise<[before: string, after: string]> {
  const root = at("repository");
  const git = (...args: string[]) => execa("git", args, { cwd: root });
  await execa("git", ["clone", "--quiet", "--shared", checkout, root]);
  const build = async (name: string) => {
    say(`build the image ${name}: no two went live here (minutes each, where it is emulated)`);
    const { stdout: commit } = await git("log", "-1", "--format=%H", "--", "image");
    await releaseBuild(root, commit);
    const built = path.join(buildDirectory(root, commit, arch), "image", "build", `${imageName(arch)}.qcow2`);
    await rename(built, at(name));
    return at(name);
  };
  const before = await build("before");
  const file = path.join(root, "image", "inputs.json");
  const inputs = JSON.parse(await readFile(file, "utf8")) as { contents: { small: object[] } };
  inputs.contents.small.push({ name: "hello", for: "a bench", packages: ["hello"], check: "hello" });
  await writeFile(file, JSON.stringify(inputs));
  await git("-c", "user.name=bench", "-c", "user.email=bench@localhost", "commit", "--quiet", "-am", "hello");
  return [before, await build("after")];
}

/** So that nothing is copied, and all of it is like something in the base. */
async function changeEveryBlock(from: string, to: string): Promise<void> {
  await execa("cp", [from, to]);
  const file = await open(to, "r+");
  try {
    const { size } = await file.stat();
    for (let offset = 0; offset < size; offset += blockBytes) {
      const { buffer } = await file.read(Buffer.alloc(1), 0, 1, offset);
      buffer[0]! ^= 0xff;
      await file.write(buffer, 0, 1, offset);
    }
  } finally {
    await file.close();
  }
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
