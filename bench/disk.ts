import { cp, open, readdir, stat } from "node:fs/promises";
import path from "node:path";
import { execa } from "execa";
import { platformPaths } from "../local/paths.js";

const sampleBytes = 500_000_000;

/**
 * A disk to measure with: the one that is given, else a base image that `npm start` left in the cache, else 500 MB of this machine's own /usr.
 * @returns where it comes from, for people
 */
export async function benchDisk(to: string, given: string | undefined): Promise<string> {
  const from = given ?? (await cachedDisk());
  if (from !== undefined) await cp(from, to);
  else
    await execa("sh", [
      "-c",
      `tar -cf - -C /usr bin lib share 2>/dev/null | head -c ${sampleBytes} > "$0"`,
      to,
    ]);
  return from === undefined ? "out of /usr" : path.basename(from);
}

/** A base image as builds start from, see image/. */
async function cachedDisk(): Promise<string | undefined> {
  const { cache } = platformPaths();
  const names = await readdir(cache).catch(() => []);
  const name = names.find((name) => name.endsWith("x86_64.qcow2"));
  return name === undefined ? undefined : path.join(cache, name);
}

/** A disk of exactly that many bytes: copies of another, each with other bytes every 64 KiB, so that none is found in the one before. */
export async function diskOfSize(from: string, to: string, bytes: number): Promise<void> {
  const [source, target] = [await open(from), await open(to, "w")];
  const { size } = await stat(from);
  try {
    const piece = Buffer.allocUnsafe(65_536);
    for (let written = 0; written < bytes;) {
      const start = written % size;
      const { bytesRead } = await source.read(
        piece,
        0,
        Math.min(piece.length, bytes - written, size - start),
        start,
      );
      piece.writeUInt8(Math.floor(written / size) % 256);
      await target.write(piece, 0, bytesRead);
      written += bytesRead;
    }
  } finally {
    await Promise.all([source.close(), target.close()]);
  }
}
