import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { crc32 } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import {
  publishDeltas,
  type DeltaStore,
  type DeltaTarget,
} from "../../../../release/build/publish-deltas.js";
import { UserError } from "../../../../release/process/errors.js";
import { crc32Text } from "../../../../release/process/hash.js";
import { keys } from "../../../../release/store/keys.js";
import type { Delta } from "../../../../release/store/records.js";
import { ConflictError, jsonText } from "../../../../release/store/store.js";
import { compress, sha256 } from "../host/image-server.js";
import { manifestOf } from "../memory-store.js";
import { blocks, changed } from "./disks.js";

const arch = "x86_64";
const commitOf = (digit: string) => digit.repeat(40);
const [one, two, target] = [commitOf("1"), commitOf("2"), commitOf("9")];

/** What a delta takes of a bucket, in memory. */
class Bucket implements DeltaStore {
  readonly where = 'bucket "memory"';
  readonly objects = new Map<string, Buffer>();
  readonly uploads: string[] = [];

  get(key: string) {
    const found = this.objects.get(key);
    return Promise.resolve(found === undefined ? null : { text: found.toString(), etag: "" });
  }
  list() {
    return Promise.resolve([...this.objects.keys()]);
  }
  head(key: string) {
    const found = this.objects.get(key);
    const facts = { crc32: null, encoding: null, archive: null, metadata: {} };
    return Promise.resolve(found === undefined ? null : { bytes: found.length, ...facts });
  }
  download(key: string) {
    const found = this.objects.get(key);
    return found === undefined
      ? Promise.reject(new UserError(`${key} is missing`))
      : Promise.resolve(Readable.from([found]));
  }
  async upload(key: string, body: AsyncIterable<Buffer>) {
    const bytes = await buffer(body);
    this.uploads.push(key);
    if (this.objects.has(key)) throw new ConflictError(key, this.where);
    this.objects.set(key, bytes);
    return crc32Text(crc32(bytes));
  }
  abortUnfinishedUploads() {
    return Promise.resolve();
  }

  async publish(commit: string, disk: Buffer) {
    const compressed = await compress(disk);
    this.objects.set(keys.disk(commit, arch), compressed);
    const record = {
      ...manifestOf(commit, arch),
      compressed: { key: keys.disk(commit, arch), bytes: compressed.length, sha256: sha256(compressed) },
      disk: { bytes: disk.length, sha256: sha256(disk) },
    };
    this.objects.set(keys.manifest(commit, arch), Buffer.from(jsonText(record)));
    return compressed;
  }
}

const common = blocks(500);
const before = Buffer.concat(common);
const after = Buffer.concat([...common.slice(0, 499), changed(common[499]!)]);

describe("publishDeltas", () => {
  let store: Bucket;
  let folder: string;
  let image: DeltaTarget;
  let said: string;

  beforeEach(async () => {
    said = "";
    vi.spyOn(process.stderr, "write").mockImplementation((text) => {
      said += String(text);
      return true;
    });
    folder = await mkdtemp(path.join(tmpdir(), "publish-deltas-test-"));
    store = new Bucket();
    await store.publish(one, before);
    const file = path.join(folder, "disk.qcow2");
    await writeFile(file, after);
    const { length } = await store.publish(target, after);
    image = { commit: target, arch, file, compressedBytes: length, folder: path.join(folder, "work") };
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    await rm(folder, { recursive: true });
  });

  const publish = (from: string[]): Promise<Delta[]> =>
    publishDeltas(store, image, () => Promise.resolve(from));
  const deltaKeys = () => [...store.objects.keys()].filter((key) => key.endsWith(".delta.zst"));

  it("stores one from each image that is there, and says of it what the manifest says", async () => {
    await store.publish(two, Buffer.concat(common.slice(0, 400)));
    const deltas = await publish([two, one]);
    expect(deltas.map(({ from }) => from)).toEqual([two, one]);
    for (const { key, bytes, sha256: hash } of deltas) {
      const object = store.objects.get(key)!;
      expect([object.length, sha256(object)]).toEqual([bytes, hash]);
      expect(key).toContain(`images/${target}/ubuntu-x86_64.from-`);
    }
    expect(deltas[1]!.base).toEqual({ bytes: before.length, sha256: sha256(before) });
    expect(deltas[1]!.bytes).toBeLessThan(image.compressedBytes * 0.01);
    expect(await readdir(image.folder)).toEqual([]);
  });

  it("stores the same again after a kill, under the same key", async () => {
    const [first] = await publish([one]);
    const [again] = await publish([one]);
    expect(again).toEqual(first);
    expect(deltaKeys()).toEqual([first!.key]);
  });

  it("stores none from no image, and none from itself", async () => {
    expect(await publish([])).toEqual([]);
    expect(await publish([target])).toEqual([]);
    expect(said).toBe("");
  });

  const refused = async (from: string, why: RegExp) => {
    expect(await publish([from])).toEqual([]);
    expect(deltaKeys()).toEqual([]);
    expect(said.split("\n").filter((line) => line.includes(`gets no delta from ${from}`))).toEqual([
      expect.stringMatching(why) as string,
    ]);
  };

  it("says in one line that a base was pruned, and is no failure", () =>
    refused(two, /it is not in the store$/));

  it("says in one line that the disk of a base is gone", async () => {
    store.objects.delete(keys.disk(one, arch));
    await refused(one, /is missing$/);
  });

  it.each([
    ["does not decompress", (bytes: Buffer) => bytes.subarray(0, bytes.length / 2)],
    ["is another one", () => null],
  ])("says in one line that the disk of a base %s", async (_, damage) => {
    const key = keys.disk(one, arch);
    const damaged = damage(store.objects.get(key)!) ?? (await compress(Buffer.concat(blocks(3))));
    store.objects.set(key, damaged);
    await refused(one, /zstd failed: .+|is not what its manifest says$/);
  });

  it("says in one line that the manifest of a base is none", async () => {
    store.objects.set(keys.manifest(one, arch), Buffer.from("{}"));
    await refused(one, /is not a valid record/);
  });

  it("keeps none that saves less than half", async () => {
    await store.publish(two, Buffer.concat([...common.slice(0, 240), ...blocks(260)]));
    await refused(two, /it would have 1\.\d+ MB of the whole image's 2\.\d+ MB, which saves too little$/);
    await store.publish(two, Buffer.concat([...common.slice(0, 260), ...blocks(240)]));
    expect(await publish([two]), said).toHaveLength(1);
  });

  it("goes on with the next where one cannot be stored", async () => {
    await store.publish(two, before);
    const upload = store.upload.bind(store);
    store.upload = (key, body) =>
      key.includes(two) ? Promise.reject(new UserError("no space")) : upload(key, body);
    expect((await publish([two, one])).map(({ from }) => from)).toEqual([one]);
    expect(said).toMatch(/gets no delta from 2+: no space$/m);
  });

  it("is no failure where the log cannot be read", async () => {
    expect(await publishDeltas(store, image, () => Promise.reject(new UserError("no log")))).toEqual([]);
    expect(said).toBe(`ubuntu-x86_64 of ${target} gets no delta: no log\n`);
  });
});
