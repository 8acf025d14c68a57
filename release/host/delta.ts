import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, rm, stat, type FileHandle } from "node:fs/promises";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import prettyBytes from "pretty-bytes";
import { readAt, readRange } from "../process/files.js";
import { sha256File } from "../process/hash.js";
import { say, step } from "../process/progress.js";
import { cancellation } from "../process/run.js";
import { startZstd } from "../process/zstd.js";
import { DeltaError, readRecipe, type Range, type Recipe } from "../store/delta.js";
import { imageName } from "../store/keys.js";
import type { Delta, Manifest } from "../store/records.js";
import { downloadFile, receivedBytes } from "./download.js";

const pieceBytes = 1024 * 1024;
const zeros = Buffer.alloc(pieceBytes);

export interface DeltaRequest {
  /** Base URL of the CDN, without a slash at its end. */
  url: string;
  published: Manifest;
  /** Where images are kept: a base is `<directory>/<commit>/ubuntu-<arch>.qcow2`. */
  directory: string;
  /** What the disk will be called; it is written to `<target>.part`. */
  target: string;
  retries: number | undefined;
}

export interface DeltaOutcome {
  /** The commit of the image that the disk was made of, which now is in `<target>.part`; null: no delta was of use. */
  from: string | null;
  /** Bytes that came through the network for it, in vain or not. */
  downloadedBytes: number;
}

/**
 * Makes the disk of an image out of one that is here already, where a delta says how. Each base is verified before anything is downloaded
 * for it, and the result by the disk's sha256. Whatever goes wrong is said in one line and is no error: there is the whole image.
 */
export async function makeFromDelta(request: DeltaRequest): Promise<DeltaOutcome> {
  const { published, directory } = request;
  const { commit, arch, deltas = [] } = published;
  const received = receivedBytes();
  for (const delta of [...deltas].sort((a, b) => a.bytes - b.bytes)) {
    const base = path.resolve(directory, delta.from, `${imageName(arch)}.qcow2`);
    if ((await stat(base).catch(() => null)) === null) continue;
    try {
      await step(`make ${imageName(arch)} of ${commit} out of ${delta.from}, which is here`, (report) =>
        makeFrom(base, delta, request, (have) => {
          received.note(have);
          report(`${prettyBytes(have)} of ${prettyBytes(delta.bytes)}`);
        }),
      );
      return { from: delta.from, downloadedBytes: received.count() };
    } catch (error) {
      if (cancellation.signal.aborted) throw error;
      say(`${delta.from} is of no use to it: ${(error as Error).message.split("\n", 1)[0]}`);
    }
  }
  await discardDelta(request.target);
  return { from: null, downloadedBytes: received.count() };
}

/** Removes what a delta, finished or not, leaves beside a disk. */
export async function discardDelta(target: string): Promise<void> {
  const { delta, reference } = filesOf(target);
  await Promise.all([delta, `${delta}.etag`, reference].map((file) => rm(file, { force: true })));
}

function filesOf(target: string) {
  return { part: `${target}.part`, delta: `${target}.delta.part`, reference: `${target}.reference.part` };
}

async function makeFrom(
  base: string,
  delta: Delta,
  { url, published, target, retries }: DeltaRequest,
  report: (have: number) => void,
): Promise<void> {
  if ((await stat(base)).size !== delta.base.bytes || (await sha256File(base)) !== delta.base.sha256)
    throw new DeltaError(`${base} is not what was published`);
  const files = filesOf(target);
  await mkdir(path.dirname(target), { recursive: true });
  await download(`${url}/${delta.key}`, files.delta, delta, { retries, report });
  try {
    const sha256 = await applyDelta(base, delta, published.disk.bytes, files);
    if (sha256 !== published.disk.sha256) throw new DeltaError(`it makes a disk with the sha256 ${sha256}`);
  } catch (error) {
    await rm(files.part, { force: true });
    throw error;
  }
}

async function download(
  source: string,
  file: string,
  delta: Delta,
  options: { retries: number | undefined; report: (have: number) => void },
): Promise<void> {
  const what = "the delta";
  const attempt = async () => {
    const { resumed } = await downloadFile(source, file, delta.bytes, { what, ...options });
    return { resumed, isRight: (await sha256File(file)) === delta.sha256 };
  };
  const discard = () => Promise.all([file, `${file}.etag`].map((name) => rm(name, { force: true })));
  let found = await attempt();
  if (!found.isRight && found.resumed) {
    // What an earlier run left can have been damaged here, or be of another delta.
    await discard();
    found = await attempt();
  }
  if (found.isRight) return;
  await discard();
  throw new DeltaError(`${source} does not have the sha256 its manifest says (${delta.sha256})`);
}

/**
 * Writes the disk that a delta makes out of its base.
 * @param files the delta, the disk that is written, and what is compressed against while it is
 * @returns the sha256 of what was written
 */
export async function applyDelta(
  base: string,
  delta: Pick<Delta, "bytes" | "base">,
  diskBytes: number,
  files: { part: string; delta: string; reference: string },
): Promise<string> {
  const hash = createHash("sha256");
  // Held open: whoever prunes this host's images does not take it away meanwhile.
  const [from, packed] = [await open(base), await open(files.delta)];
  const to = await open(files.part, "w");
  try {
    const { recipe, start } = await readRecipe((offset, length) => readAt(packed, offset, length), {
      deltaBytes: delta.bytes,
      diskBytes,
      baseBytes: delta.base.bytes,
    });
    const fresh = supplyOf(unpackSegments(recipe, start, from, files));
    await to.truncate(diskBytes);
    let at = 0;
    const put = async (piece: Buffer) => {
      hash.update(piece);
      await writeAt(to, piece, at);
      at += piece.length;
    };
    try {
      for (const [bytes, holes, offset, length] of recipe.steps) {
        for await (const piece of fresh.take(bytes)) await put(piece);
        // Nothing is written there: they are holes in the file.
        for (let done = 0; done < holes; done += pieceBytes)
          hash.update(zeros.subarray(0, Math.min(pieceBytes, holes - done)));
        at += holes;
        for await (const piece of readRange(from, [offset, length])) await put(piece);
      }
      await fresh.end();
    } finally {
      await fresh.close();
    }
  } finally {
    await Promise.all([from.close(), packed.close(), to.close()]);
    await rm(files.reference, { force: true });
  }
  return hash.digest("hex");
}

/** The fresh bytes of all segments, as they come. */
async function* unpackSegments(
  { segments }: Recipe,
  start: number,
  base: FileHandle,
  files: { delta: string; reference: string },
): AsyncGenerator<Buffer> {
  let position = start;
  for (const { frame, reference } of segments) {
    await writeRanges(base, reference, files.reference);
    const against = reference.length === 0 ? [] : [`--patch-from=${files.reference}`];
    const zstd = startZstd(["-d", "--long=27", ...against]);
    const feeding = pipeline(
      createReadStream(files.delta, { start: position, end: position + frame - 1 }),
      zstd.input,
    );
    feeding.catch(() => undefined);
    try {
      yield* zstd.output;
      await Promise.all([zstd.ended, feeding]);
    } finally {
      zstd.kill();
    }
    position += frame;
  }
}

async function writeRanges(from: FileHandle, ranges: Range[], file: string): Promise<void> {
  const to = await open(file, "w");
  try {
    let at = 0;
    for (const range of ranges)
      for await (const piece of readRange(from, range)) {
        await writeAt(to, piece, at);
        at += piece.length;
      }
  } finally {
    await to.close();
  }
}

/** Pieces of a stream of the lengths that are asked for. */
function supplyOf(chunks: AsyncGenerator<Buffer>) {
  let rest: Buffer = Buffer.alloc(0);
  const more = async (): Promise<boolean> => {
    const next = await chunks.next();
    if (next.done !== true) rest = next.value;
    return next.done !== true;
  };
  return {
    async *take(bytes: number): AsyncGenerator<Buffer> {
      for (let missing = bytes; missing > 0;) {
        if (rest.length === 0) {
          if (!(await more())) throw new DeltaError("its frames hold less than its recipe says");
          continue;
        }
        const piece = rest.subarray(0, missing);
        rest = rest.subarray(piece.length);
        missing -= piece.length;
        yield piece;
      }
    },
    /** After the last piece: nothing may be left, and whoever supplies has to have ended well. */
    async end(): Promise<void> {
      if (rest.length > 0 || (await more()))
        throw new DeltaError("its frames hold more than its recipe says");
    },
    close: () => chunks.return(undefined),
  };
}

async function writeAt(file: FileHandle, piece: Buffer, offset: number): Promise<void> {
  for (let done = 0; done < piece.length;)
    done += (await file.write(piece, done, piece.length - done, offset + done)).bytesWritten;
}
