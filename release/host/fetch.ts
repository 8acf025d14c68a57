import { access, constants, mkdir, rename, rm, stat, statfs } from "node:fs/promises";
import path from "node:path";
import pRetry from "p-retry";
import prettyBytes from "pretty-bytes";
import { downloadFile, downloadNewText, downloadText } from "./download.js";
import { requireOrigin } from "../attest/origin.js";
import type { Trust } from "../attest/signer.js";
import { UserError } from "../process/errors.js";
import { commitPattern, imageName, keys, type Architecture } from "../store/keys.js";
import { sync } from "../process/files.js";
import { sha256File } from "../process/hash.js";
import { exclusively } from "../process/lock.js";
import { say, step } from "../process/progress.js";
import { publicStore } from "../store/public-store.js";
import { manifest, type Manifest } from "../store/records.js";
import { cancellation } from "../process/run.js";
import { requireTools } from "../process/tools.js";
import { unpackGrowing, type Unpacked } from "./unpack.js";

export interface FetchOptions {
  /** Public base URL of the CDN, e.g. "https://images.example.org". */
  url: string;
  /** Default: what `<url>/latest` names. */
  commit?: string | undefined;
  arch: Architecture;
  /** The image becomes `<directory>/<commit>/ubuntu-<arch>.qcow2`. */
  directory: string;
  /** How often a failed request is tried again; default 7. */
  retries?: number | undefined;
  /** Whose word is taken on who built it; null: nobody's is asked for. */
  trust: Trust | null;
}

export interface FetchedImage {
  commit: string;
  arch: Architecture;
  /** The verified qcow2. */
  path: string;
  /** Size and sha256 of the qcow2. */
  bytes: number;
  sha256: string;
  seconds: number;
  /** True when it was there already and nothing was downloaded. */
  cached: boolean;
}

/**
 * Downloads and verifies an image, as a VM host would. The file appears at its final path whole and verified or not at
 * all; one that is there already is verified again, not trusted. A cut download goes on where it was, also in a later run.
 * @throws UserError when the image is not published, does not have the hash it should, or does not fit on the disk
 */
export async function fetchImage(options: FetchOptions): Promise<FetchedImage> {
  const { arch, directory, retries } = options;
  const start = Date.now();
  const url = baseUrl(options.url);
  const commit = options.commit ?? (await fetchLatest(url, { retries })).commit;
  const published = await fetchManifest({ url, commit, arch, retries });
  await requireOriginAt(url, published, options);
  await requireDirectory(directory);
  const target = path.resolve(directory, commit, `${imageName(arch)}.qcow2`);
  return await exclusively(target, `a download of ${imageName(arch)}`, async () => {
    const cached = await verifyPresent(target, published);
    if (!cached) {
      await step(`fetch ${imageName(arch)} from ${url}`, (report) =>
        fetchDisk(url, published, target, retries, report),
      );
    }
    const seconds = (Date.now() - start) / 1000;
    return { commit, arch, path: target, ...published.disk, seconds, cached };
  });
}

/** @throws UserError where no images can be kept in it */
export async function requireDirectory(directory: string): Promise<void> {
  try {
    await mkdir(directory, { recursive: true });
    await access(directory, constants.W_OK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new UserError(
      `images cannot be kept in ${directory} (${code}): name a folder that can be written to (--directory)`,
    );
  }
}

/** @throws UserError where it was not built by whom it should be */
async function requireOriginAt(
  url: string,
  { commit, arch, disk }: Manifest,
  { trust, retries = 7 }: Pick<FetchOptions, "trust" | "retries">,
): Promise<void> {
  const cdn = publicStore(url);
  const store = {
    get: (key: string) => pRetry(() => cdn.get(key), { retries, signal: cancellation.signal }),
  };
  await requireOrigin(
    store,
    { commit, arch, sha256: disk.sha256 },
    trust,
    (problem) => `${imageName(arch)} of ${commit} is not to be trusted: at ${url}, ${problem}`,
  );
}

/** What `<url>/latest` names, and the ETag of that answer; null: it has none. */
export interface Latest {
  commit: string;
  etag: string | null;
}

/**
 * Asks for the pointer, conditionally where an answer is known already.
 * @param known what it was when it was asked for last; returned as it is where that is the newest
 */
export async function fetchLatest(
  url: string,
  options: { retries?: number | undefined },
  known: Latest | null = null,
): Promise<Latest> {
  const source = `${baseUrl(url)}/${keys.latest}`;
  const answer = await downloadNewText(source, known?.etag ?? null, { what: "any image", ...options });
  if (answer === null) return known!;
  const { text, etag } = answer;
  const commit = text.endsWith("\n") ? text.slice(0, -1) : "";
  if (!commitPattern.test(commit))
    throw new UserError(
      `${source} must be 40 lowercase hex digits and a newline, but is ${JSON.stringify(text.slice(0, 60))}`,
      { kind: "refused" },
    );
  return { commit, etag };
}

/** The manifest of a published image, read through the CDN. */
export async function fetchManifest(options: {
  url: string;
  commit: string;
  arch: Architecture;
  retries?: number | undefined;
}): Promise<Manifest> {
  const { commit, arch, retries } = options;
  if (!commitPattern.test(commit))
    throw new UserError(`commit must be 40 lowercase hex digits, but is ${JSON.stringify(commit)}`);
  const source = `${baseUrl(options.url)}/${keys.manifest(commit, arch)}`;
  const text = await downloadText(source, { what: `${imageName(arch)} of ${commit}`, retries });
  const parsed = manifest.safeParse(parseJson(text));
  if (!parsed.success || parsed.data.commit !== commit || parsed.data.arch !== arch)
    throw new UserError(`${source} is not a manifest of ${imageName(arch)} of ${commit}`, {
      kind: "refused",
    });
  return parsed.data;
}

function baseUrl(url: string): string {
  if (!/^https?:\/\//.test(url) || !URL.canParse(url))
    throw new UserError(`the images' URL must start with http:// or https://, but is ${JSON.stringify(url)}`);
  return url.replace(/\/+$/, "");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

async function verifyPresent(target: string, { disk }: Manifest): Promise<boolean> {
  const stats = await stat(target).catch(() => undefined);
  if (stats === undefined) return false;
  if (stats.size === disk.bytes && (await sha256File(target)) === disk.sha256) return true;
  say(`${target} is not what was published: fetching it again`);
  await rm(target, { recursive: true });
  return false;
}

/** Downloads, decompresses and verifies one disk, all three at once; leaves `.zst.part` where it is cut, else `target`. */
async function fetchDisk(
  url: string,
  published: Manifest,
  target: string,
  retries: number | undefined,
  report: (progress: string) => void,
): Promise<void> {
  const { commit, arch, compressed, disk } = published;
  const what = `${imageName(arch)} of ${commit}`;
  await requireTools(["zstd"]);
  const sidecar = await downloadText(`${url}/${keys.diskSha256(commit, arch)}`, { what, retries });
  if (sidecar !== `${disk.sha256}\n`)
    throw new UserError(
      `${what}: .qcow2.sha256 and the manifest name different hashes: the publication is broken`,
      { kind: "refused" },
    );

  await mkdir(path.dirname(target), { recursive: true });
  const archive = `${target}.zst.part`;
  await checkSpace(archive, published);
  const source = `${url}/${keys.disk(commit, arch)}`;
  const part = `${target}.part`;
  const remove = (...files: string[]): Promise<unknown> =>
    Promise.all(files.map((file) => rm(file, { force: true })));
  const download = [archive, `${archive}.etag`];
  const discard = (): Promise<unknown> => remove(...download, part);
  const attempt = async (): Promise<Unpacked & { resumed: boolean }> => {
    const unpacking = unpackGrowing(archive, part);
    try {
      const { resumed } = await downloadFile(source, archive, compressed.bytes, {
        what,
        retries,
        report: (have) => {
          unpacking.grown(have);
          report(`${prettyBytes(have)} of ${prettyBytes(compressed.bytes)}`);
        },
      });
      report("verifying");
      return { resumed, ...(await unpacking.finish()) };
    } catch (error) {
      await unpacking.abandon();
      throw error;
    }
  };

  let unpacked = await attempt();
  if (unpacked.archiveSha256 !== compressed.sha256 && unpacked.resumed) {
    // The part of an earlier run can have been damaged here, e.g. by a power failure: then the whole is not.
    say(`${what}: the resumed download has a wrong hash, starting again`);
    await discard();
    unpacked = await attempt();
  }
  const { archiveSha256, diskSha256, problem } = unpacked;
  if (archiveSha256 !== compressed.sha256) {
    await discard();
    throw new UserError(`${source} does not have the sha256 its manifest says (${compressed.sha256})`, {
      kind: "refused",
    });
  }
  if (problem !== null) {
    // The archive is what was published; it may be the disk that is full.
    await remove(part);
    throw new UserError(`zstd cannot decompress ${source}: ${problem}`);
  }
  if (diskSha256 !== disk.sha256) {
    await discard();
    throw new UserError(
      `${what} decompresses to sha256 ${diskSha256}, but ${disk.sha256} was published: refusing to use it`,
      { kind: "refused" },
    );
  }
  await sync(part);
  // Before the disk appears: a later run that finds it looks for nothing else.
  await remove(...download);
  await rename(part, target);
  await sync(path.dirname(target));
}

/** The archive and the disk exist side by side for a moment. */
async function checkSpace(archive: string, { arch, compressed, disk }: Manifest): Promise<void> {
  const folder = path.dirname(archive);
  const { bavail, bsize } = await statfs(folder);
  const present = (await stat(archive).catch(() => undefined))?.size ?? 0;
  const needed = Math.max(0, compressed.bytes - present) + disk.bytes;
  if (needed > bavail * bsize)
    throw new UserError(
      `the disk is too full: ${imageName(arch)} needs ${gigabytes(needed)} in ${folder}, ${gigabytes(bavail * bsize)} are free`,
      { kind: "noSpace" },
    );
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(1)} GB`;
}
