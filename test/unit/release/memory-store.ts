import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import {
  ConflictError,
  jsonText,
  type ListedObject,
  type ListedStore,
  type ObjectFacts,
  type Store,
  type StoredText,
} from "../../../release/store/store.js";
import { crc32Text } from "../../../release/process/hash.js";
import { keys, type Architecture } from "../../../release/store/keys.js";
import type { BootRecord, BuildFacts, Manifest } from "../../../release/store/records.js";

/** Today, as far as stores in memory know. */
export const today = new Date("2026-11-26T12:00:00Z");
/** Objects that a short look brings at most. */
const few = 2_000;

/** A bucket in memory, with the conditions of the real one. */
export class MemoryStore implements Store, ListedStore {
  readonly where = 'bucket "memory"';
  readonly objects = new Map<string, string>();
  /** When an object was written; what is not in here was written today. */
  readonly modified = new Map<string, Date>();
  /** What a HEAD tells otherwise than the content would have it. */
  readonly facts = new Map<string, Partial<ObjectFacts>>();

  head(key: string): Promise<ObjectFacts | null> {
    const text = this.objects.get(key);
    if (text === undefined) return Promise.resolve(null);
    const facts = { bytes: text.length, crc32: crc32Text(crc32(text)), encoding: null, archive: null };
    return Promise.resolve({ ...facts, metadata: {}, ...this.facts.get(key) });
  }

  get(key: string): Promise<StoredText | null> {
    const text = this.objects.get(key);
    return Promise.resolve(text === undefined ? null : { text, etag: etagOf(text) });
  }

  list(prefix: string, after = ""): Promise<string[]> {
    const found = [...this.objects.keys()].filter((key) => key.startsWith(prefix) && key > after);
    return Promise.resolve(found.sort());
  }

  folders(): Promise<string[]> {
    const first = [...this.objects.keys()].flatMap((key) => (key.includes("/") ? key.split("/", 1) : []));
    return Promise.resolve([...new Set(first)].sort());
  }

  listObjects(prefix: string): Promise<ListedObject[]> {
    const found = [...this.objects].filter(([key]) => key.startsWith(prefix)).sort();
    return Promise.resolve(
      found.map(([key, text]) => ({ key, bytes: text.length, modifiedAt: this.modified.get(key) ?? today })),
    );
  }

  async listFewObjects(prefix: string): Promise<ListedObject[] | null> {
    const found = await this.listObjects(prefix);
    return found.length > few ? null : found;
  }

  create(key: string, text: string): Promise<void> {
    const there = this.objects.get(key);
    if (there !== undefined && there !== text) return Promise.reject(new ConflictError(key, this.where));
    this.objects.set(key, text);
    return Promise.resolve();
  }

  replace(key: string, text: string, etag: string | null): Promise<boolean> {
    const there = this.objects.get(key);
    if ((there === undefined ? null : etagOf(there)) !== etag) return Promise.resolve(false);
    this.objects.set(key, text);
    return Promise.resolve(true);
  }
}

/** Of the content alone, as S3's: the same content again has the same ETag again. */
function etagOf(text: string): string {
  return createHash("md5").update(text).digest("hex");
}

export const sha256 = "5".repeat(64);
const diskText = "a compressed disk";

export function factsOf(arch: Architecture, runner: Partial<BuildFacts["runner"]> = {}): BuildFacts {
  return {
    arch,
    base: { kind: "debian", name: "debian-12", sha256 },
    runner: {
      kind: "github",
      version: "2.337.0",
      sha256,
      releasedAt: "2026-08-26",
      ...runner,
    },
    builder: { packer: "1.6.6", qemu: "7.2", accelerator: "tcg" },
    virtualSize: 2 ** 31,
    seconds: 100,
  };
}

export function manifestOf(
  commit: string,
  arch: Architecture,
  runner?: Partial<BuildFacts["runner"]>,
): Manifest {
  return {
    schema: 1,
    commit,
    arch,
    compressed: {
      key: keys.disk(commit, arch),
      bytes: diskText.length,
      sha256,
      crc32: crc32Text(crc32(diskText)),
    },
    disk: { bytes: 1000, sha256 },
    build: factsOf(arch, runner),
    publishedAt: "2026-11-01T00:00:00Z",
  };
}

export function bootRecordOf(
  commit: string,
  arch: Architecture,
  changes: Partial<BootRecord> = {},
): BootRecord {
  return {
    schema: 1,
    commit,
    arch,
    result: "passed",
    reason: null,
    diskSha256: sha256,
    checks: [],
    timings: { fetch: 1, credentialFetched: 20, runnerStarted: 21, poweredOff: 23 },
    qemu: { version: "7.2", accelerator: "tcg" },
    startedAt: "2026-11-01T00:10:00Z",
    ...changes,
  };
}

/** Everything of a published and boot-tested image: its objects, by key. */
export function imageObjects(commit: string, arch: Architecture): [key: string, text: string][] {
  return [
    [keys.disk(commit, arch), diskText],
    [keys.diskSha256(commit, arch), `${sha256}\n`],
    [keys.manifest(commit, arch), jsonText(manifestOf(commit, arch))],
    [keys.bootRecord(commit, arch), jsonText(bootRecordOf(commit, arch))],
  ];
}

export function publishInto(store: MemoryStore, commit: string, arch: Architecture): void {
  for (const [key, text] of imageObjects(commit, arch)) store.objects.set(key, text);
}
