import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, open, rm, stat, type FileHandle } from "node:fs/promises";
import path from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { readRange } from "../process/files.js";
import { startZstd } from "../process/zstd.js";
import {
  recipeFrame,
  segmentLimits,
  sum,
  type Range,
  type Recipe,
  type SegmentLimits,
} from "../store/delta.js";
import { blockBytes, blocksIn, none, slabs, zero, type DiskBlocks } from "./blocks.js";

/*
 * Making a delta (release/store/delta.ts). The base is read once, as a stream: what of it is in the disk is noted by number, and only the
 * rest of it is kept, in a file.
 */

/**
 * Of six pairs of this project's images level 9 gave 0.87 to 0.99 of level 3, for a second at most; level 19 another 0.82 to 0.86, for
 * twenty. What is fresh is small, so a strong level costs little; nobody waits for the last tenth of a small number.
 */
const level = "-9";

/** A base, looked at with the disk in mind. */
export interface BaseBlocks {
  /** By the base's block numbers: the number of the disk's block with the same content, `zero`, or `none`. */
  contents: Uint32Array;
  /** By the disk's block numbers: the base's first block with the same content, or `none`. */
  first: Uint32Array;
  /** The numbers of those blocks of the base that are nowhere in the disk; their bytes are in the file `rest`, in this order. */
  rest: number[];
}

/** A delta as two files: what comes first, and the frames of its segments. */
export interface MadeDelta {
  head: Buffer;
  frames: string;
  bytes: number;
  sha256: string;
}

/**
 * Reads a base to its end.
 * @param rest the file that those blocks are written to which are nowhere in the disk
 */
export async function readBase(
  stream: AsyncIterable<Buffer>,
  bytes: number,
  disk: DiskBlocks,
  rest: string,
): Promise<BaseBlocks> {
  const base: BaseBlocks = {
    contents: new Uint32Array(Math.floor(bytes / blockBytes)).fill(none),
    first: new Uint32Array(disk.contents.length).fill(none),
    rest: [],
  };
  const file = await open(rest, "w");
  try {
    let number = 0;
    for await (const slab of slabs(stream)) {
      const left: Buffer[] = [];
      for (const block of blocksIn(slab)) {
        const content = disk.find(block);
        base.contents[number] = content;
        if (content === none) {
          base.rest.push(number);
          left.push(block);
        } else if (content !== zero && base.first[content] === none) base.first[content] = number;
        number++;
      }
      if (left.length > 0) await file.appendFile(Buffer.concat(left));
    }
  } finally {
    await file.close();
  }
  return base;
}

/**
 * What of the disk is where. Where the base has a content twice, the block is taken that goes on from the one before, so that a file which
 * moved as a whole is one step.
 * @returns the steps of a recipe, and which ranges of the disk are fresh
 */
export function compareBlocks(
  disk: DiskBlocks,
  base: BaseBlocks,
): { steps: Recipe["steps"]; fresh: Range[] } {
  const steps: Recipe["steps"] = [];
  const fresh: Range[] = [];
  let step: Recipe["steps"][number] = [0, 0, 0, 0];
  const begin = (isNew: boolean) => {
    if (!isNew) return;
    steps.push(step);
    step = [0, 0, 0, 0];
  };
  const addFresh = (offset: number, length: number) => {
    begin(step[1] > 0 || step[3] > 0);
    step[0] += length;
    const last = fresh.at(-1);
    if (last !== undefined && last[0] + last[1] === offset) last[1] += length;
    else fresh.push([offset, length]);
  };
  disk.contents.forEach((content, number) => {
    const end = step[2] + step[3];
    const goesOn = step[3] > 0 && base.contents[end / blockBytes] === content;
    if (content === zero) {
      begin(step[3] > 0);
      step[1] += blockBytes;
    } else if (goesOn) {
      step[3] += blockBytes;
    } else if (base.first[content] !== none) {
      begin(step[3] > 0);
      step[2] = base.first[content]! * blockBytes;
      step[3] = blockBytes;
    } else {
      addFresh(number * blockBytes, blockBytes);
    }
  });
  const whole = disk.contents.length * blockBytes;
  if (whole < disk.bytes) addFresh(whole, disk.bytes - whole);
  begin(true);
  return { steps, fresh };
}

/** The fresh ranges of a disk in segments of at most so many bytes. */
export function segmentsOf(fresh: Range[], atMost: number): Range[][] {
  const segments: Range[][] = [];
  let room = 0;
  for (const [offset, length] of fresh)
    for (let done = 0; done < length;) {
      if (room === 0) {
        segments.push([]);
        room = atMost;
      }
      const piece = Math.min(room, length - done);
      segments.at(-1)!.push([offset + done, piece]);
      done += piece;
      room -= piece;
    }
  return segments;
}

/**
 * Of the base's rest, what a segment is compressed against: all of it, or as much as memory allows around where the segment is in the disk,
 * since a file system that changes a file mostly writes it near where it was.
 * @returns numbers in `rest`, from one up to another
 */
export function referenceOf(
  segment: Range[],
  { disk, base }: { disk: DiskBlocks; base: BaseBlocks },
  atMost: number,
): [from: number, to: number] {
  const { rest, contents } = base;
  const most = Math.floor(atMost / blockBytes);
  if (rest.length <= most) return [0, rest.length];
  const [first, last] = [segment[0]!, segment.at(-1)!];
  const middle = ((first[0] + last[0] + last[1]) / 2 / disk.bytes) * contents.length;
  const near = rest.findIndex((number) => number >= middle);
  const from = Math.max(0, (near === -1 ? rest.length : near) - Math.floor(most / 2));
  const start = Math.min(from, rest.length - most);
  return [start, start + most];
}

/**
 * Makes a delta.
 * @param file the disk
 * @param readFrom hands over its base as a stream, once, and again where that was cut
 * @param baseBytes how many bytes the base has
 * @param folder for what is written meanwhile; the frames stay there
 */
export async function makeDelta(
  file: string,
  disk: DiskBlocks,
  readFrom: (take: (stream: AsyncIterable<Buffer>) => Promise<void>) => Promise<void>,
  baseBytes: number,
  folder: string,
  limits: SegmentLimits = segmentLimits,
): Promise<MadeDelta> {
  await mkdir(folder, { recursive: true });
  const [rest, reference, frames] = ["rest", "reference", "frames"].map((name) =>
    path.join(folder, `delta.${name}`),
  ) as [string, string, string];
  try {
    let base: BaseBlocks | undefined;
    await readFrom(async (stream) => {
      base = await readBase(stream, baseBytes, disk, rest);
    });
    const { steps, fresh } = compareBlocks(disk, base!);
    const segments: Recipe["segments"] = [];
    await rm(frames, { force: true });
    for (const ranges of segmentsOf(fresh, limits.bytes)) {
      const [from, to] = referenceOf(ranges, { disk, base: base! }, limits.reference);
      await copyRange(rest, from * blockBytes, to * blockBytes, reference);
      const bytes = sum(ranges.map(([, length]) => length));
      const frame = await compressRanges(file, ranges, bytes, from === to ? null : reference, frames);
      segments.push({ bytes, frame, reference: rangesOf(base!.rest.slice(from, to)) });
    }
    const head = recipeFrame({ schema: 1, steps, segments });
    const hash = createHash("sha256").update(head);
    if (segments.length > 0) for await (const piece of createReadStream(frames)) hash.update(piece as Buffer);
    const bytes = head.length + sum(segments.map(({ frame }) => frame));
    return { head, frames, bytes, sha256: hash.digest("hex") };
  } finally {
    await Promise.all([rest, reference].map((name) => rm(name, { force: true })));
  }
}

/** Blocks by their numbers, as ranges of bytes. */
function rangesOf(numbers: number[]): Range[] {
  const ranges: Range[] = [];
  for (const number of numbers) {
    const last = ranges.at(-1);
    if (last !== undefined && last[0] + last[1] === number * blockBytes) last[1] += blockBytes;
    else ranges.push([number * blockBytes, blockBytes]);
  }
  return ranges;
}

async function copyRange(from: string, start: number, end: number, to: string): Promise<void> {
  const source = end > start ? createReadStream(from, { start, end: end - 1 }) : Readable.from([]);
  await pipeline(source, createWriteStream(to));
}

/** @returns how many bytes were appended to `frames` */
async function compressRanges(
  file: string,
  ranges: Range[],
  bytes: number,
  reference: string | null,
  frames: string,
): Promise<number> {
  const before = (await stat(frames).catch(() => null))?.size ?? 0;
  const source = await open(file);
  const against = reference === null ? [] : [`--patch-from=${reference}`];
  const zstd = startZstd([level, `--stream-size=${bytes}`, ...against]);
  try {
    await Promise.all([
      pipeline(readRanges(source, ranges), zstd.input),
      pipeline(zstd.output, createWriteStream(frames, { flags: "a" })),
      zstd.ended,
    ]);
  } finally {
    zstd.kill();
    await source.close();
  }
  return (await stat(frames)).size - before;
}

async function* readRanges(file: FileHandle, ranges: Range[]): AsyncGenerator<Buffer> {
  for (const range of ranges) yield* readRange(file, range);
}
