import { imageName, keys, type Architecture } from "../store/keys.js";
import { bootRecord, manifest, type BuildFacts, type Manifest } from "../store/records.js";
import { parseJson, type BucketReader } from "../store/store.js";

const dayMs = 24 * 60 * 60 * 1000;
/** GitHub gives no more jobs to a runner release about this long after a newer one appeared. */
const runnerGraceDays = 30;

/**
 * Proves that the image of a commit may go live: everything hosts will ask for is there, was booted, and its runner still
 * gets jobs.
 * @returns what is missing, one line each; empty: proven
 */
export async function prove(
  store: BucketReader,
  commit: string,
  architectures: readonly Architecture[],
  now: Date,
): Promise<string[]> {
  const published = await store.list(keys.imagesPrefix(commit));
  if (published.length === 0) return [`image ${commit} was never published`];
  const problems = await Promise.all(
    architectures.map((arch) => proveOne(store, commit, arch, published, now)),
  );
  return problems.flat();
}

async function proveOne(
  store: BucketReader,
  commit: string,
  arch: Architecture,
  published: string[],
  now: Date,
): Promise<string[]> {
  const manifestKey = keys.manifest(commit, arch);
  const stored = await store.get(manifestKey);
  if (stored === null) {
    const begun = [keys.disk(commit, arch), keys.diskSha256(commit, arch)].some((key) =>
      published.includes(key),
    );
    return [
      begun
        ? `${arch}: publishing did not finish (${manifestKey} is missing): publish it again`
        : `${arch}: not published for this architecture`,
    ];
  }
  const found = parseJson(stored.text, manifest);
  if (found?.commit !== commit || found.arch !== arch)
    return [`${arch}: ${manifestKey} is not a valid manifest of it`];

  const [disk, sha256, boot] = await Promise.all([
    proveDisk(store, found),
    proveSha256(store, found),
    proveBoot(store, found, published),
  ]);
  return [...disk, ...sha256, ...boot, ...proveRunner(found.build.runner, now)].map(
    (problem) => `${arch}: ${problem}`,
  );
}

async function proveDisk(store: BucketReader, { commit, arch, compressed }: Manifest): Promise<string[]> {
  const key = keys.disk(commit, arch);
  const disk = await store.head(key);
  if (disk === null) return [`${key} is missing`];
  if (disk.bytes !== compressed.bytes)
    return [`${key} has ${disk.bytes} bytes, the manifest says ${compressed.bytes}`];
  return [];
}

async function proveSha256(store: BucketReader, { commit, arch, disk }: Manifest): Promise<string[]> {
  const key = keys.diskSha256(commit, arch);
  const stored = await store.get(key);
  if (stored === null) return [`${key} is missing`];
  if (stored.text !== `${disk.sha256}\n`) return [`${key} differs from the manifest's sha256`];
  return [];
}

async function proveBoot(
  store: BucketReader,
  { commit, arch, disk }: Manifest,
  published: string[],
): Promise<string[]> {
  const key = keys.bootRecord(commit, arch);
  const stored = await store.get(key);
  if (stored === null) {
    const reason = await lastFailure(store, commit, arch, published);
    return [reason === null ? "not boot-tested yet" : `failed its boot test: ${reason}`];
  }
  const record = parseJson(stored.text, bootRecord);
  if (record === null) return [`${key} is not a valid boot record`];
  if (record.result === "failed") return [`failed its boot test: ${record.reason ?? "no reason given"}`];
  if (record.diskSha256 !== disk.sha256)
    return [`the boot test was of another disk (sha256 ${record.diskSha256})`];
  return [];
}

/** Why the newest boot test failed; null where none did. */
async function lastFailure(
  store: BucketReader,
  commit: string,
  arch: Architecture,
  published: string[],
): Promise<string | null> {
  // The keys end in the time of the test, so the last is the newest.
  const failures = `${keys.imagesPrefix(commit)}${imageName(arch)}.boot-failure-`;
  const newest = published.filter((key) => key.startsWith(failures)).at(-1);
  if (newest === undefined) return null;
  const stored = await store.get(newest);
  const record = stored === null ? null : parseJson(stored.text, bootRecord);
  return record?.reason ?? `see ${newest}`;
}

/** The day from which GitHub no longer gives jobs to this runner; null while no newer release is known. */
export function runnerLimit(runner: BuildFacts["runner"]): Date | null {
  const limits = [
    ...(runner.supersededAt === null ? [] : [Date.parse(runner.supersededAt) + runnerGraceDays * dayMs]),
    ...(runner.deprecatedAt === null ? [] : [Date.parse(runner.deprecatedAt)]),
  ];
  return limits.length === 0 ? null : new Date(Math.min(...limits));
}

function proveRunner(runner: BuildFacts["runner"], now: Date): string[] {
  const limit = runnerLimit(runner);
  if (limit === null || now < limit) return [];
  const since = limit.toISOString().slice(0, 10);
  return [
    `its runner ${runner.version} gets no more jobs since ${since}: build an image with a newer runner`,
  ];
}
