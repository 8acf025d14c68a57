import { architectures, commitPattern, imageName, keys, type Architecture } from "./keys.js";
import type { ListedObject } from "./store.js";

/** An image as a listing of the store shows it. */
export interface StoredImage {
  commit: string;
  bytes: number;
  /** When its newest object was stored. */
  storedAt: Date;
  /** Whether it was published and passed its boot on every architecture that it has anything of: a target of a rollback. */
  isProven: boolean;
}

/** The objects of each image in a listing of all, by commit. What is not ours is left out. */
export function objectsByCommit(listed: readonly ListedObject[]): Map<string, ListedObject[]> {
  const found = new Map<string, ListedObject[]>();
  for (const object of listed) {
    const commit = object.key.slice(keys.imagesRoot.length).split("/", 1)[0]!;
    if (!commitPattern.test(commit)) continue;
    const own = found.get(commit);
    if (own === undefined) found.set(commit, [object]);
    else own.push(object);
  }
  return found;
}

/** @param objects all that it has, at least one */
export function storedImage(commit: string, objects: readonly ListedObject[]): StoredImage {
  const has = (key: string) => objects.some((object) => object.key === key);
  const begun = architectures.filter((arch) => objects.some(({ key }) => isOf(key, commit, arch)));
  return {
    commit,
    bytes: objects.reduce((sum, { bytes }) => sum + bytes, 0),
    storedAt: new Date(Math.max(...objects.map(({ modifiedAt }) => modifiedAt.getTime()))),
    isProven:
      begun.length > 0 &&
      begun.every((arch) => has(keys.manifest(commit, arch)) && has(keys.bootRecord(commit, arch))),
  };
}

function isOf(key: string, commit: string, arch: Architecture): boolean {
  return key.startsWith(`${keys.imagesPrefix(commit)}${imageName(arch)}.`);
}

/** In the order of how long they are stored, the newest first. */
export function newestFirst(images: readonly StoredImage[]): StoredImage[] {
  return [...images].sort(
    (a, b) => b.storedAt.getTime() - a.storedAt.getTime() || (a.commit < b.commit ? -1 : 1),
  );
}
