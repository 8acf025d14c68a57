import { randomBytes } from "node:crypto";
import { blockBytes } from "../../../../release/build/blocks.js";

/** A block that zstd cannot make smaller, and that no other has a part of. */
export function block(): Buffer {
  return randomBytes(blockBytes);
}

export function blocks(count: number): Buffer[] {
  return Array.from({ length: count }, block);
}

export const zeroBlock = Buffer.alloc(blockBytes);

/** The same with one byte changed: what a file system does to a block of inodes. */
export function changed(before: Buffer): Buffer {
  const after = Buffer.from(before);
  after[100]! ^= 1;
  return after;
}
