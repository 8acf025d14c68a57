import { devNull } from "node:os";
import { imageName, keys, type Architecture } from "../store/keys.js";
import { step } from "../process/progress.js";
import { manifest } from "../store/records.js";
import { DamagedError, getJson, type S3Store } from "../store/store.js";
import { explainStoreError, isChecksumMismatch } from "../store/store-errors.js";
import { measureCompressed, ZstdError } from "./compress.js";

/**
 * Reads every object of an image to its end, the disk included: each has to be what it was stored as, and the disk what its manifest says.
 * @returns what is wrong, one line each
 */
export async function findDamage(
  store: S3Store,
  commit: string,
  architectures: readonly Architecture[],
): Promise<string[]> {
  const stored = await store.list(keys.imagesPrefix(commit));
  const problems: string[] = [];
  for (const arch of architectures) {
    for (const key of stored.filter((key) =>
      key.startsWith(`${keys.imagesPrefix(commit)}${imageName(arch)}.`),
    )) {
      const problem = await damageOf(() =>
        key === keys.disk(commit, arch) ? checkDisk(store, commit, arch) : store.get(key).then(() => null),
      );
      if (problem !== null) problems.push(problem);
    }
  }
  return problems;
}

async function damageOf(read: () => Promise<string | null>): Promise<string | null> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof DamagedError) return error.message;
    throw error;
  }
}

async function checkDisk(store: S3Store, commit: string, arch: Architecture): Promise<string | null> {
  const key = keys.disk(commit, arch);
  const published = await getJson(store, keys.manifest(commit, arch), manifest);
  if (published === null) return `${keys.manifest(commit, arch)} is missing`;
  return step(`read ${key}`, async (report) => {
    const source = await store.download(key);
    try {
      const { disk, compressed } = await measureCompressed(source, devNull, (bytes) =>
        report(`${Math.round(bytes / 1e6)} MB`),
      );
      for (const [found, said] of [
        [compressed, published.compressed],
        [disk, published.disk],
      ] as const)
        if (found.sha256 !== said.sha256)
          return `${key} has the sha256 ${found.sha256}, and its manifest says ${said.sha256}`;
      return null;
    } catch (error) {
      if (!(error instanceof ZstdError) && !isChecksumMismatch(error))
        throw explainStoreError(error, store.where);
      return `${key} in ${store.where} is damaged: ${(error as Error).message.split("\n")[0]}`;
    }
  });
}
