import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import type { Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { checksummed } from "../process/hash.js";
import { startZstd } from "../process/zstd.js";

/**
 * All cores, level 6, a window of 64 MiB and jobs of 6 MiB: the least work that gives less than upstream's `zstd -9` for a whole disk.
 * It gave 0.990 of that for a Debian base of 263 MB and for an image built on it, 0.90 to 0.98 for five disks and archives of libraries and
 * programs, 0.4 to 0.8 GB, but 1.008 for one of Node packages, 1.018 for one of a browser and a compiler. It is the window that makes up
 * for the level. Jobs, the pieces that cores take in turns, have 2 MiB where `--long` chooses them, and each begins with half a MiB of
 * what came before (https://github.com/facebook/zstd/blob/v1.5.4/lib/compress/zstdmt_compress.c, ZSTDMT_computeTargetJobLog): that takes
 * up to a seventh more work for 0.5 to 0.7 % more space. Level 5 with a larger table takes a twelfth less work, and 0.5 to 2.1 % more.
 * The result is the same on any number of cores; it takes 110 MiB of memory on two, 8 MiB more for each other one. Hosts accept up to
 * `--long=27`, as `zstd -d` does without being told.
 */
export const compression = ["-T0", "-6", "-B6M", "--long=26", "--zstd=overlapLog=9"];
const decompression = ["-d", "--long=27"];

const feedBytes = 1024 * 1024;

/** What a stream was, known once it has ended. */
export interface Digest {
  bytes: number;
  /** Lowercase hex. */
  sha256: string;
}

/** A disk, and its compressed form. */
export interface Digests {
  disk: Digest;
  compressed: Digest;
}

/** The same with the CRC32 that a store keeps of the compressed form (ObjectFacts). */
export interface StoredDigests extends Digests {
  compressed: Digest & { crc32: string };
}

/** The compressed form of a disk, as it is made. */
export interface CompressedDisk {
  /** To be read once. They end only after the whole disk was read and zstd was happy with it; any trouble is an error of theirs. */
  chunks: AsyncIterable<Buffer>;
  /** Known after the last chunk. */
  digests: () => Digests;
}

/**
 * Reads a disk once, hashes and compresses it on the way, with back-pressure from the reader of the chunks.
 * @param report gets the number of bytes of the disk read so far
 */
export function compressDisk(file: string, report: (bytes: number) => void): CompressedDisk {
  const compressed = measure();
  let disk: Digest | undefined;
  async function* chunks() {
    const source = await open(file);
    const { size } = await source.stat();
    const zstd = startZstd([...compression, `--stream-size=${size}`]);
    const feeding = feed(source, zstd.input, report);
    feeding.catch(() => undefined);
    // Left early, this loop closes the pipe, and with it ends zstd.
    for await (const chunk of zstd.output) {
      compressed.update(chunk);
      yield chunk;
    }
    // Without these two an unreadable disk would look like a short one, and be published.
    [disk] = await Promise.all([feeding, zstd.ended]);
  }
  return {
    chunks: chunks(),
    digests: () => {
      if (disk === undefined) throw new Error(`${file} is not read to its end`);
      return { disk, compressed: compressed.digest() };
    },
  };
}

/**
 * Writes a file to a stream and hashes it. All through one buffer: a read stream takes a new one for each piece, and the garbage
 * collector would be the largest consumer of time in this process.
 */
async function feed(from: FileHandle, to: Writable, report: (bytes: number) => void): Promise<Digest> {
  const hash = createHash("sha256");
  const buffer = Buffer.allocUnsafe(feedBytes);
  let bytes = 0;
  try {
    for (;;) {
      const { bytesRead } = await from.read(buffer);
      if (bytesRead === 0) break;
      const piece = buffer.subarray(0, bytesRead);
      hash.update(piece);
      await new Promise<void>((written, failed) =>
        to.write(piece, (error) => (error ? failed(error) : written())),
      );
      bytes += bytesRead;
      report(bytes);
    }
    return { bytes, sha256: hash.digest("hex") };
  } finally {
    to.end();
    await from.close();
  }
}

/**
 * Reads the compressed form of a disk to its end: what it is, and what the disk inside it is.
 * @param target the file that the disk is written to
 */
export async function measureCompressed(
  source: AsyncIterable<Buffer>,
  target: string,
  report: (bytes: number) => void,
): Promise<StoredDigests> {
  const stored = checksummed(source);
  const { disk, compressed } = await readCompressed(
    stored.chunks,
    (disk) => pipeline(disk, createWriteStream(target)),
    report,
  );
  return { disk, compressed: { ...compressed, crc32: stored.crc32() } };
}

/**
 * The same, with the disk handed on as it comes.
 * @param take reads the disk to its end
 * @param report gets the number of compressed bytes read so far
 */
export async function readCompressed(
  source: AsyncIterable<Buffer>,
  take: (disk: AsyncIterable<Buffer>) => Promise<void>,
  report: (bytes: number) => void,
): Promise<Digests> {
  const zstd = startZstd(decompression);
  const disk = measure();
  const compressed = measure();
  try {
    await Promise.all([
      pipeline(source, (chunks: AsyncIterable<Buffer>) => compressed.through(chunks, report), zstd.input),
      take(disk.through(zstd.output)),
      zstd.ended,
    ]);
  } finally {
    zstd.kill();
  }
  return { disk: disk.digest(), compressed: compressed.digest() };
}

/** Hashes what passes. */
function measure() {
  const hash = createHash("sha256");
  let bytes = 0;
  const update = (chunk: Buffer) => {
    hash.update(chunk);
    bytes += chunk.length;
  };
  return {
    update,
    async *through(chunks: AsyncIterable<Buffer>, report?: (bytes: number) => void): AsyncGenerator<Buffer> {
      for await (const chunk of chunks) {
        update(chunk);
        report?.(bytes);
        yield chunk;
      }
    },
    digest: (): Digest => ({ bytes, sha256: hash.digest("hex") }),
  };
}
