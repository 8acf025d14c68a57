import { devNull } from "node:os";
import { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import { imageName, keys, type Architecture } from "../store/keys.js";
import { fetchReason, UserError } from "../process/errors.js";
import { sha256Stream } from "../process/hash.js";
import { step } from "../process/progress.js";
import { cancellation } from "../process/run.js";
import { ZstdError } from "../process/zstd.js";
import { manifest, type Delta, type Manifest } from "../store/records.js";
import type { S3Store } from "../store/s3-store.js";
import { parseJson } from "../store/store.js";
import { DamagedError, explainStoreError } from "../store/store-errors.js";
import { measureCompressed } from "./compress.js";

/**
 * Reads every object of an image to its end, the disk included, from the store and from the CDN. In the store each has to be what it was
 * stored as, and the disk what its manifest says; the CDN has to serve the same.
 * @param url base URL of the CDN, without a slash at its end
 * @returns what is wrong, one line each
 */
export async function findDamage(
  store: S3Store,
  url: string,
  commit: string,
  architectures: readonly Architecture[],
): Promise<string[]> {
  const stored = await store.list(keys.imagesPrefix(commit));
  const problems: string[] = [];
  for (const arch of architectures) {
    const published = await readManifest(store, commit, arch);
    for (const key of stored.filter((key) =>
      key.startsWith(`${keys.imagesPrefix(commit)}${imageName(arch)}.`),
    )) {
      const disk = key === keys.disk(commit, arch) ? published : null;
      const delta = published?.deltas?.find((delta) => delta.key === key) ?? null;
      problems.push(...(await step(`read ${key}`, () => damageOf(store, url, key, disk, delta))));
    }
  }
  return problems;
}

/** Null: there is none to compare the disk with, which the proof says. */
async function readManifest(store: S3Store, commit: string, arch: Architecture): Promise<Manifest | null> {
  const stored = await store.get(keys.manifest(commit, arch)).catch((error: unknown) => {
    if (error instanceof DamagedError) return null;
    throw error;
  });
  return stored === null ? null : parseJson(stored.text, manifest);
}

/**
 * @param disk the manifest, where the object is its disk
 * @param delta what the manifest says of it, where it is a delta
 */
async function damageOf(
  store: S3Store,
  url: string,
  key: string,
  disk: Manifest | null,
  delta: Delta | null,
): Promise<string[]> {
  const problems: string[] = [];
  const attempt = (read: () => Promise<string>) =>
    read().catch((error: unknown) => {
      if (!(error instanceof DamagedError)) throw error;
      problems.push(error.message);
      return null;
    });
  const inStore = await attempt(() => readStored(store, key, disk));
  const served = await attempt(() => readServed(`${url}/${key}`));
  const right = disk?.compressed.sha256 ?? delta?.sha256 ?? inStore;
  if (delta !== null && inStore !== null && inStore !== delta.sha256)
    problems.push(`${key} has the sha256 ${inStore}, and its manifest says ${delta.sha256}`);
  if (served !== null && right !== null && served !== right)
    problems.push(`${url}/${key} has the sha256 ${served}, but should have ${right}`);
  return problems;
}

/** The sha256 of an object of the store. @throws DamagedError */
async function readStored(store: S3Store, key: string, disk: Manifest | null): Promise<string> {
  const source = await store.download(key);
  try {
    if (disk === null) return await sha256Stream(source);
    const found = await measureCompressed(source, devNull, () => undefined);
    for (const part of ["compressed", "disk"] as const)
      if (found[part].sha256 !== disk[part].sha256)
        throw new DamagedError(
          `${key} has the sha256 ${found[part].sha256}, and its manifest says ${disk[part].sha256}`,
        );
    return found.compressed.sha256;
  } catch (error) {
    if (error instanceof ZstdError)
      throw new DamagedError(`${key} in ${store.where} is damaged: ${error.message}`);
    throw explainStoreError(error, store.where, key);
  }
}

/** The sha256 of what the CDN serves. @throws DamagedError */
async function readServed(address: string): Promise<string> {
  try {
    const answer = await fetch(address, { signal: cancellation.signal });
    if (answer.status !== 200) throw new DamagedError(`${address} answers ${answer.status}`);
    // Hosts know of none (docs/contract.md).
    const encoding = answer.headers.get("content-encoding");
    if (encoding !== null)
      throw new DamagedError(`${address} is served with the Content-Encoding ${encoding}`);
    return await sha256Stream(Readable.fromWeb(answer.body as ReadableStream));
  } catch (error) {
    if (error instanceof UserError || cancellation.signal.aborted) throw error;
    throw new DamagedError(`${address} cannot be read (${fetchReason(error)})`);
  }
}
