import { createReadStream, existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { readBlocks } from "../../../../release/build/blocks.js";
import { makeDelta } from "../../../../release/build/make-delta.js";
import { fetchImage, type FetchedImage } from "../../../../release/host/fetch.js";
import { keys } from "../../../../release/store/keys.js";
import type { Delta } from "../../../../release/store/records.js";
import { blocks, changed } from "../build/disks.js";
import { compress, ImageServer, sha256 } from "./image-server.js";

const commit = "a".repeat(40);
const [older, newer, stranger] = ["1".repeat(40), "2".repeat(40), "3".repeat(40)];

const common = blocks(400);
const disk = Buffer.concat([...common, ...blocks(2)]);
/** The older has less in common with it than the newer. */
const bases: Record<string, Buffer> = {
  [older]: Buffer.concat(common.slice(0, 380)),
  [newer]: Buffer.concat([...common.slice(0, 399), changed(common[399]!)]),
  [stranger]: Buffer.concat([...common].reverse()),
};
const compressed = await compress(disk);
const deltaOf = {
  [older]: await make(bases[older]!, disk),
  [newer]: await make(bases[newer]!, disk),
};

async function make(base: Buffer, to: Buffer): Promise<Buffer> {
  const folder = await mkdtemp(path.join(tmpdir(), "delta-test-make-"));
  const [from, file] = [path.join(folder, "base"), path.join(folder, "disk")];
  await writeFile(from, base);
  await writeFile(file, to);
  const read = (take: (stream: AsyncIterable<Buffer>) => Promise<void>) => take(createReadStream(from));
  const { head, frames } = await makeDelta(file, await readBlocks(file), read, base.length, folder);
  const delta = Buffer.concat([head, await readFile(frames)]);
  await rm(folder, { recursive: true });
  return delta;
}

describe("fetching with an image here that there is a delta from", () => {
  let server: ImageServer;
  let directory: string;
  let target: string;
  let said: string;

  beforeEach(async () => {
    said = "";
    vi.spyOn(process.stderr, "write").mockImplementation((text) => {
      said += String(text);
      return true;
    });
    server = await ImageServer.start(commit, disk, compressed);
    directory = await mkdtemp(path.join(tmpdir(), "delta-test-"));
    target = path.join(directory, commit, "ubuntu-x86_64.qcow2");
    server.putManifest({ ...server.manifest, deltas: [offer(newer), offer(older)] });
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    await server.stop();
    await rm(directory, { recursive: true });
  });

  /** Puts a delta where the CDN has it. @returns what the manifest says of it */
  function offer(from: string, bytes = deltaOf[from]!, base = bases[from]!): Delta {
    const key = keys.delta(commit, "x86_64", from, sha256(bytes));
    server.put(key, bytes);
    return {
      from,
      base: { bytes: base.length, sha256: sha256(base) },
      key,
      bytes: bytes.length,
      sha256: sha256(bytes),
    };
  }

  async function have(from: string, content = bases[from]!): Promise<string> {
    const file = path.join(directory, from, "ubuntu-x86_64.qcow2");
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, content);
    return file;
  }

  async function fetchIt(): Promise<FetchedImage> {
    const fetched = await fetchImage({
      url: server.url,
      commit,
      arch: "x86_64",
      directory,
      retries: 0,
      trust: null,
    });
    expect((await readFile(target)).equals(disk)).toBe(true);
    expect(fetched).toMatchObject({ path: target, bytes: disk.length, sha256: sha256(disk), cached: false });
    const names = await readdir(path.dirname(target));
    expect(names.filter((name) => !name.endsWith(".lock"))).toEqual(["ubuntu-x86_64.qcow2"]);
    return fetched;
  }

  /** The disk was downloaded whole after all, and one line says why. */
  async function expectWhole(why: RegExp, downloadedBytes = compressed.length): Promise<void> {
    expect(await fetchIt()).toMatchObject({ from: null, downloadedBytes });
    expect(said.split("\n").filter((line) => line.includes("is of no use to it: "))).toEqual([
      expect.stringMatching(why) as string,
    ]);
  }

  it("downloads the delta alone, and says from what and how much", async () => {
    await have(newer);
    const { from, downloadedBytes } = await fetchIt();
    expect([from, downloadedBytes]).toEqual([newer, deltaOf[newer]!.length]);
    expect(downloadedBytes).toBeLessThan(compressed.length * 0.02);
    // The delta's: the disk was not asked for.
    expect(server.diskRequests).toHaveLength(1);
  });

  it("takes the smallest delta of those whose image is here", async () => {
    await have(older);
    expect((await fetchIt()).from).toBe(older);
    await rm(target);
    await have(newer);
    expect((await fetchIt()).from).toBe(newer);
  });

  it("downloads nothing where the image itself is here, and the whole of it where none is", async () => {
    expect(await fetchIt()).toMatchObject({ from: null, downloadedBytes: compressed.length });
    const again = await fetchImage({ url: server.url, commit, arch: "x86_64", directory, trust: null });
    expect(again).toMatchObject({ cached: true, from: null, downloadedBytes: 0 });
    expect(said).not.toContain("of no use");
  });

  it("does not ask for a delta where the image here is damaged, and leaves that as it is", async () => {
    const damaged = changed(bases[newer]!);
    const file = await have(newer, damaged);
    await expectWhole(/ is not what was published$/);
    expect(server.diskRequests).toHaveLength(1);
    expect((await readFile(file)).equals(damaged)).toBe(true);
  });

  it("takes the next delta where the image of the first is cut short", async () => {
    await have(newer, bases[newer]!.subarray(0, 1_000_000));
    await have(older);
    expect((await fetchIt()).from).toBe(older);
  });

  it("downloads the whole where the delta is missing", async () => {
    await have(newer);
    server.objects.delete(offer(newer).key);
    await expectWhole(/ is not published there: .* answered 404$/);
  });

  it("downloads the whole where the delta is damaged", async () => {
    await have(newer);
    const { key } = offer(newer);
    server.put(key, changed(server.objects.get(key)!));
    await expectWhole(
      / does not have the sha256 its manifest says/,
      compressed.length + deltaOf[newer]!.length,
    );
  });

  it.each([
    [
      "of another image's disk",
      async () => make(bases[newer]!, Buffer.concat([...common.slice(0, 400), ...blocks(2)])),
      /a disk with the sha256/,
    ],
    [
      "of a disk of another length",
      async () => make(bases[newer]!, disk.subarray(0, 4096 * 300 + 5)),
      /it makes \d+ bytes, and the disk has/,
    ],
    [
      "from another image",
      async () => make(bases[stranger]!, disk),
      /zstd failed|a disk with the sha256|reads beyond/,
    ],
    [
      "no delta at all",
      () => Promise.resolve(Buffer.from("a page of a captive portal")),
      /does not begin as a delta does/,
    ],
    ["a zstd file with nothing before it", () => compress(disk), /does not begin as a delta does/],
  ])("downloads the whole where what the manifest lists is %s", async (_, other, why) => {
    await have(newer);
    const wrong = await other();
    server.putManifest({ ...server.manifest, deltas: [offer(newer, wrong)] });
    await expectWhole(why, compressed.length + wrong.length);
  });

  it("goes on where a kill has cut the download of a delta", async () => {
    await have(newer);
    const half = Math.floor(deltaOf[newer]!.length / 2);
    await mkdir(path.dirname(target), { recursive: true });
    await writeFile(`${target}.delta.part`, deltaOf[newer]!.subarray(0, half));
    await writeFile(`${target}.delta.part.etag`, server.etag);
    expect(await fetchIt()).toMatchObject({ from: newer, downloadedBytes: deltaOf[newer]!.length - half });
    expect(server.diskRequests).toEqual([{ range: `bytes=${half}-`, ifRange: server.etag }]);
  });

  it("begins again where what a kill has left is of another delta", async () => {
    await have(newer);
    await mkdir(path.dirname(target), { recursive: true });
    await writeFile(`${target}.delta.part`, Buffer.alloc(100, 7));
    await writeFile(`${target}.delta.part.etag`, server.etag);
    expect((await fetchIt()).from).toBe(newer);
    expect(said).not.toContain("of no use");
  });

  it("begins again where a kill has cut the making of the disk", async () => {
    await have(newer);
    await mkdir(path.dirname(target), { recursive: true });
    await writeFile(`${target}.delta.part`, deltaOf[newer]!);
    await writeFile(`${target}.delta.part.etag`, server.etag);
    await writeFile(`${target}.part`, Buffer.alloc(disk.length + 5, 7));
    await writeFile(`${target}.reference.part`, "half a reference");
    expect(await fetchIt()).toMatchObject({ from: newer, downloadedBytes: 0 });
    expect(server.diskRequests).toEqual([]);
  });

  it("downloads the whole where the delta's transfer is cut for good, and removes the rest of it", async () => {
    await have(newer);
    server.cuts.push(1_000);
    server.stored = (bytes) =>
      vi.waitFor(() => expect(existsSync(`${target}.delta.part`) && bytes).toBeTruthy());
    const { from } = await fetchIt();
    expect(from).toBeNull();
    expect(said).toMatch(/is of no use to it: cannot download /);
  });

  it("is refused as the whole is where manifest and .qcow2.sha256 name different hashes", async () => {
    await have(newer);
    server.put(keys.diskSha256(commit, "x86_64"), `${"0".repeat(64)}\n`);
    await expect(
      fetchImage({ url: server.url, commit, arch: "x86_64", directory, retries: 0, trust: null }),
    ).rejects.toThrow("the publication is broken");
    expect(existsSync(target)).toBe(false);
  });
});
