import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { cancellation } from "./run.js";

/** Hex sha256 of a file. */
export async function sha256File(file: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(file, { highWaterMark: 1024 * 1024 }), hash, {
    signal: cancellation.signal,
  });
  return hash.digest("hex");
}
