import { readEntry, readLog, readPointer } from "../pointer/pointer.js";
import { say } from "../process/progress.js";
import { cancellation } from "../process/run.js";
import { channelsIn, inChannel } from "../store/channels.js";
import { objectsByCommit, storedImage } from "../store/images.js";
import { architectures, keys } from "../store/keys.js";
import type { PruneRecord } from "../store/records.js";
import {
  jsonText,
  type ListedObject,
  type ListedStore,
  type PrunableStore,
  type StoreReader,
} from "../store/store.js";
import { hold, judge, type Named, type Retention, type Verdict } from "./rule.js";

export interface PruneRequest {
  retention: Retention;
  /** The commits that stacks are pinned to, in channels too. */
  pinned: readonly string[];
  /** The channels of stacks, beside those that the bucket shows by itself. */
  channels?: readonly string[] | undefined;
  /** The commit that `image/` is named after. */
  newest: string;
  /** Of what the rule lets go, these alone are removed; undefined: all of it. */
  only?: readonly string[] | undefined;
  now: Date;
}

/** What would go, and what stays, decided from listings and the log alone. */
export interface PrunePlan {
  verdicts: Verdict[];
  /** The objects of each image, by commit. */
  objects: Map<string, ListedObject[]>;
}

/** What `prune` prints. */
export interface PruneResult {
  removed: string[];
  /** What went live, or was named by a move, between the look and the removal. */
  spared: string[];
}

export async function planPrune(store: ListedStore, request: PruneRequest): Promise<PrunePlan> {
  return planOf(store, await store.listObjects(keys.imagesRoot), request);
}

/** The same where that takes a preview no time to speak of; null: there are too many images. */
export async function planPruneQuickly(store: ListedStore, request: PruneRequest): Promise<PrunePlan | null> {
  const listed = await store.listFewObjects(keys.imagesRoot);
  return listed === null ? null : planOf(store, listed, request);
}

async function planOf(
  store: ListedStore,
  listed: ListedObject[],
  { retention, now, ...naming }: PruneRequest,
): Promise<PrunePlan> {
  // What is not ours has no rule, and stays.
  const objects = objectsByCommit(listed);
  const images = [...objects].map(([commit, own]) => storedImage(commit, own));
  return {
    verdicts: judge(images, await readNamed(store, retention.moves, naming), retention, now),
    objects,
  };
}

/**
 * Removes what a plan lets go, each image after a record of it. Images are asked for once more right before: one that was named meanwhile
 * stays. A killed run leaves an image that is none any more, and the next run removes the rest of it.
 */
export async function prune(
  store: PrunableStore,
  { verdicts, objects }: PrunePlan,
  { retention, only, now, ...naming }: PruneRequest,
): Promise<PruneResult> {
  const result: PruneResult = { removed: [], spared: [] };
  const going = verdicts.filter(({ image, stays }) => !stays && (only?.includes(image.commit) ?? true));
  for (const { image, why } of going) {
    cancellation.signal.throwIfAborted();
    const { commit } = image;
    const held = hold(commit, await readNamed(store, retention.moves, naming));
    if (held !== null) {
      say(`${commit} stays: it is ${held} meanwhile`);
      result.spared.push(commit);
      continue;
    }
    const own = objects.get(commit)!;
    const record: PruneRecord = {
      schema: 1,
      commit,
      prunedAt: now.toISOString(),
      why,
      objects: own.map(({ key, bytes }) => ({ key, bytes })),
    };
    await store.create(keys.pruned(commit, now), jsonText(record));
    for (const key of removalOrder(commit, own)) await store.remove(key);
    say(`${commit} is removed: ${why}`);
    result.removed.push(commit);
  }
  return result;
}

/** Manifests first, so that what is left of a killed run is no image: nobody can be sent to it. Disks last: they say what it was. */
export function removalOrder(commit: string, objects: readonly ListedObject[]): string[] {
  const rank = ({ key }: ListedObject) =>
    architectures.some((arch) => key === keys.manifest(commit, arch))
      ? 0
      : architectures.some((arch) => key === keys.disk(commit, arch))
        ? 2
        : 1;
  return [...objects].sort((a, b) => rank(a) - rank(b)).map(({ key }) => key);
}

async function readNamed(
  store: ListedStore,
  moves: number,
  { pinned, newest, channels = [] }: Pick<PruneRequest, "pinned" | "newest" | "channels">,
): Promise<Named> {
  const names = [...new Set([...channels, ...(await channelsIn(store))])];
  const [everybody, ...others] = await Promise.all(
    [undefined, ...names].map((name) => readPointed(inChannel(store, name), moves)),
  );
  return {
    ...everybody!,
    pinned,
    newest,
    channels: others.map((own, index) => ({ ...own, channel: names[index]! })),
  };
}

/** What one pointer and its last moves name. */
async function readPointed(store: StoreReader, moves: number): Promise<Pick<Named, "live" | "moved">> {
  const [{ head, latest, latestJson }, log] = await Promise.all([readPointer(store), readLog(store, moves)]);
  const last = await Promise.all(log.slice(-moves).map((seq) => readEntry(store, seq)));
  return {
    live: [head?.commit, latest, latestJson?.commit].filter((commit) => typeof commit === "string"),
    // The image before the oldest of them is where that move would be taken back to.
    moved: last.flatMap((entry) => (entry === null ? [] : [entry.commit, entry.previous ?? entry.commit])),
  };
}
