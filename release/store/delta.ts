import { brotliCompressSync, brotliDecompressSync, constants } from "node:zlib";
import { z } from "zod";
import { UserError } from "../process/errors.js";
import { parseJson } from "./store.js";

/*
 * A delta makes the disk of an image out of that of another one, its base. Most of a disk is somewhere in the other too, mostly elsewhere,
 * and is copied; the rest is fresh. The fresh bytes are compressed by zstd in segments, each against such parts of the base as nothing is
 * copied from: a file that was changed is there as it was before. So it takes memory by what changed, whatever the size of the disk.
 *
 * The object is a zstd file: first a skippable frame (https://www.rfc-editor.org/rfc/rfc8878#section-3.1.2) with the recipe, as JSON
 * compressed by Brotli, then a frame for each segment.
 */

const count = z.number().int().nonnegative();

/** What the disk is made of. All numbers are bytes. */
export const recipe = z.object({
  schema: z.literal(1),
  /** In the order of the disk: so many fresh bytes, then so many zeros, then what the base has from an offset on, in so many bytes. */
  steps: z.array(z.tuple([count, count, count, count])),
  /** The fresh bytes in their order: how many, in a frame how long, compressed against which ranges of the base (offset, length). */
  segments: z.array(
    z.object({
      bytes: count,
      frame: z.number().int().positive(),
      reference: z.array(z.tuple([count, count])),
    }),
  ),
});
export type Recipe = z.infer<typeof recipe>;
export type Range = [offset: number, length: number];

/**
 * What a segment takes at most, in bytes: zstd holds both in memory, with which a host stays well below 1 GiB (docs/benchmarks.md). The
 * window that it asks for is within the contract's, 2^27.
 */
export const segmentLimits = { bytes: 64 * 2 ** 20, reference: 256 * 2 ** 20 } as const;
export type SegmentLimits = { [name in keyof typeof segmentLimits]: number };

const magic = 0x184d2a50;
const magicBytes = 8;
/** A recipe that is longer is none that this project made. */
const maxRecipeBytes = 64 * 2 ** 20;

/** A delta that cannot be what its manifest says. */
export class DeltaError extends UserError {}

/** The beginning of a delta: all but the segments' frames. */
export function recipeFrame(content: Recipe): Buffer {
  const text = Buffer.from(JSON.stringify(content));
  if (text.length > maxRecipeBytes) throw new DeltaError(`its recipe has over ${maxRecipeBytes} bytes`);
  const packed = brotliCompressSync(text, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } });
  const head = Buffer.alloc(magicBytes);
  head.writeUInt32LE(magic, 0);
  head.writeUInt32LE(packed.length, 4);
  return Buffer.concat([head, packed]);
}

/**
 * The recipe of a delta, held to what is known of it.
 * @param read gets a part of the delta
 * @returns also where the first segment's frame begins
 * @throws DeltaError
 */
export async function readRecipe(
  read: (offset: number, length: number) => Promise<Buffer>,
  known: { deltaBytes: number; diskBytes: number; baseBytes: number },
): Promise<{ recipe: Recipe; start: number }> {
  const head = await read(0, magicBytes);
  const length = head.length < magicBytes || head.readUInt32LE(0) !== magic ? null : head.readUInt32LE(4);
  if (length === null || length > known.deltaBytes) throw new DeltaError("it does not begin as a delta does");
  const found = parseRecipe(await read(magicBytes, length));
  const start = magicBytes + length;
  if (found === null) throw new DeltaError("its recipe cannot be read");
  const problem = objection(found, { ...known, deltaBytes: known.deltaBytes - start });
  if (problem !== null) throw new DeltaError(problem);
  return { recipe: found, start };
}

function parseRecipe(packed: Buffer): Recipe | null {
  try {
    const text = brotliDecompressSync(packed, { maxOutputLength: maxRecipeBytes });
    return parseJson(text.toString("utf8"), recipe);
  } catch {
    return null;
  }
}

/** Before anything is written: what would end in another disk, or take more memory than a host was promised. */
function objection(
  { steps, segments }: Recipe,
  known: { deltaBytes: number; diskBytes: number; baseBytes: number },
): string | null {
  const fresh = sum(steps.map(([bytes]) => bytes));
  const made = fresh + sum(steps.map(([, zeros, , length]) => zeros + length));
  const ranges = [
    ...steps.map(([, , from, length]): Range => [from, length]),
    ...segments.flatMap(({ reference }) => reference),
  ];
  if (made !== known.diskBytes) return `it makes ${made} bytes, and the disk has ${known.diskBytes}`;
  if (fresh !== sum(segments.map(({ bytes }) => bytes))) return "its segments are not its fresh bytes";
  if (known.deltaBytes !== sum(segments.map(({ frame }) => frame))) return "its frames are not all there";
  if (ranges.some(([from, length]) => from + length > known.baseBytes))
    return "it reads beyond its base's end";
  const isLarge = segments.some(
    ({ bytes, reference }) =>
      bytes > segmentLimits.bytes || sum(reference.map(([, length]) => length)) > segmentLimits.reference,
  );
  return isLarge ? "a segment of it takes more memory than a delta may" : null;
}

export function sum(numbers: number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
