import { createReadStream } from "node:fs";
import { rm } from "node:fs/promises";
import pRetry from "p-retry";
import prettyBytes from "pretty-bytes";
import { UserError } from "../process/errors.js";
import { say, step } from "../process/progress.js";
import { cancellation } from "../process/run.js";
import { imageName, keys, type Architecture } from "../store/keys.js";
import { manifest, type Delta, type Manifest } from "../store/records.js";
import type { S3Store } from "../store/s3-store.js";
import { ConflictError, getJson, RepeatUploadError, type StoreReader } from "../store/store.js";
import { readBlocks, type DiskBlocks } from "./blocks.js";
import { readCompressed } from "./compress.js";
import { makeDelta, type MadeDelta } from "./make-delta.js";

/** A delta that is larger than this share of the whole compressed disk is not kept. */
const largestShare = 0.5;

const retries = 2;

/** What deltas take of a store. */
export type DeltaStore = StoreReader &
  Pick<S3Store, "head" | "download" | "upload" | "abortUnfinishedUploads">;

/** The disk that deltas make. */
export interface DeltaTarget {
  commit: string;
  arch: Architecture;
  /** The disk as a file. */
  file: string;
  /** What hosts download without a delta, in bytes. */
  compressedBytes: number;
  /** For what is written meanwhile. */
  folder: string;
}

/**
 * Stores deltas to a disk from those of other images. One that cannot be made, for whatever reason, is said in one line and left out: hosts
 * that find none download the whole disk.
 * @param from the other images' commits, newest first
 */
export async function publishDeltas(
  store: DeltaStore,
  target: DeltaTarget,
  from: () => Promise<string[]>,
): Promise<Delta[]> {
  const { commit, arch, file, compressedBytes } = target;
  const name = imageName(arch);
  let disk: DiskBlocks | undefined;
  const publishOne = async (other: string): Promise<Delta> => {
    const base = await getJson(store, keys.manifest(other, arch), manifest);
    if (base === null) throw new UserError("it is not in the store");
    const made = await step(`make the delta of ${name} from ${other}`, async (report) => {
      disk ??= await readBlocks(file);
      return makeDelta(file, disk, readerOf(store, base, report), base.disk.bytes, target.folder);
    });
    const sizes = `${prettyBytes(made.bytes)} of the whole image's ${prettyBytes(compressedBytes)}`;
    if (made.bytes > compressedBytes * largestShare)
      throw new UserError(`it would have ${sizes}, which saves too little`);
    const delta = await step(`store it: ${sizes}`, () => storeDelta(store, target, base, made));
    await rm(made.frames, { force: true });
    return delta;
  };
  const none = (whose: string) => (error: unknown) => {
    if (cancellation.signal.aborted) throw error;
    say(`${name} of ${commit} gets no delta${whose}: ${(error as Error).message.split("\n", 1)[0]}`);
    return [];
  };
  const stored: Delta[] = [];
  for (const other of await from().catch(none("")))
    if (other !== commit)
      stored.push(...(await publishOne(other).then((delta) => [delta], none(` from ${other}`))));
  return stored;
}

/** Reads the disk of a published image out of the store, from the beginning again where that is cut. */
function readerOf(store: DeltaStore, base: Manifest, report: (progress: string) => void) {
  const { compressed, disk } = base;
  return async (take: (stream: AsyncIterable<Buffer>) => Promise<void>): Promise<void> => {
    const found = await pRetry(
      async () =>
        readCompressed(await store.download(compressed.key), take, (bytes) =>
          report(`${prettyBytes(bytes)} of ${prettyBytes(compressed.bytes)} read`),
        ),
      { retries, minTimeout: 250, signal: cancellation.signal },
    );
    if (found.disk.sha256 !== disk.sha256)
      throw new UserError(`${compressed.key} in ${store.where} is not what its manifest says`);
  };
}

async function storeDelta(
  store: DeltaStore,
  { commit, arch }: DeltaTarget,
  base: Manifest,
  { head, frames, bytes, sha256 }: MadeDelta,
): Promise<Delta> {
  const key = keys.delta(commit, arch, base.commit, sha256);
  const content = async function* () {
    yield head;
    if (bytes > head.length) yield* createReadStream(frames) as AsyncIterable<Buffer>;
  };
  try {
    await pRetry(() => store.upload(key, content(), bytes, {}), {
      retries,
      shouldRetry: ({ error }) => error instanceof RepeatUploadError,
      signal: cancellation.signal,
    });
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error;
    // An earlier attempt, or another publisher at the same time, has made the same one: its key says what is in it.
    if ((await store.head(key))?.bytes !== bytes) throw error;
  }
  await store.abortUnfinishedUploads(key);
  return { from: base.commit, base: { ...base.disk }, key, bytes, sha256 };
}
