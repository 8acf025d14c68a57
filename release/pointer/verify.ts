import { createHash } from "node:crypto";
import { originText, proveOrigin } from "../attest/origin.js";
import type { Trust } from "../attest/signer.js";
import { imageName, keys, type Architecture } from "../store/keys.js";
import { printable } from "../process/progress.js";
import { bootRecord, manifest, type BuildFacts, type Manifest } from "../store/records.js";
import { removedText } from "../store/removed.js";
import { parseJson, type BucketReader } from "../store/store.js";
import { DamagedError } from "../store/store-errors.js";
import { standing, usabilityText, type RunnerCalendar } from "./runner-releases.js";

/** What a proof needs beside the store. */
export interface ProofContext {
  calendar: RunnerCalendar;
  /** Whose word is taken on who built an image; null: nobody's is asked for. */
  trust: Trust | null;
  now: Date;
}

/** What stands in the way of an image, one line each. */
export interface Proof {
  /** Why it may not go live; none: proven. */
  problems: string[];
  /** Those of the problems that building, publishing and booting it once more would not mend. */
  lasting: string[];
  /** What does not stop it, and has to be known. */
  warnings: string[];
  /** What only reading the disk would show (`verify --deep`). */
  unproven: string[];
  /** Who built it, where a trust was given. */
  origins: string[];
}

/**
 * Proves that the image of a commit may go live: everything hosts will ask for is there, was built by whom it should be, was booted, and
 * its runner still gets jobs.
 */
export async function prove(
  store: BucketReader,
  commit: string,
  architectures: readonly Architecture[],
  context: ProofContext,
): Promise<Proof> {
  const published = await store.list(keys.imagesPrefix(commit));
  if (!architectures.some((arch) => published.includes(keys.manifest(commit, arch)))) {
    const removed = await removedText(store, commit);
    if (removed !== null) return { ...refuted(removed), lasting: [removed] };
  }
  if (published.length === 0) return refuted(`image ${commit} was never published`);
  const proofs = await Promise.all(
    architectures.map(async (arch) => {
      const proof = await proveOne(store, commit, arch, published, context).catch((error: unknown) => {
        if (!(error instanceof DamagedError)) throw error;
        return { ...refuted(error.message), lasting: [error.message] };
      });
      return mapProof(proof, (line) => `${arch}: ${line}`);
    }),
  );
  return {
    problems: proofs.flatMap(({ problems }) => problems),
    lasting: proofs.flatMap(({ lasting }) => lasting),
    warnings: proofs.flatMap(({ warnings }) => warnings),
    unproven: proofs.flatMap(({ unproven }) => unproven),
    origins: proofs.flatMap(({ origins }) => origins),
  };
}

function refuted(problem: string): Proof {
  return { problems: [problem], lasting: [], warnings: [], unproven: [], origins: [] };
}

function mapProof(proof: Proof, change: (line: string) => string): Proof {
  return {
    problems: proof.problems.map(change),
    lasting: proof.lasting.map(change),
    warnings: proof.warnings.map(change),
    unproven: proof.unproven.map(change),
    origins: proof.origins,
  };
}

async function proveOne(
  store: BucketReader,
  commit: string,
  arch: Architecture,
  published: string[],
  context: ProofContext,
): Promise<Proof> {
  const manifestKey = keys.manifest(commit, arch);
  const record = await store.get(manifestKey);
  if (record === null) {
    const begun = [keys.disk(commit, arch), keys.diskSha256(commit, arch)].some((key) =>
      published.includes(key),
    );
    return refuted(
      begun
        ? `publishing did not finish (${manifestKey} is missing): publish it again`
        : "not published for this architecture",
    );
  }
  const found = parseJson(record.text, manifest);
  if (found?.commit !== commit || found.arch !== arch || found.build.arch !== arch)
    return refuted(`${manifestKey} is not a valid manifest of it`);

  const subject = { commit, arch, sha256: found.disk.sha256 };
  const [disk, deltas, sha256, sbom, boot, runner, origin] = await Promise.all([
    proveDisk(store, found),
    proveDeltas(store, found),
    proveSha256(store, found),
    proveSbom(store, found),
    proveBoot(store, found, published),
    proveRunner(found.build.runner, context),
    proveOrigin(store, subject, context.trust, context.now),
  ]);
  // With its manifest an image is published, and stays: publishing again writes nothing.
  const stored = [...disk, ...sha256, ...sbom, ...(origin.problem === null ? [] : [origin.problem])];
  return {
    problems: [...stored, ...boot, ...runner.lasting],
    lasting: [...stored, ...runner.lasting],
    warnings: [...(origin.warning === null ? [] : [origin.warning]), ...runner.warnings, ...deltas],
    unproven: found.compressed.crc32 === undefined ? [unseen] : [],
    origins: context.trust === null ? [] : [originText(subject, origin)],
  };
}

/** Of manifests that were written before they had a CRC32, or in a store that keeps none. */
const unseen =
  "its manifest has no CRC32, so another disk of the same size would not be seen without reading it (npm run release -- verify --deep)";

/** A HEAD shows what anybody changed through the store, by mistake or a fault; who means to can find a CRC32's like, and no sha256's. */
async function proveDisk(store: BucketReader, { commit, arch, compressed }: Manifest): Promise<string[]> {
  const key = keys.disk(commit, arch);
  const disk = await store.head(key);
  if (disk === null) return [`${key} is missing`];
  if (disk.archive !== null) return [`${key} is archived (${disk.archive}), and hosts cannot read it`];
  if (disk.encoding !== null)
    return [`${key} has the Content-Encoding ${printable(disk.encoding)}, and hosts expect none`];
  if (disk.bytes !== compressed.bytes)
    return [`${key} has ${disk.bytes} bytes, the manifest says ${compressed.bytes}`];
  if (compressed.crc32 !== undefined && disk.crc32 !== compressed.crc32)
    return [
      `${key} is not what was published: its CRC32 is ${disk.crc32 ?? "not known"}, the manifest says ${compressed.crc32}`,
    ];
  return [];
}

/** Nothing stands in the way where one is gone: hosts download the whole disk. */
async function proveDeltas(store: BucketReader, { deltas = [] }: Manifest): Promise<string[]> {
  const found = await Promise.all(
    deltas.map(async (delta) => ({ delta, there: await store.head(delta.key) })),
  );
  return found.flatMap(({ delta: { key, bytes, from }, there }) => {
    const cost = `hosts with ${from} download the whole disk`;
    if (there === null) return [`${key} is missing: ${cost}`];
    if (there.archive !== null || there.encoding !== null || there.bytes !== bytes)
      return [`${key} is not what was published: ${cost}`];
    return [];
  });
}

async function proveSha256(store: BucketReader, { commit, arch, disk }: Manifest): Promise<string[]> {
  const key = keys.diskSha256(commit, arch);
  const stored = await store.get(key);
  if (stored === null) return [`${key} is missing`];
  if (stored.text !== `${disk.sha256}\n`) return [`${key} differs from the manifest's sha256`];
  return [];
}

/** Images published before there were bills of materials have none. */
async function proveSbom(store: BucketReader, { sbom }: Manifest): Promise<string[]> {
  if (sbom === undefined) return [];
  const stored = await store.get(sbom.key);
  if (stored === null) return [`${sbom.key} is missing`];
  const sha256 = createHash("sha256").update(stored.text).digest("hex");
  return sha256 === sbom.sha256 ? [] : [`${sbom.key} differs from the manifest's sha256`];
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

/** Whether GitHub still gives jobs to the image's runner, as far as is known now. */
async function proveRunner(
  runner: BuildFacts["runner"],
  { calendar, now }: ProofContext,
): Promise<Pick<Proof, "lasting" | "warnings">> {
  const today = now.toISOString().slice(0, 10);
  if (calendar.newestRelease !== null && today < calendar.newestRelease) {
    const problem = `this machine's clock says ${today}, before the runner release of ${calendar.newestRelease}, so nobody can tell how old the image is: set the clock`;
    return { lasting: [problem], warnings: [] };
  }
  const usability = await calendar.usability(runner);
  const text = `its runner ${runner.version}: ${usabilityText(usability, now)}`;
  switch (standing(usability, now)) {
    case "expired": {
      const problem = `${text}: build an image with a newer runner (npm run pins)`;
      return { lasting: [problem], warnings: [] };
    }
    case "ending":
      return {
        lasting: [],
        warnings: [`${text}: build one with a newer runner (npm run pins)`],
      };
    case "fine":
      return { lasting: [], warnings: [] };
  }
}
