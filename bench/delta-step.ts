/**
 * One step of bench/delta.ts in a process of its own, so that its memory is its own.
 *
 * Usage: node <its bundle> make <base> <disk> <delta>
 *        node <its bundle> apply <base> <delta> <disk> <bytes of the disk>
 */
import { createReadStream } from "node:fs";
import { readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { readBlocks } from "../release/build/blocks.js";
import { makeDelta } from "../release/build/make-delta.js";
import { applyDelta } from "../release/host/delta.js";

const [verb, base, second, third, bytes] = process.argv.slice(2) as [string, string, string, string, string];
const baseBytes = (await stat(base)).size;
if (verb === "make") {
  const folder = `${third}.folder`;
  const read = (take: (stream: AsyncIterable<Buffer>) => Promise<void>) => take(createReadStream(base));
  const { head, frames } = await makeDelta(second, await readBlocks(second), read, baseBytes, folder);
  await writeFile(third, head);
  await writeFile(third, await readFile(frames), { flag: "a" });
  await rm(folder, { recursive: true });
} else {
  const known = { bytes: (await stat(second)).size, base: { bytes: baseBytes, sha256: "" } };
  const files = { part: `${third}.part`, delta: second, reference: `${third}.reference` };
  const sha256 = await applyDelta(base, known, Number(bytes), files);
  await rename(files.part, third);
  process.stdout.write(`${sha256}\n`);
}
