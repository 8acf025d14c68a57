import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { findBootRecord, takeBootRecord } from "../../../../release/boot/hand-over.js";
import { jsonText } from "../../../../release/store/store.js";
import { bootRecordOf } from "../memory-store.js";

const commit = "c".repeat(40);
const image = { commit, arch: "x86_64" } as const;
const name = "ubuntu-x86_64.boot.json";
let root: string;
let folder: string;
let records: string;
beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), "boot-hand-over-"));
  folder = path.join(root, "handed-over");
  records = path.join(root, "records");
  await mkdir(folder);
  await put(good);
});
afterEach(() => rm(root, { recursive: true }));

const good = jsonText(bootRecordOf(commit, "x86_64"));
const put = (text: string) => writeFile(path.join(folder, name), text);
const sums = (text = good, of = commit) =>
  `${createHash("sha256").update(text).digest("hex")}  images/${of}/${name}`;
const take = (handed = sums()) => takeBootRecord(image, folder, handed, records);

describe("the record of a boot on another machine", () => {
  it("is kept where boot-test looks", async () => {
    expect(await take()).toEqual(bootRecordOf(commit, "x86_64"));
    expect(await findBootRecord(records, image)).toEqual(bootRecordOf(commit, "x86_64"));
    expect(await findBootRecord(records, { commit, arch: "aarch64" })).toBeNull();
    expect(await findBootRecord(records, { commit: "d".repeat(40), arch: "x86_64" })).toBeNull();
  });

  it("takes the place of one of an earlier attempt", async () => {
    await take();
    const failed = jsonText(bootRecordOf(commit, "x86_64", { result: "failed", reason: "panic" }));
    await put(failed);
    await take(sums(failed));
    expect(await findBootRecord(records, image)).toMatchObject({ result: "failed", reason: "panic" });
  });

  it("is left alone where it is of another commit", async () => {
    expect(await take(sums(good, "d".repeat(40)))).toBeNull();
  });

  it.each<[string, () => Promise<unknown>, RegExp]>([
    [
      "of another hash",
      () => put(jsonText(bootRecordOf(commit, "x86_64", { result: "failed" }))),
      /^ubuntu-x86_64\.boot\.json of c{40} is not the file that was handed over: its sha256 is \w{64}, not \w{64}; boot it again$/,
    ],
    ["missing", () => rm(path.join(folder, name)), /it is not in \S+handed-over; boot it again$/],
    [
      "a link",
      async () => {
        await rm(path.join(folder, name));
        await writeFile(path.join(root, "elsewhere"), good);
        await symlink(path.join(root, "elsewhere"), path.join(folder, name));
      },
      /it is not in/,
    ],
  ])("is refused where it is %s", async (_, change, reason) => {
    await change();
    await expect(take()).rejects.toThrow(reason);
    await expect(readdir(records)).rejects.toThrow(/ENOENT/);
  });

  it.each<[string, string, RegExp]>([
    [
      "HTML",
      "<!doctype html>",
      /^ubuntu-x86_64\.boot\.json of c{40} is no valid boot record; boot it again$/,
    ],
    ["of another shape", "{}", /is no valid boot record/],
    [
      "longer than one line of Pulumi's may be",
      jsonText(bootRecordOf(commit, "x86_64", { reason: "x".repeat(60_000) })),
      /is no valid boot record/,
    ],
    [
      "of another image",
      jsonText(bootRecordOf("d".repeat(40), "x86_64")),
      /is the boot record of ubuntu-x86_64 of d{40}; boot it again$/,
    ],
    [
      "of another architecture",
      jsonText(bootRecordOf(commit, "aarch64")),
      /is the boot record of ubuntu-aarch64 of c{40}; boot it again$/,
    ],
  ])("is refused where it is %s, with its own hash", async (_, text, reason) => {
    await put(text);
    await expect(take(sums(text))).rejects.toThrow(reason);
    await expect(readdir(records)).rejects.toThrow(/ENOENT/);
  });

  it.each([
    ["none", ""],
    ["of another file", sums().replace("x86_64.boot", "aarch64.boot")],
    ["that is none", sums().replace(/^\w/, "x")],
    ["with something more", `${sums()}\n${sums()}`],
  ])("is refused with a hash: %s", async (_, handed) => {
    await expect(take(handed)).rejects.toThrow(/^the hashes handed over for ubuntu-x86_64 are not /);
  });
});
