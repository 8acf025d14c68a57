import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { Readable, type Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { crc32 } from "node:zlib";
import { crc32Text } from "../process/hash.js";
import { startZstd } from "../process/zstd.js";

/**
 * All cores, level 6 with the match finder of level 8 (strategy 5, lazy2), and a window of 64 MiB: the least work and memory that gives
 * less than upstream's `zstd -9`. Of nine whole disks, 262 to 1751 MB, it gave 0.981 to 0.998 of that, level 7 0.973 to 0.995 with 110
 * in place of 92 MiB of memory (2 cores). On one of 474 MB level 6 as it is gave 1.011, level 7 with a window of 32 MiB 1.003. It is the
 * window that makes up for the level: of the first 200 MB of that disk it gave 1.007. Hosts accept up to `--long=27`, as `zstd -d` does
 * without being told.
 */
export const compression = ["-T0", "-6", "--long=26", "--zstd=strategy=5,overlapLog=9"];
const decompression = ["-d", "--long=27"];

const feedBytes = 1024 * 1024;

/** What a stream was, known once it has ended. */
export interface Digest {
  bytes: number;
  /** Lowercase hex. */
  sha256: string;
}

/** A disk, and its compressed form with the CRC32 that a store keeps of it (ObjectFacts). */
export interface Digests {
  disk: Digest;
  compressed: Digest & { crc32: string };
}

/** The compressed form of a disk as a stream, and what passed through once it has ended. */
export interface CompressedDisk {
  /** Ends only after the whole disk was read and zstd was happy with it; any trouble is an error of this stream. */
  stream: Readable;
  /** Rejects where the stream fails. */
  digests: Promise<Digests>;
}

/**
 * Reads a disk once, hashes and compresses it on the way, with back-pressure from the reader of the stream.
 * @param report gets the number of bytes of the disk read so far
 */
export async function compressDisk(file: string, report: (bytes: number) => void): Promise<CompressedDisk> {
  const { size } = await stat(file);
  const zstd = startZstd([...compression, `--stream-size=${size}`]);
  const compressed = measure();
  const feeding = feed(file, zstd.input, report);
  feeding.catch(() => undefined);
  const { promise: digests, resolve, reject } = promiseParts<Digests>();
  const stream = Readable.from(
    (async function* () {
      try {
        yield* compressed.through(zstd.output);
        // Without these two an unreadable disk would look like a short one, and be published.
        const [disk] = await Promise.all([feeding, zstd.ended]);
        resolve({ disk, compressed: compressed.digest() });
      } catch (error) {
        reject(error);
        throw error;
      }
    })(),
  );
  // Also where the reader gives up, even before its first read.
  stream.once("close", zstd.kill);
  return { stream, digests };
}

/**
 * Writes a file to a stream and hashes it. All through one buffer: a read stream takes a new one for each piece, and the garbage
 * collector would be the largest consumer of time in this process.
 */
async function feed(file: string, to: Writable, report: (bytes: number) => void): Promise<Digest> {
  const hash = createHash("sha256");
  const buffer = Buffer.allocUnsafe(feedBytes);
  let bytes = 0;
  const handle = await open(file);
  try {
    for (;;) {
      const { bytesRead } = await handle.read(buffer);
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
    await handle.close();
  }
}

/**
 * Reads the compressed form of a disk to its end: what it is, and what the disk inside it is.
 * @param target the file that the disk is written to
 */
export async function measureCompressed(
  source: Readable,
  target: string,
  report: (bytes: number) => void,
): Promise<Digests> {
  return readCompressed(source, (disk) => pipeline(disk, createWriteStream(target)), report);
}

/**
 * The same, with the disk handed on as it comes.
 * @param take reads the disk to its end
 * @param report gets the number of compressed bytes read so far
 */
export async function readCompressed(
  source: Readable,
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

/** Hashes what passes through. */
function measure() {
  const hash = createHash("sha256");
  let bytes = 0;
  let sum = 0;
  return {
    async *through(chunks: AsyncIterable<Buffer>, report?: (bytes: number) => void): AsyncGenerator<Buffer> {
      for await (const chunk of chunks) {
        hash.update(chunk);
        sum = crc32(chunk, sum);
        bytes += chunk.length;
        report?.(bytes);
        yield chunk;
      }
    },
    digest: () => ({ bytes, sha256: hash.digest("hex"), crc32: crc32Text(sum) }),
  };
}

function promiseParts<T>() {
  let resolve!: (value: T) => void;
  let reject!: (reason: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  promise.catch(() => undefined);
  return { promise, resolve, reject };
}
