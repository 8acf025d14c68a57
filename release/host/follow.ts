import { readFile, readlink, rename, rm, stat, symlink } from "node:fs/promises";
import path from "node:path";
import prettyBytes from "pretty-bytes";
import { z } from "zod";
import { signerText, type Trust } from "../attest/signer.js";
import { sync, writeFileAtomically } from "../process/files.js";
import { exclusively } from "../process/lock.js";
import { say } from "../process/progress.js";
import { imageName, commitPattern, type Architecture } from "../store/keys.js";
import { manifest, type Manifest } from "../store/records.js";
import { inUse, keptImages, removeImage, tooMuch } from "./cache.js";
import { fetchImage, fetchLatest, fetchManifest, requireDirectory, type FetchOptions } from "./fetch.js";

/*
 * What a VM host does every few minutes: `<directory>/ubuntu-<arch>.qcow2` is a link to the verified image that `latest` names. An
 * image that is there and verified costs one conditional request for 41 bytes, and is not read again: the file of this host's own
 * notes, `<directory>/ubuntu-<arch>.json`, says what was verified, and by the word of whom.
 */

const notes = z.object({
  schema: z.literal(1),
  url: z.string(),
  /** What `<url>/latest` named, and the ETag of that answer. */
  latest: z.object({ commit: z.string().regex(commitPattern), etag: z.string().nullable() }),
  /** What the link named before; null: nothing. A virtual machine may be about to start with it. */
  previous: z.string().nullable(),
  /** Whose word was taken: `trustText`. */
  trust: z.string(),
  /** The verified file, as the file system describes it: `identity`. */
  file: z.string(),
  manifest,
});
type Notes = z.infer<typeof notes>;

export interface FollowOptions extends Omit<FetchOptions, "commit"> {
  /** Bytes that all images of this architecture may take; null: any number. */
  limit: number | null;
  /** Read and verify the whole image again, though nothing says that it changed. */
  rehash: boolean;
}

export interface Followed {
  commit: string;
  arch: Architecture;
  /** The link; it names the verified qcow2. */
  path: string;
  bytes: number;
  sha256: string;
  /** The link named another image before, or none. */
  changed: boolean;
  /** Bytes of a disk or a delta that came through the network; 0: the image was here. */
  downloadedBytes: number;
  /** What all kept images of this architecture take, in bytes. */
  cacheBytes: number;
  /** The commits of the images that went, to keep to the limit. */
  removed: string[];
}

/**
 * Brings a host's image up to what `latest` names. Whatever fails, the link and the image it names stay as they are.
 * @throws UserError as `fetchImage` does
 */
export async function follow(options: FollowOptions): Promise<Followed> {
  const { url, arch } = options;
  const directory = path.resolve(options.directory);
  const link = linkOf(directory, arch);
  await requireDirectory(directory);
  return await exclusively(link, `a fetch of ${imageName(arch)}`, async () => {
    const known = options.rehash ? null : await verifiedBefore(options);
    const latest = await fetchLatest(url, options, known?.latest ?? null);
    const changed = (await linkedCommit(link)) !== latest.commit;
    let current: Notes;
    let downloadedBytes = 0;
    if (known?.latest.commit === latest.commit) {
      current = { ...known, latest };
      if (latest.etag !== known.latest.etag) await writeNotes(directory, current);
    } else {
      const { commit } = latest;
      const image = await fetchImage({ ...options, commit });
      downloadedBytes = image.downloadedBytes;
      const previous = changed
        ? await linkedCommit(link)
        : ((await lastNotes(directory, arch))?.previous ?? null);
      await moveLink(link, path.join(commit, path.basename(image.path)));
      current = {
        schema: 1,
        url,
        latest,
        previous,
        trust: trustText(options.trust),
        file: await identity(image.path),
        manifest: await fetchManifest({ ...options, commit }),
      };
      await writeNotes(directory, current);
    }
    const cache = await keepTo(options.limit, directory, arch, [latest.commit, current.previous]);
    const { disk } = current.manifest;
    return { commit: latest.commit, arch, path: link, ...disk, changed, downloadedBytes, ...cache };
  });
}

/** The manifest of the image that this host uses, verified in an earlier run; null: it has none. */
export async function followedImage(directory: string, arch: Architecture): Promise<Manifest | null> {
  return (await lastNotes(path.resolve(directory), arch))?.manifest ?? null;
}

/** What an earlier run verified, where it still holds: same place, same trust, same file, and the link names it. */
async function verifiedBefore({ url, arch, trust, directory }: FollowOptions): Promise<Notes | null> {
  const last = await lastNotes(directory, arch);
  if (last === null || last.url !== url || last.trust !== trustText(trust)) return null;
  const { commit } = last.latest;
  if ((await linkedCommit(linkOf(directory, arch))) !== commit) return null;
  const file = await identity(path.join(directory, commit, `${imageName(arch)}.qcow2`)).catch(() => null);
  return file === last.file ? last : null;
}

/** Images that are accepted without an attestation are accepted until a day: then it is asked again each day. */
function trustText(trust: Trust | null): string {
  if (trust === null) return "nobody's";
  const { signer, unsignedUntil } = trust;
  const issuer = signer.kind === "workflow" ? signer.issuer : "";
  const day =
    unsignedUntil === null ? "" : `until ${unsignedUntil}, on ${new Date().toISOString().slice(0, 10)}`;
  return [signerText(signer), issuer, day].join(" ").trim();
}

/**
 * Changes with every write to the file, and with every other file in its place: the change time cannot be set by anybody. Only a write
 * within the same tick of the kernel's clock, at most 10 ms, would not show.
 */
async function identity(file: string): Promise<string> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(file, { bigint: true });
  return [dev, ino, size, mtimeNs, ctimeNs].join(" ");
}

function linkOf(directory: string, arch: Architecture): string {
  return path.join(path.resolve(directory), `${imageName(arch)}.qcow2`);
}

async function linkedCommit(link: string): Promise<string | null> {
  const target = await readlink(link).catch(() => null);
  return target === null ? null : path.basename(path.dirname(target));
}

/** Relative, so that the directory can be seen from another place, such as a container. */
async function moveLink(link: string, target: string): Promise<void> {
  const next = `${link}.new`;
  await rm(next, { force: true });
  await symlink(target, next);
  await rename(next, link);
  await sync(path.dirname(link));
}

function notesFile(directory: string, arch: Architecture): string {
  return path.join(directory, `${imageName(arch)}.json`);
}

async function writeNotes(directory: string, content: Notes): Promise<void> {
  await writeFileAtomically(notesFile(directory, content.manifest.arch), `${JSON.stringify(content)}\n`);
}

/** Null also where they cannot be read: then everything is verified anew. */
async function lastNotes(directory: string, arch: Architecture): Promise<Notes | null> {
  try {
    return notes.parse(JSON.parse(await readFile(notesFile(directory, arch), "utf8")));
  } catch {
    return null;
  }
}

/** Removes the oldest images until the rest keeps to the limit, but none that is or was the link's, and none that is in use. */
async function keepTo(
  limit: number | null,
  directory: string,
  arch: Architecture,
  commits: readonly (string | null)[],
): Promise<Pick<Followed, "cacheBytes" | "removed">> {
  const images = await keptImages(directory, arch);
  const bytes = (of: typeof images) => of.reduce((sum, image) => sum + image.bytes, 0);
  if (limit === null || bytes(images) <= limit) return { cacheBytes: bytes(images), removed: [] };
  const used = await inUse(images.map((image) => image.path));
  const going = tooMuch(images, limit, (image) => used.has(image.path) || commits.includes(image.commit));
  const removed = [];
  for (const image of going) if (await removeImage(image)) removed.push(image);
  const cacheBytes = bytes(images) - bytes(removed);
  if (removed.length > 0)
    say(`removed ${removed.length} images of ${prettyBytes(bytes(removed))}, the oldest that nobody uses`);
  if (cacheBytes > limit)
    say(
      `warning: the images of ${imageName(arch)} take ${prettyBytes(cacheBytes)}, more than the limit of ${prettyBytes(limit)}: the rest is live, was so before, or is in use`,
    );
  return { cacheBytes, removed: removed.map(({ commit }) => commit) };
}
