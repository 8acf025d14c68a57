import { createHash, createPrivateKey, createPublicKey } from "node:crypto";
import { mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { setFlagsFromString } from "node:v8";
import pRetry from "p-retry";
import {
  buildDirectory,
  buildImage,
  findBuilt,
  mismatch,
  withBuildDirectory,
  type BuildRequest,
  type BuiltImage,
} from "./build.js";
import { compressDisk, measureCompressed, type StoredDigests } from "./compress.js";
import { publishDeltas } from "./publish-deltas.js";
import { requireOrigin } from "../attest/origin.js";
import { signerText, type Trust } from "../attest/signer.js";
import { makeStatement, type Subject } from "../attest/statement.js";
import { attestationFile } from "./hand-over.js";
import { UserError } from "../process/errors.js";
import { sha256File } from "../process/hash.js";
import { imageName, keys } from "../store/keys.js";
import { say, step } from "../process/progress.js";
import { buildFacts, manifest, type BuildFacts, type Manifest } from "../store/records.js";
import { cancellation } from "../process/run.js";
import type { S3Store } from "../store/s3-store.js";
import { removedText } from "../store/removed.js";
import { ConflictError, getJson, jsonText, parseJson, RepeatUploadError } from "../store/store.js";
import { requireTools } from "../process/tools.js";
import { ZstdError } from "../process/zstd.js";

/** What `publish` prints. */
export interface PublishResult {
  commit: string;
  arch: string;
  /** now: uploaded. adopted: the disk was there already, the rest was written. before: all was there. */
  published: "now" | "adopted" | "before";
  keys: { disk: string; sha256: string; manifest: string };
  /** Sizes in bytes: what hosts download, and the disk inside. */
  compressedBytes: number;
  diskBytes: number;
  /** Of the disk, uncompressed. */
  sha256: string;
  seconds: number;
}

export interface PublishOptions {
  /** Builds the image first, unless it is published already. */
  withBuild: boolean;
  /** Whose word is taken on who built it; null: nobody's is asked for. */
  trust: Trust | null;
  /** A private key (PEM) that signs where no attestation came with the disk. */
  keyFile?: string | undefined;
  /** The commits whose hosts get a delta, newest first; asked for once a disk is stored. */
  deltasFrom: () => Promise<string[]>;
}

/**
 * Publishes the image of a commit: its attestation, disk, sha256, bill of materials, deltas from images that hosts have and, last, the
 * manifest which says that all of it is there. Everything is create-only, so a killed publish is finished by the next one, on any machine. Not published is a disk with anything
 * on it that no image may hold, or that was not built by whom it should be; nor is one that is published already taken for good.
 */
export async function publish(
  store: S3Store,
  request: BuildRequest,
  options: PublishOptions,
): Promise<PublishResult> {
  const { root, commit, arch } = request;
  const start = Date.now();
  return withBuildDirectory(request, async () => {
    const [published, found] = await ensurePublished(store, request, options);
    const difference = mismatch(found.build, request);
    if (difference !== null)
      throw new UserError(
        `${imageName(arch)} of ${commit} is published with ${difference}, and never changes: commit a change of image/ to get another image`,
      );
    await rm(buildDirectory(root, commit, arch), { recursive: true, force: true });
    return {
      commit,
      arch,
      published,
      keys: {
        disk: keys.disk(commit, arch),
        sha256: keys.diskSha256(commit, arch),
        manifest: keys.manifest(commit, arch),
      },
      compressedBytes: found.compressed.bytes,
      diskBytes: found.disk.bytes,
      sha256: found.disk.sha256,
      seconds: (Date.now() - start) / 1000,
    };
  });
}

async function ensurePublished(
  store: S3Store,
  request: BuildRequest,
  options: PublishOptions,
): Promise<[PublishResult["published"], Manifest]> {
  const { commit, arch } = request;
  const before = await getJson(store, keys.manifest(commit, arch), manifest);
  if (before !== null) {
    await requireOriginIn(store, { commit, arch, sha256: before.disk.sha256 }, options.trust);
    say(`${imageName(arch)} of ${commit} is published already`);
    return ["before", before];
  }
  const removed = await removedText(store, commit);
  if (removed !== null) throw new UserError(`${removed}: commit a change of image/ to get another image`);
  if ((await store.head(keys.disk(commit, arch))) !== null)
    return ["adopted", await adopt(store, request, options)];

  await requireSigner(request, options);
  const image = options.withBuild ? await buildImage(request) : await requireBuilt(request);
  // Before anything is stored.
  const sbom = await inspectDisk(image.path, request);
  const attested = await attest(store, request, image, options);
  const digests = await uploadDisk(store, request, image);
  if (digests === null) return ["adopted", await adopt(store, request, options)];
  if (attested !== null && digests.disk.sha256 !== attested)
    throw new UserError(`${image.path} was changed while it was published: build it again`);
  const disk = { path: image.path, digests, facts: image.facts, sbom };
  return ["now", await describe(store, request, disk, options)];
}

/**
 * Looks at a disk before it can go live.
 * @returns its bill of materials
 * @throws UserError where it cannot be read, or holds what no image may hold
 */
async function inspectDisk(qcow2: string, { root, commit, arch }: Image & { root: string }): Promise<string> {
  // Of most publishes nothing is new, and these are many modules.
  const [{ withDisk }, { lintDisk }, { summarize }, { makeSbom }] = await Promise.all([
    import("../inspect/disk.js"),
    import("../inspect/lint.js"),
    import("../inspect/rules.js"),
    import("../inspect/sbom.js"),
  ]);
  const log = path.join(root, "build", "logs", `${commit}-${arch}-lint.log`);
  return await step(`inspect ${imageName(arch)}`, () =>
    withDisk(qcow2, async (disk) => {
      const findings = await lintDisk(disk);
      if (findings.length === 0) return makeSbom(disk, commit, arch);
      await mkdir(path.dirname(log), { recursive: true });
      await writeFile(log, findings.map(({ rule, path, what }) => `${rule} ${path}: ${what}\n`).join(""));
      throw new UserError(
        `${imageName(arch)} of ${commit} is not published, since it holds what no image may hold: ${summarize(findings)}; mend image/ and commit (all findings: ${log})`,
      );
    }),
  );
}

/** Asked before a build, since it takes its time. */
async function requireSigner(request: BuildRequest, { trust, keyFile }: PublishOptions): Promise<void> {
  if (trust === null || keyFile !== undefined) return;
  const { commit, arch } = request;
  if ((await stat(attestationFile(request)).catch(() => null)) !== null) return;
  throw new UserError(
    `${imageName(arch)} of ${commit} comes without an attestation, and only images of ${signerText(trust.signer)} are trusted: let that one build it`,
  );
}

/**
 * Stores the attestation of a disk before the disk, so that whoever finds the disk finds it as well: the one that was handed over with it,
 * or one signed here.
 * @returns the sha256 that it speaks of; null where nobody asks for one
 */
async function attest(
  store: S3Store,
  request: BuildRequest,
  image: BuiltImage,
  { trust, keyFile }: PublishOptions,
): Promise<string | null> {
  if (trust === null) return null;
  const { commit, arch } = request;
  return step(`attest ${imageName(arch)}`, async () => {
    const subject = { commit, arch, sha256: await sha256File(image.path) };
    const file = attestationFile(request);
    const given = await readFile(file, "utf8").catch(() => null);
    const { objection } = await import("../attest/bundle.js");
    const bundle = given ?? (await signWith(keyFile!, makeStatement(subject, image.facts)));
    const why = objection(bundle, subject, trust.signer);
    if (why !== null)
      throw new UserError(
        `${imageName(arch)} of ${commit} is not published: its attestation ${given === null ? `(signed with ${keyFile})` : file} ${why}`,
      );
    const key = keys.attestation(commit, arch, subject.sha256);
    try {
      await store.create(key, bundle);
    } catch (error) {
      // No two signatures are alike, and one of an earlier attempt does as well.
      if (!(error instanceof ConflictError)) throw error;
      await requireOriginIn(store, subject, trust);
    }
    return subject.sha256;
  });
}

async function signWith(keyFile: string, statement: string): Promise<string> {
  const pem = await readFile(keyFile, "utf8").catch(() => {
    throw new UserError(`the key ${keyFile} (ATTESTATION_KEY_FILE) cannot be read`);
  });
  const { signStatement } = await import("../attest/bundle.js");
  try {
    const privateKey = createPrivateKey(pem);
    return await signStatement(statement, privateKey, createPublicKey(privateKey));
  } catch {
    throw new UserError(`${keyFile} (ATTESTATION_KEY_FILE) holds no private key in PEM`);
  }
}

/** @throws UserError where a disk that is stored was not built by whom it should be: its commit is lost, since it stays */
async function requireOriginIn(store: S3Store, subject: Subject, trust: Trust | null): Promise<void> {
  const what = `${imageName(subject.arch)} of ${subject.commit}`;
  await requireOrigin(
    store,
    subject,
    trust,
    (problem) =>
      `what is stored as ${what} is not taken for it: in ${store.where}, ${problem}; it stays, so look who put it there (CloudTrail), then commit a change of image/ to get another image`,
  );
}

/** What was built here before. It is looked at before it is published, since what is published stays. */
async function requireBuilt(request: BuildRequest): Promise<BuiltImage> {
  const { root, commit, arch } = request;
  const built = await findBuilt(root, commit, arch);
  const difference = built === null ? null : mismatch(built.facts, request);
  if (built !== null && difference === null) return built;
  const state = difference === null ? "is not built here" : `is built here with ${difference}`;
  throw new UserError(
    `${imageName(arch)} of ${commit} ${state}: add --build, or run node release/main.mjs build --commit ${commit} --arch ${arch} first`,
  );
}

type Image = Pick<BuildRequest, "commit" | "arch">;

/** The object's metadata under which the facts of its build travel, so that any machine can write its manifest. */
const factsMetadata = "build";

const uploadRetries = 1;

/**
 * Compresses, hashes and uploads a disk in one pass.
 * @returns null where another publisher was faster: its disk counts, since no two builds are alike
 */
export async function uploadDisk(
  store: S3Store,
  image: Image,
  built: BuiltImage,
): Promise<StoredDigests | null> {
  await requireTools(["zstd"]);
  sparingMemory();
  const { size } = await stat(built.path);
  const metadata = { [factsMetadata]: asciiJson(built.facts) };
  const upload = () =>
    step(`publish ${imageName(image.arch)}`, async (report) => {
      const { chunks, digests } = compressDisk(built.path, (bytes) => report(progress(bytes, size)));
      const crc32 = await store.upload(keys.disk(image.commit, image.arch), chunks, size, metadata);
      const { disk, compressed } = digests();
      return { disk, compressed: { ...compressed, crc32 } };
    });
  try {
    return await pRetry(upload, {
      retries: uploadRetries,
      shouldRetry: ({ error }) => error instanceof RepeatUploadError,
    });
  } catch (error) {
    if (error instanceof ConflictError) return null;
    throw error;
  }
}

/**
 * From here on V8 keeps a small young generation and collects what lies outside its heap early: all that passes through is garbage at once,
 * and there would be 60 MiB of it. But not before that is as much as what is in use: it would collect every 11 MB, 20 ms each time.
 * Not flags of node, since those are part of the text of the command resources, whose change runs them all.
 * Of V8's flags these are read whenever they are used: https://nodejs.org/docs/latest-v20.x/api/v8.html#v8setflagsfromstringflags
 */
function sparingMemory(): void {
  setFlagsFromString("--optimize-for-size");
  setFlagsFromString("--heap-growing-percent=100");
}

const downloadRetries = 2;

/** Finishes what another publisher began: reads the disk that is stored, and writes what is missing about it. */
async function adopt(
  store: S3Store,
  image: Image & Pick<BuildRequest, "root">,
  options: PublishOptions,
): Promise<Manifest> {
  await requireTools(["zstd"]);
  const key = keys.disk(image.commit, image.arch);
  const stored = await store.head(key);
  const facts = parseJson(stored?.metadata[factsMetadata] ?? "", buildFacts);
  if (stored === null || facts === null)
    throw new UserError(
      `${key} in ${store.where} was not put there by this project, and stays: commit a change of image/ to get another image`,
    );
  const folder = buildDirectory(image.root, image.commit, image.arch);
  await mkdir(folder, { recursive: true });
  const copy = path.join(folder, "adopted.qcow2");
  const digests = await step(`finish publishing ${imageName(image.arch)}`, (report) =>
    pRetry(
      async () =>
        measureCompressed(await store.download(key), copy, (bytes) => report(progress(bytes, stored.bytes))),
      { retries: downloadRetries, signal: cancellation.signal },
    ).catch((error: unknown) => {
      if (!(error instanceof ZstdError)) throw error;
      throw new UserError(
        `${key} in ${store.where} is damaged (${error.message}), and stays: commit a change of image/ to get another image`,
      );
    }),
  );
  const { commit, arch } = image;
  await requireOriginIn(store, { commit, arch, sha256: digests.disk.sha256 }, options.trust);
  // Also of a disk that is stored: its manifest is what makes it an image, and whoever stored it may not have looked.
  const sbom = await inspectDisk(copy, image);
  return describe(store, image, { path: copy, digests, facts, sbom }, options);
}

/** A disk that is stored, and what there is to say about it. */
interface StoredDisk {
  /** The same, here. */
  path: string;
  digests: StoredDigests;
  facts: BuildFacts;
  sbom: string;
}

/** Writes the sha256, the bill of materials, the deltas and, last, the manifest of a disk that is stored. */
async function describe(
  store: S3Store,
  { root, commit, arch }: Image & Pick<BuildRequest, "root">,
  { path: file, digests: { disk, compressed }, facts, sbom }: StoredDisk,
  { deltasFrom }: PublishOptions,
): Promise<Manifest> {
  const crc32 = await keptCrc32(store, keys.disk(commit, arch), compressed);
  await store.create(keys.diskSha256(commit, arch), `${disk.sha256}\n`);
  await store.create(keys.sbom(commit, arch), sbom);
  const target = { commit, arch, file, compressedBytes: compressed.bytes };
  const folder = buildDirectory(root, commit, arch);
  const deltas = await publishDeltas(store, { ...target, folder }, deltasFrom);
  const record: Manifest = {
    schema: 1,
    commit,
    arch,
    compressed: {
      key: keys.disk(commit, arch),
      bytes: compressed.bytes,
      sha256: compressed.sha256,
      ...(crc32 !== null && { crc32 }),
    },
    disk: { bytes: disk.bytes, sha256: disk.sha256 },
    sbom: {
      key: keys.sbom(commit, arch),
      bytes: Buffer.byteLength(sbom),
      sha256: createHash("sha256").update(sbom).digest("hex"),
    },
    ...(deltas.length > 0 && { deltas }),
    build: facts,
    publishedAt: new Date().toISOString(),
  };
  // Before the manifest, after which nobody looks any more.
  await store.abortUnfinishedUploads(keys.disk(commit, arch));
  return createManifest(store, record);
}

/**
 * What the store's CRC32 of a disk has to be from now on, compared with that of the bytes which passed through here.
 * @returns null where the store keeps none
 */
async function keptCrc32(
  store: S3Store,
  key: string,
  { crc32 }: StoredDigests["compressed"],
): Promise<string | null> {
  const stored = await store.head(key);
  if (stored === null || (stored.crc32 ?? crc32) !== crc32)
    throw new UserError(
      `${key} in ${store.where} is not what the store says it is (CRC32 ${crc32}, and it says ${stored?.crc32 ?? "nothing"}), and stays: commit a change of image/ to get another image`,
    );
  return stored.crc32;
}

/** The manifest that is stored: ours, or the one another publisher of the same disk wrote at the same time. */
async function createManifest(store: S3Store, ours: Manifest): Promise<Manifest> {
  const key = keys.manifest(ours.commit, ours.arch);
  try {
    await store.create(key, jsonText(ours));
    return ours;
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error;
    const theirs = await getJson(store, key, manifest);
    if (theirs?.compressed.sha256 !== ours.compressed.sha256) throw error;
    return theirs;
  }
}

function progress(bytes: number, of: number): string {
  const megabytes = (count: number) => Math.round(count / 1e6);
  return `${megabytes(bytes)} of ${megabytes(of)} MB`;
}

/** JSON for an HTTP header: other characters than ASCII as escapes. */
function asciiJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(
    /[^\x20-\x7e]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
