import type { z } from "zod";
import { UserError } from "../process/errors.js";
import type { S3Store } from "./s3-store.js";
import { isMissingBucket } from "./store-errors.js";

/** What is known of an object without reading it. */
export interface ObjectFacts {
  bytes: number;
  /** base64 of the CRC32 of the whole object; null where the store keeps none. */
  crc32: string | null;
  /** How it is encoded on its way to the hosts, e.g. "gzip"; null: as it is. */
  encoding: string | null;
  /** The archive it was moved to, from where nobody can read it, e.g. "GLACIER"; null: it can be read. */
  archive: string | null;
  metadata: Record<string, string>;
}

/** A small object, and the ETag to replace exactly this version of it. */
export interface StoredText {
  text: string;
  etag: string;
}

/** What can be read of the pointer, its log and the records without knowing more of a bucket than its content. */
export interface StoreReader {
  /** For messages: `bucket "images" at http://127.0.0.1:9000`. */
  readonly where: string;
  /** Null: there is no such object. */
  get(key: string): Promise<StoredText | null>;
  /** The keys under a prefix, in order; of those only the ones that come after a key, where it is given. */
  list(prefix: string, after?: string): Promise<string[]>;
}

/** All that can be read of a bucket. */
export interface BucketReader extends StoreReader {
  /** Null: there is no such object. */
  head(key: string): Promise<ObjectFacts | null>;
}

/** The bucket as the rules of this project see it: small enough to be held in memory by a test. */
export interface Store extends BucketReader {
  /**
   * Writes an object that must not change any more. The same content there already is success.
   * @throws ConflictError where there is other content
   */
  create(key: string, text: string): Promise<void>;
  /**
   * Writes an object if it still is the version read before (`etag`; null: there was none).
   * @returns false when another writer was faster
   */
  replace(key: string, text: string, etag: string | null): Promise<boolean>;
}

/** An object as a listing tells it. */
export interface ListedObject {
  key: string;
  bytes: number;
  modifiedAt: Date;
}

/** A bucket that can be looked through. */
export interface ListedStore extends BucketReader {
  /** The objects under a prefix, in the order of their keys. */
  listObjects(prefix: string): Promise<ListedObject[]>;
  /** The same where it takes no more than some requests; null: there are more than 2,000 objects. */
  listFewObjects(prefix: string): Promise<ListedObject[] | null>;
  /** The first parts of all keys that have more than one: "images" of "images/…". */
  folders(): Promise<string[]>;
}

/** A store that images may be removed from. */
export interface PrunableStore extends Store, ListedStore {
  /** Removes an object; one that is gone already is no error. */
  remove(key: string): Promise<void>;
}

/** A create-only object is there already, with other content. */
export class ConflictError extends UserError {
  constructor(
    readonly key: string,
    where: string,
  ) {
    super(
      `${key} in ${where} is there already with other content, and never changes: a new commit is needed`,
    );
  }
}

/** An upload came to nothing and may be repeated: S3 asks for that (409), or the server lost the object although it said 200. */
export class RepeatUploadError extends UserError {}

/**
 * A JSON object of the store, checked.
 * @returns null where there is none
 * @throws UserError where it is not what it should be
 */
export async function getJson<T>(store: StoreReader, key: string, schema: z.ZodType<T>): Promise<T | null> {
  const stored = await store.get(key);
  if (stored === null) return null;
  const parsed = parseJson(stored.text, schema);
  if (parsed === null) throw new UserError(`${key} in ${store.where} is not a valid record of this project`);
  return parsed;
}

/** JSON text as a checked value; null where it is neither JSON nor of that shape. */
export function parseJson<T>(text: string, schema: z.ZodType<T>): T | null {
  try {
    return schema.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}

/** How every JSON record is written. */
export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/**
 * A bucket that is known to be there and to let us in. Asked first, because a missing bucket answers HEAD like a missing object.
 * @throws UserError with one line: not reachable, no or wrong credentials, no such bucket
 */
export async function openStore(
  bucket: string,
  environment: NodeJS.ProcessEnv = process.env,
): Promise<S3Store> {
  // The SDK's modules are many, and whoever reads through the CDN needs none.
  const { S3Store } = await import("./s3-store.js");
  const store = new S3Store(bucket, environment);
  await store.list("latest");
  return store;
}

/** The same, but null where there is no such bucket. */
export async function findStore(bucket: string, environment: NodeJS.ProcessEnv): Promise<S3Store | null> {
  try {
    return await openStore(bucket, environment);
  } catch (error) {
    if (error instanceof UserError && isMissingBucket(error.cause)) return null;
    throw error;
  }
}

/** What a bucket holds that is still to be made. */
export const emptyStore: ListedStore = {
  where: "a bucket that is not there yet",
  head: () => Promise.resolve(null),
  get: () => Promise.resolve(null),
  list: () => Promise.resolve([]),
  listObjects: () => Promise.resolve([]),
  listFewObjects: () => Promise.resolve([]),
  folders: () => Promise.resolve([]),
};
