import { UserError } from "../process/errors.js";
import { say } from "../process/progress.js";
import { keys } from "./keys.js";
import type { BucketReader, ListedStore, Store, StoreReader } from "./store.js";

/*
 * A channel is a pointer of its own for some of the hosts: `latest`, its copy and its log below the channel's name, and the images that are
 * everybody's. Hosts are given `<url>/<channel>` as their base URL, so below it everything has the name it has below `<url>`.
 */

/** What a channel may be called: a folder of a URL that needs no escape. */
export const channelPattern = /^[a-z][a-z0-9-]{0,30}$/;

/** What is, or may come to be, something else below the CDN's URL or in the bucket; `newest` is what a channel follows. */
export const reservedNames: readonly string[] = [
  ...[keys.imagesRoot, keys.pointerPrefix, keys.prunedPrefix()].map((folder) => folder.replace("/", "")),
  ...[keys.latest, "newest", "moves", "page", "index", "feed", "assets", "status", "robots", "favicon"],
];

/** The base URL of a channel's hosts; undefined: everybody's. */
export function channelUrl(url: string, channel: string | undefined): string {
  return channel === undefined ? url : `${url}/${channel}`;
}

/** What `latest` is called in messages: "canary/latest". */
export function latestName(channel: string | undefined): string {
  return channel === undefined ? keys.latest : `${channel}/${keys.latest}`;
}

/**
 * A bucket as a channel sees it, and as the CDN shows it below `<url>/<channel>`: pointer and log are the channel's, images everybody's. All
 * that works on a bucket works on this; undefined: on the bucket itself.
 */
export function inChannel(store: Store, channel: string | undefined): Store;
export function inChannel(store: BucketReader, channel: string | undefined): BucketReader;
export function inChannel(store: StoreReader, channel: string | undefined): StoreReader;
export function inChannel(store: StoreReader, channel: string | undefined): StoreReader {
  if (channel === undefined) return store;
  const folder = `${channel}/`;
  const at = (key: string) =>
    key.startsWith(keys.imagesRoot) || key.startsWith(keys.prunedPrefix()) ? key : `${folder}${key}`;
  const named = (key: string) => (key.startsWith(folder) ? key.slice(folder.length) : key);
  // What a reader cannot do is not in its type, here neither.
  const whole = store as Store;
  const view: Store = {
    where: `channel ${channel} of ${store.where}`,
    get: (key) => store.get(at(key)),
    list: async (prefix, after) =>
      (await store.list(at(prefix), after === undefined ? undefined : at(after))).map(named),
    head: (key) => whole.head(at(key)),
    create: (key, text) => whole.create(at(key), text),
    replace: (key, text, etag) => whole.replace(at(key), text, etag),
  };
  return view;
}

/** The channels that hosts can poll in a bucket: those that have a `latest`. */
export async function channelsIn(store: ListedStore): Promise<string[]> {
  const names = (await store.folders()).filter(
    (name) => channelPattern.test(name) && !reservedNames.includes(name),
  );
  const begun = await Promise.all(
    names.map(async (name) => (await store.list(latestName(name))).includes(latestName(name))),
  );
  return names.filter((_, index) => begun[index]);
}

/** What is read in each channel of a bucket. One that cannot be read costs the others nothing: it is named in one line, and left out. */
export async function inEachChannel<T>(
  store: ListedStore,
  read: (own: BucketReader, name: string) => Promise<T>,
): Promise<T[]> {
  const found = await Promise.all(
    (await channelsIn(store)).map(async (name) => {
      try {
        return [await read(inChannel(store, name), name)];
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        say(`warning: the channel ${name} is left out: ${error.message}`);
        return [];
      }
    }),
  );
  return found.flat();
}
