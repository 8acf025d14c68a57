import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { crc32 } from "node:zlib";
import { cancellation } from "./run.js";

/** Hex sha256 of a file. */
export async function sha256File(file: string): Promise<string> {
  return sha256Stream(createReadStream(file, { highWaterMark: 1024 * 1024 }));
}

/** Hex sha256 of a stream, read to its end. */
export async function sha256Stream(stream: Readable): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(stream, hash, { signal: cancellation.signal });
  return hash.digest("hex");
}

/** Chunks on their way, and what has passed so far: its bytes, and its CRC32 as S3 writes it. */
export function checksummed(chunks: AsyncIterable<Buffer>) {
  let bytes = 0;
  let sum = 0;
  return {
    chunks: (async function* () {
      for await (const chunk of chunks) {
        bytes += chunk.length;
        sum = crc32(chunk, sum);
        yield chunk;
      }
    })(),
    bytes: () => bytes,
    crc32: () => crc32Text(sum),
  };
}

/** A CRC32 as S3 writes it: base64 of the number's big-endian bytes. */
export function crc32Text(sum: number): string {
  const number = Buffer.alloc(4);
  number.writeUInt32BE(sum);
  return number.toString("base64");
}
