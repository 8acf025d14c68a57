import { createReadStream } from "node:fs";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { blockBytes, readBlocks } from "../../../../release/build/blocks.js";
import { compareBlocks, makeDelta, readBase, segmentsOf } from "../../../../release/build/make-delta.js";
import { applyDelta } from "../../../../release/host/delta.js";
import { readRecipe, recipeFrame, segmentLimits, sum, type Recipe } from "../../../../release/store/delta.js";
import { sha256 } from "../host/image-server.js";
import { block, blocks, changed, zeroBlock } from "./disks.js";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "make-delta-test-"));
});
afterEach(() => rm(folder, { recursive: true }));

const file = (name: string) => path.join(folder, name);

async function write(base: Buffer[], disk: Buffer[]): Promise<{ base: Buffer; disk: Buffer }> {
  const whole = { base: Buffer.concat(base), disk: Buffer.concat(disk) };
  await writeFile(file("base"), whole.base);
  await writeFile(file("disk"), whole.disk);
  return whole;
}

/** Makes a delta and applies it, each as in production. */
async function roundTrip(
  base: Buffer[],
  disk: Buffer[],
  limits = segmentLimits as { bytes: number; reference: number },
) {
  const whole = await write(base, disk);
  const made = await makeDelta(
    file("disk"),
    await readBlocks(file("disk")),
    (take) => take(createReadStream(file("base"))),
    whole.base.length,
    folder,
    limits,
  );
  const frames = made.bytes > made.head.length ? await readFile(made.frames) : Buffer.alloc(0);
  const delta = Buffer.concat([made.head, frames]);
  expect([delta.length, sha256(delta)]).toEqual([made.bytes, made.sha256]);
  await writeFile(file("delta"), delta);
  const known = { bytes: delta.length, base: { bytes: whole.base.length, sha256: "" } };
  const files = { part: file("made"), delta: file("delta"), reference: file("reference") };
  const found = await applyDelta(file("base"), known, whole.disk.length, files);
  expect((await readFile(files.part)).equals(whole.disk)).toBe(true);
  expect(found).toBe(sha256(whole.disk));
  expect((await readdir(folder)).filter((name) => /reference|rest/.test(name))).toEqual([]);
  const { recipe } = await readRecipe(
    (offset, length) => Promise.resolve(delta.subarray(offset, offset + length)),
    {
      deltaBytes: delta.length,
      diskBytes: whole.disk.length,
      baseBytes: whole.base.length,
    },
  );
  return { delta, recipe };
}

const freshBytes = ({ steps }: Recipe) => sum(steps.map(([fresh]) => fresh));

describe("a delta", () => {
  it("copies what moved, was swapped or is there twice, whatever the distance, and carries only what is new", async () => {
    const [a, b, c, d] = [blocks(300), blocks(200), blocks(100), blocks(50)];
    const news = blocks(3);
    const { delta, recipe } = await roundTrip(
      [...a, ...b, ...c, ...d],
      [...d, ...c, ...news, ...a, ...a, ...b],
    );
    expect(freshBytes(recipe)).toBe(3 * blockBytes);
    expect(delta.length).toBeLessThan(4 * blockBytes);
    // Each as a whole, the last two as one, since the base has them so.
    expect(recipe.steps).toHaveLength(4);
  });

  it("holds of a block that was changed little more than the change", async () => {
    const base = blocks(200);
    const disk = base.map((before, index) => (index % 10 === 0 ? changed(before) : before));
    const { delta, recipe } = await roundTrip(base, disk);
    expect(freshBytes(recipe)).toBe(20 * blockBytes);
    expect(delta.length).toBeLessThan(blockBytes);
  });

  it("leaves zeros as holes, and ends where the disk ends, within a block too", async () => {
    const base = blocks(10);
    const holes = Array.from({ length: 2_000 }, () => zeroBlock);
    const disk = [...holes, ...base, ...holes, block().subarray(0, 1_234)];
    const { recipe } = await roundTrip([...base, ...holes, block().subarray(0, 77)], disk);
    expect(freshBytes(recipe)).toBe(1_234);
    const { blocks: used, size } = await stat(file("made"));
    expect(used * 512).toBeLessThan(size / 10);
  });

  it.each([
    ["the same disk", (a: Buffer[]) => [a, a]],
    ["nothing in common", (a: Buffer[]) => [a, blocks(20)]],
    ["a base of less than a block", (a: Buffer[]) => [[Buffer.from("small")], a]],
    ["a disk of less than a block", (a: Buffer[]) => [a, [Buffer.from("small")]]],
    ["zeros alone", (a: Buffer[]) => [a, [zeroBlock, zeroBlock]]],
  ])("makes the disk of %s", async (_, disks) => {
    const [base, disk] = disks(blocks(20)) as [Buffer[], Buffer[]];
    await roundTrip(base, disk);
  });

  it("is cut into segments that each take no more memory than they may, also where a block ends up in two", async () => {
    const base = blocks(60);
    const disk = base.map((before, index) => (index % 2 === 0 ? changed(before) : before));
    const limits = { bytes: 10_000, reference: 8 * blockBytes };
    const { delta, recipe } = await roundTrip(base, disk, limits);
    expect(recipe.segments).toHaveLength(Math.ceil((30 * blockBytes) / limits.bytes));
    for (const { bytes, reference } of recipe.segments) {
      expect(bytes).toBeLessThanOrEqual(limits.bytes);
      expect(sum(reference.map(([, length]) => length))).toBeLessThanOrEqual(limits.reference);
    }
    // The range of the base was well chosen: each finds what it was before.
    expect(delta.length).toBeLessThan(30 * blockBytes * 0.1);
  });

  it("is the same every time", async () => {
    const base = blocks(50);
    const disk = [...base.map((before, index) => (index < 5 ? changed(before) : before)), ...blocks(5)];
    const [one, other] = [await roundTrip(base, disk), await roundTrip(base, disk)];
    expect(other.delta.equals(one.delta)).toBe(true);
  });

  it("is found to be none by its recipe, before anything is written", async () => {
    const { delta } = await roundTrip(blocks(4), blocks(4));
    const known = { deltaBytes: delta.length, diskBytes: 4 * blockBytes, baseBytes: 4 * blockBytes };
    const read = (bytes: Buffer, changes: Partial<typeof known> = {}) =>
      readRecipe((offset, length) => Promise.resolve(bytes.subarray(offset, offset + length)), {
        ...known,
        ...changes,
      });
    await expect(read(Buffer.from("something else"))).rejects.toThrow("does not begin as a delta does");
    const torn = Buffer.from(delta);
    torn.fill(0, 8, 20);
    await expect(read(torn)).rejects.toThrow("its recipe cannot be read");
    const segments = [{ bytes: 1, frame: 0, reference: [] }];
    const empty = recipeFrame({ schema: 1, steps: [[1, 0, 0, 0]], segments });
    await expect(read(empty)).rejects.toThrow("its recipe cannot be read");
    await expect(read(delta, { diskBytes: blockBytes })).rejects.toThrow("and the disk has 4096");
    await expect(read(delta, { deltaBytes: delta.length - 1 })).rejects.toThrow(
      "its frames are not all there",
    );
    await expect(read(delta, { baseBytes: blockBytes })).rejects.toThrow("it reads beyond its base's end");
  });
});

describe("compareBlocks", () => {
  it("goes on from the block before where the base has a content twice", async () => {
    const [x, y, z] = blocks(3) as [Buffer, Buffer, Buffer];
    // y is there twice: alone, and between x and z.
    await write([y, x, y, z], [x, y, z]);
    const disk = await readBlocks(file("disk"));
    const base = await readBase(createReadStream(file("base")), 4 * blockBytes, disk, file("rest"));
    expect(compareBlocks(disk, base)).toEqual({ steps: [[0, 0, blockBytes, 3 * blockBytes]], fresh: [] });
  });
});

describe("segmentsOf", () => {
  it.each([
    [[], 10, []],
    [[[0, 10]], 10, [[[0, 10]]]],
    [[[0, 11]], 10, [[[0, 10]], [[10, 1]]]],
    [
      [
        [0, 4],
        [20, 4],
        [40, 4],
      ],
      10,
      [
        [
          [0, 4],
          [20, 4],
          [40, 2],
        ],
        [[42, 2]],
      ],
    ],
  ] as const)("cuts %j at %i", (fresh, atMost, expected) => {
    expect(
      segmentsOf(
        fresh.map(([offset, length]) => [offset, length]),
        atMost,
      ),
    ).toEqual(expected);
  });
});
