import { readdir, readFile, readlink, rm, rmdir, stat } from "node:fs/promises";
import path from "node:path";
import { commitPattern, imageName, type Architecture } from "../store/keys.js";
import { isUnderWay } from "../process/lock.js";

/*
 * The images that a host keeps, `<directory>/<commit>/ubuntu-<arch>.qcow2`: how much they take, which of them virtual machines use,
 * and which go when they take too much.
 */

/** An image of one architecture, or what a download that was cut left of it. */
export interface KeptImage {
  commit: string;
  /** Where the disk is, or would be. */
  path: string;
  /** What it takes of the file system. */
  bytes: number;
  /** When it came. */
  changedAt: Date;
}

/** Those of a directory, in no order. What else is there is nobody's business here. */
export async function keptImages(directory: string, arch: Architecture): Promise<KeptImage[]> {
  const names = await readdir(directory).catch(() => []);
  const images = names
    .filter((name) => commitPattern.test(name))
    .map(async (commit): Promise<KeptImage | null> => {
      const image = path.join(directory, commit, `${imageName(arch)}.qcow2`);
      const files = await Promise.all((await filesOf(image)).map((file) => stat(file)));
      if (files.length === 0) return null;
      const bytes = files.reduce((sum, { blocks }) => sum + blocks * 512, 0);
      return { commit, path: image, bytes, changedAt: new Date(Math.max(...files.map((f) => f.mtimeMs))) };
    });
  return (await Promise.all(images)).filter((image) => image !== null);
}

/**
 * What goes so that the rest takes no more than the limit: the oldest first.
 * @param limit bytes
 * @param isKept which stay, whatever they take
 */
export function tooMuch(
  images: readonly KeptImage[],
  limit: number,
  isKept: (image: KeptImage) => boolean,
): KeptImage[] {
  let bytes = images.reduce((sum, image) => sum + image.bytes, 0);
  const gone = [];
  for (const image of images.toSorted((a, b) => a.changedAt.getTime() - b.changedAt.getTime())) {
    if (bytes <= limit) break;
    if (isKept(image)) continue;
    gone.push(image);
    bytes -= image.bytes;
  }
  return gone;
}

/** Removes an image and what is left of its download; not where somebody is downloading it now. */
export async function removeImage({ path: image }: KeptImage): Promise<boolean> {
  if (await isUnderWay(image)) return false;
  // The disk first: what is left after a kill is found and removed the next time.
  for (const file of [...(await filesOf(image)), `${image}.lock`]) await rm(file, { force: true });
  // The other architecture's image may be there.
  await rmdir(path.dirname(image)).catch(() => undefined);
  return true;
}

/** The disk and the parts of a download, as far as they are there. */
async function filesOf(image: string): Promise<string[]> {
  const folder = path.dirname(image);
  const name = path.basename(image);
  const names = await readdir(folder).catch(() => []);
  return names
    .filter((file) => file === name || (file.startsWith(`${name}.`) && file !== `${name}.lock`))
    .sort()
    .map((file) => path.join(folder, file));
}

/**
 * Which files some process has open, as far as this user may see it (root: all of it), or holds a lock on, which anybody may see:
 * QEMU locks the disks it uses, a backing file too (https://www.qemu.org/docs/master/system/qemu-block-drivers.html#disk-image-file-locking).
 * Where the system does not say, as it has no /proc, all are taken for used.
 */
export async function inUse(files: readonly string[], proc = "/proc"): Promise<Set<string>> {
  const [locks, processes] = await Promise.all([
    readFile(path.join(proc, "locks"), "utf8").catch(() => null),
    readdir(proc).catch(() => null),
  ]);
  if (locks === null || processes === null) return new Set(files);
  const inodes = new Map<string, string>();
  for (const file of files) {
    const stats = await stat(file, { bigint: true }).catch(() => null);
    if (stats !== null) inodes.set(String(stats.ino), file);
  }
  const used = new Set<string>();
  // "1: OFDLCK ADVISORY  READ -1 fe:00:1234 100 101": of the file's identity the inode alone, since file systems with subvolumes name
  // another device there than stat does. What is taken for used by mistake goes another time.
  for (const [, inode] of locks.matchAll(/ [0-9a-f]+:[0-9a-f]+:(\d+) /g)) {
    const file = inodes.get(inode!);
    if (file !== undefined) used.add(file);
  }
  const wanted = new Set(files);
  for (const pid of processes.filter((name) => /^\d+$/.test(name))) {
    // Another user's, or one that has ended.
    for (const descriptor of await readdir(`${proc}/${pid}/fd`).catch(() => [])) {
      const file = await readlink(`${proc}/${pid}/fd/${descriptor}`).catch(() => "");
      if (wanted.has(file)) used.add(file);
    }
  }
  return used;
}
