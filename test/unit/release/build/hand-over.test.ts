import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { buildDirectory, findBuilt } from "../../../../release/build/build.js";
import { takeImage } from "../../../../release/build/hand-over.js";
import { factsOf } from "../memory-store.js";

const commit = "c".repeat(40);
let root: string;
let folder: string;
beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), "hand-over-"));
  folder = path.join(root, "handed-over");
  await mkdir(folder);
  await put("qcow2", "disk");
  await put("build.json", JSON.stringify(facts));
});
afterEach(() => rm(root, { recursive: true }));

const facts = { ...factsOf("x86_64"), profile: "full" };
const put = (name: string, text: string) => writeFile(path.join(folder, `ubuntu-x86_64.${name}`), text);
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
const sums = (disk = "disk", about: unknown = facts, of = commit) =>
  `${sha256(disk)}  images/${of}/ubuntu-x86_64.qcow2\n${sha256(JSON.stringify(about))}  images/${of}/ubuntu-x86_64.build.json\n`;
const take = (handed = sums()) =>
  takeImage(
    { root, commit, arch: "x86_64", base: "debian", profile: "full", runner: "github" },
    folder,
    handed,
  );

describe("an image that another machine built", () => {
  it("is found as if it had been built here", async () => {
    expect(await take()).toEqual(await findBuilt(root, commit, "x86_64"));
    expect(await readdir(folder)).toEqual([]);
  });

  it("brings its attestation along", async () => {
    await put("sigstore.json", "signed");
    const { path: disk } = (await take())!;
    expect(await readFile(disk.replace(/qcow2$/, "sigstore.json"), "utf8")).toBe("signed");
  });

  it("takes the place of one that was built here, and of its attestation", async () => {
    const target = path.join(buildDirectory(root, commit, "x86_64"), "image", "build");
    await mkdir(target, { recursive: true });
    for (const name of ["qcow2", "build.json", "sigstore.json"])
      await writeFile(path.join(target, `ubuntu-x86_64.${name}`), "old");
    const { path: disk } = (await take())!;
    expect(await readFile(disk, "utf8")).toBe("disk");
    expect((await readdir(target)).sort()).toEqual(["ubuntu-x86_64.build.json", "ubuntu-x86_64.qcow2"]);
  });

  it("is left alone where it is of another commit", async () => {
    expect(await take(sums("disk", facts, "d".repeat(40)))).toBeNull();
  });

  it.each<[string, () => Promise<unknown>, RegExp]>([
    [
      "another disk",
      () => put("qcow2", "evil"),
      /^ubuntu-x86_64\.qcow2 of c{40} is not the file that was handed over: its sha256 is \w{64}, not \w{64}; build it again$/,
    ],
    ["other facts", () => put("build.json", "{}"), /^ubuntu-x86_64\.build\.json of c{40} is not the file/],
    [
      "no disk",
      () => rm(path.join(folder, "ubuntu-x86_64.qcow2")),
      /handed over: it is not in \S+handed-over; build it again$/,
    ],
    [
      "a link in place of the disk",
      async () => {
        await rm(path.join(folder, "ubuntu-x86_64.qcow2"));
        await writeFile(path.join(root, "elsewhere"), "disk");
        await symlink(path.join(root, "elsewhere"), path.join(folder, "ubuntu-x86_64.qcow2"));
      },
      /it is not in/,
    ],
  ])("is refused with %s, and nothing is changed", async (_, change, reason) => {
    await change();
    const before = await readdir(folder);
    await expect(take()).rejects.toThrow(reason);
    expect(await readdir(folder)).toEqual(before);
    expect(await findBuilt(root, commit, "x86_64")).toBeNull();
  });

  it.each<[string, object, RegExp]>([
    [
      "another base",
      { ...facts, base: { ...facts.base, kind: "ubuntu" } },
      /was built with base ubuntu, not debian; build it again$/,
    ],
    ["another architecture", factsOf("aarch64"), /was built with architecture aarch64, not x86_64/],
    ["facts that say nothing", { hello: 1 }, /was built with facts that are not valid/],
  ])("is refused where it was made with %s", async (_, about, reason) => {
    await put("build.json", JSON.stringify(about));
    await expect(take(sums("disk", about))).rejects.toThrow(reason);
    expect(await findBuilt(root, commit, "x86_64")).toBeNull();
  });

  it.each([
    ["none", ""],
    ["of one file only", sums().split("\n")[0]!],
    ["of another file", sums().replace("x86_64.qcow2", "aarch64.qcow2")],
    ["that are none", sums().replace(/^\w/, "x")],
    ["with something more", `${sums()}x`],
  ])("is refused with hashes: %s", async (_, handed) => {
    await expect(take(handed)).rejects.toThrow(/^the hashes handed over for ubuntu-x86_64 are not /);
  });
});
