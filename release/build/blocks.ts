import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";

/*
 * Disks in blocks: which of one are somewhere in another. A block is that of the guest's file system, which begins at a multiple of its
 * size in a qcow2 as well, so what is the same in two disks is so block by block, wherever either has it.
 */

export const blockBytes = 4096;
/** In place of a block's number. */
export const none = 0xffff_ffff;
/** A block of zeros alone, which is no content. */
export const zero = 0xffff_fffe;

const zeroBlock = Buffer.alloc(blockBytes);

/** The whole blocks of a disk, each by the number of the first one with its content, or `zero`. */
export interface DiskBlocks {
  bytes: number;
  contents: Uint32Array;
  /** The number of the block with that content; `zero`; `none`: the disk has none. */
  find: (block: Buffer) => number;
}

/** Reads a disk and remembers what is in its blocks: about 24 bytes for each. */
export async function readBlocks(file: string): Promise<DiskBlocks> {
  const { size } = await stat(file);
  const count = Math.floor(size / blockBytes);
  const contents = new Uint32Array(count);
  const table = new HashTable(count);
  let number = 0;
  for await (const slab of slabs(createReadStream(file, { highWaterMark: 256 * blockBytes }))) {
    for (const block of blocksIn(slab)) {
      contents[number] = block.equals(zeroBlock) ? zero : table.add(hashOf(block), number);
      number++;
    }
  }
  return {
    bytes: size,
    contents,
    find: (block) => (block.equals(zeroBlock) ? zero : table.find(hashOf(block))),
  };
}

/** A stream in pieces of whole blocks; only the last piece may end within one. */
export async function* slabs(chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of chunks) {
    const all = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    const whole = all.length - (all.length % blockBytes);
    if (whole > 0) yield all.subarray(0, whole);
    rest = all.subarray(whole);
  }
  if (rest.length > 0) yield rest;
}

/** The whole blocks of a piece. */
export function* blocksIn(slab: Buffer): Generator<Buffer> {
  for (let at = 0; at + blockBytes <= slab.length; at += blockBytes) yield slab.subarray(at, at + blockBytes);
}

/**
 * 64 bits of a sha256: of ten million blocks on either side two that differ share them once in 200,000 times, and then a host that verifies
 * the disk takes the whole one.
 */
type Hash = [high: number, low: number];

function hashOf(block: Buffer): Hash {
  const digest = createHash("sha256").update(block).digest();
  return [digest.readUInt32LE(0), digest.readUInt32LE(4)];
}

/** Open addressing in typed arrays: a Map of as many entries would take five times the memory. */
class HashTable {
  readonly #high: Uint32Array;
  readonly #low: Uint32Array;
  /** A block's number plus one; 0: free. */
  readonly #slots: Uint32Array;

  constructor(blocks: number) {
    this.#high = new Uint32Array(blocks);
    this.#low = new Uint32Array(blocks);
    this.#slots = new Uint32Array(2 ** Math.ceil(Math.log2(Math.max(2, blocks * 2))));
  }

  /** @returns the number under which the hash was added first */
  add(hash: Hash, number: number): number {
    const slot = this.#slotOf(hash);
    const there = this.#slots[slot]!;
    if (there !== 0) return there - 1;
    [this.#high[number], this.#low[number]] = hash;
    this.#slots[slot] = number + 1;
    return number;
  }

  find(hash: Hash): number {
    const there = this.#slots[this.#slotOf(hash)]!;
    return there === 0 ? none : there - 1;
  }

  /** The slot that holds the hash, or would. */
  #slotOf([high, low]: Hash): number {
    const mask = this.#slots.length - 1;
    for (let slot = low & mask; ; slot = (slot + 1) & mask) {
      const there = this.#slots[slot]!;
      if (there === 0 || (this.#high[there - 1] === high && this.#low[there - 1] === low)) return slot;
    }
  }
}
