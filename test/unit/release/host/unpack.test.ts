import { createHash, randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, expect, it } from "vitest";
import { unpackGrowing } from "../../../../release/host/unpack.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "unpack-"));
});
afterEach(() => rm(folder, { recursive: true }));

const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

it("hands on an archive of many pieces as it is, although the next is read while zstd takes one", async () => {
  const disk = randomBytes(16 * 1024 * 1024);
  const file = path.join(folder, "disk");
  await writeFile(file, disk);
  await execa("zstd", ["-q", file]);
  const archive = await readFile(`${file}.zst`);

  const unpacking = unpackGrowing(`${file}.zst`, path.join(folder, "unpacked"));
  unpacking.grown(archive.length);
  expect(await unpacking.finish()).toEqual({
    archiveSha256: sha256(archive),
    diskSha256: sha256(disk),
    problem: null,
  });
});
