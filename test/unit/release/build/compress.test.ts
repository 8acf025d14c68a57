import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { crc32 } from "node:zlib";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { compressDisk, measureCompressed, readCompressed } from "../../../../release/build/compress.js";
import { crc32Text } from "../../../../release/process/hash.js";

let folder: string;
let file: string;
let target: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "runner-images-zstd-"));
  file = path.join(folder, "disk");
  target = path.join(folder, "target");
});
afterEach(() => rm(folder, { recursive: true }));

const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
const nothing = () => undefined;
/** Process ids of what this thread has started. */
const children = () => readFileSync("/proc/thread-self/children", "utf8");

describe("compressing a disk in one pass", () => {
  const disk = Buffer.concat([randomBytes(3_000_000), Buffer.alloc(3_000_000), Buffer.from("end")]);

  it("yields both hashes, and what decompresses to the same disk", async () => {
    await writeFile(file, disk);
    const { chunks, digests } = compressDisk(file, nothing);
    const compressed = await buffer(chunks);
    const measured = digests();
    expect(measured).toEqual({
      disk: { bytes: disk.length, sha256: sha256(disk) },
      compressed: { bytes: compressed.length, sha256: sha256(compressed) },
    });
    expect(await measureCompressed(Readable.from([compressed]), target, nothing)).toEqual({
      ...measured,
      compressed: { ...measured.compressed, crc32: crc32Text(crc32(compressed)) },
    });
    expect(disk.equals(await readFile(target))).toBe(true);
  });

  it("reports how far it has read", async () => {
    await writeFile(file, disk);
    const reports: number[] = [];
    await buffer(compressDisk(file, (bytes) => reports.push(bytes)).chunks);
    expect(reports.at(-1)).toBe(disk.length);
    expect(reports).toEqual([...reports].sort((a, b) => a - b));
  });

  it("fails rather than ends where the disk cannot be read to its end", async () => {
    // A folder opens, but does not read.
    const { chunks, digests } = compressDisk(folder, nothing);
    await expect(buffer(chunks)).rejects.toThrow();
    expect(digests).toThrow(/is not read to its end/);
  });

  it("fails where the disk cannot be opened, and starts nothing", async () => {
    // The compressor of the test before may be ending still.
    await vi.waitFor(() => expect(children()).toEqual(""));
    // A socket can be looked at, but not opened.
    const server = createServer();
    await new Promise<void>((listening) => server.listen(file, listening));
    await expect(buffer(compressDisk(file, nothing).chunks)).rejects.toThrow(/ENXIO/);
    expect(children()).toEqual("");
    server.close();
  });

  it("leaves no compressor behind where whoever reads gives up", async () => {
    await writeFile(file, randomBytes(20_000_000));
    for await (const chunk of compressDisk(file, nothing).chunks) {
      expect(chunk.length).toBeGreaterThan(0);
      expect(children()).not.toEqual("");
      break;
    }
    await vi.waitFor(() => expect(children()).toEqual(""));
  });

  it("loses nothing where whoever reads begins late", async () => {
    await writeFile(file, disk);
    const compressed = await buffer(compressDisk(file, nothing).chunks);
    const pieces: Buffer[] = [];
    const late = async (stream: AsyncIterable<Buffer>) => {
      // Until zstd must have written some.
      await new Promise((resolve) => setTimeout(resolve, 200));
      for await (const piece of stream) pieces.push(piece);
    };
    await readCompressed(Readable.from([compressed]), late, nothing);
    expect(Buffer.concat(pieces).equals(disk)).toBe(true);
  });

  it("refuses a compressed disk that is cut short", async () => {
    await writeFile(file, disk);
    const compressed = await buffer(compressDisk(file, nothing).chunks);
    const cut = compressed.subarray(0, compressed.length - 10);
    await expect(measureCompressed(Readable.from([cut]), target, nothing)).rejects.toThrow(
      /zstd failed: .*(end of file|premature end)/i,
    );
  });
});
