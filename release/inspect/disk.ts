import { mkdtemp, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { execa } from "execa";
import { z } from "zod";
import { UserError } from "../process/errors.js";
import { printable } from "../process/progress.js";
import { cancellation } from "../process/run.js";
import { requireTools, toolPath } from "../process/tools.js";

/** What has a name in a file system. */
export interface Entry {
  /** Absolute. */
  path: string;
  /** "other" is a device, socket or pipe. */
  kind: "file" | "directory" | "link" | "other";
  /** Permission bits with setuid, setgid and sticky: 0 to 0o7777. */
  mode: number;
  /** Size; 0 of a directory. */
  bytes: number;
}

/** An entry on a disk, where names are no good for reading: they may hold anything. */
export interface DiskEntry extends Entry {
  inode: number;
}

/**
 * The root file system of an image's disk, read where it lies: no guest is started, nothing is mounted, and nobody has to be root.
 * Whatever cannot be read of it is a UserError.
 */
export interface Disk {
  /** The disk's file. */
  file: string;
  /**
   * The content of a regular file; null where there is none.
   * @param path absolute, without white space; symbolic links are not followed
   */
  read: (path: string) => Promise<string | null>;
  /** What is wrong with the file system, a line each: it is not cleanly unmounted, or not consistent. Only where nothing is, the rest can be trusted. */
  complaints: () => Promise<string[]>;
  /** Everything on it, directories before what is in them. */
  tree: () => Promise<DiskEntry[]>;
  /**
   * Takes regular files out of the disk, all at once: for each alone it would take a process.
   * @returns reads one of them, as long as the disk is open
   */
  extract: (files: DiskEntry[]) => Promise<(file: DiskEntry) => Promise<Buffer>>;
  /** What symbolic links point to, in the same order. */
  targets: (links: DiskEntry[]) => Promise<string[]>;
}

/**
 * @param qcow2 beside it there has to be space for its content once more
 * @throws UserError where it is not a disk with an ext4 file system on its largest partition
 */
export async function withDisk<T>(qcow2: string, work: (disk: Disk) => Promise<T>): Promise<T> {
  await requireTools(["qemu-img", "sfdisk", "debugfs", "e2fsck"]);
  const raw = `${qcow2}.raw`;
  let folder: string | undefined;
  try {
    await inspect(qcow2, "qemu-img", ["convert", "-q", "-f", "qcow2", "-O", "raw", qcow2, raw]);
    const { stdout } = await inspect(qcow2, "sfdisk", ["--json", raw]);
    const { partitions } = partitionTable.parse(JSON.parse(stdout)).partitiontable;
    const root = partitions.reduce((one, other) => (other.size > one.size ? other : one));
    folder = await mkdtemp(`${qcow2}.files-`);
    return await work(openDisk(qcow2, `${path.resolve(raw)}?offset=${root.start * sectorBytes}`, folder));
  } finally {
    await rm(raw, { force: true });
    if (folder !== undefined) await rm(folder, { recursive: true });
  }
}

const sectorBytes = 512;
const partitionTable = z.object({
  partitiontable: z.object({
    sectorsize: z.literal(sectorBytes),
    partitions: z.array(z.object({ start: z.number(), size: z.number() })).nonempty(),
  }),
});

/**
 * @param device the file system, as the tools of e2fsprogs name one inside a file
 * @param folder takes what is extracted
 */
function openDisk(qcow2: string, device: string, folder: string): Disk {
  /** Of what it cannot do debugfs says so on stderr, and still ends well. */
  const debugfs = async (args: string[], commands: string[] = []) => {
    const options = { cwd: folder, input: commands.map((command) => `${command}\n`).join("") };
    const { stdout, stderr } = await inspect(qcow2, "debugfs", [...args, device], options);
    return { stdout, said: stderr.replace(/^debugfs \d.*\n?/, "").trim() };
  };
  /** What each of many commands prints. debugfs repeats a command before it does it. */
  const batch = async (commands: string[]): Promise<string[]> => {
    if (commands.length === 0) return [];
    const { stdout, said } = await debugfs(["-f", "-"], commands);
    const outputs = stdout.split(/^debugfs: .*\n/m).slice(1);
    if (said !== "" || outputs.length !== commands.length) throw unreadable(qcow2, said || "unknown");
    return outputs;
  };

  const walk = async () => {
    const all: DiskEntry[] = [];
    let level = [{ inode: rootInode, path: "" }];
    while (level.length > 0) {
      const listings = await batch(level.map(({ inode }) => `ls -p <${inode}>`));
      const found = listings.flatMap((listing, index) => readListing(qcow2, listing, level[index]!.path));
      for (const entry of found) all.push(entry);
      level = found.filter(({ kind }) => kind === "directory");
    }
    return all;
  };
  let tree: Promise<DiskEntry[]> | undefined;

  return {
    file: qcow2,
    read: async (file) => {
      const { stdout, said } = await debugfs(["-R", `cat ${file}`]);
      if (said === "") return stdout;
      if (said.includes("File not found")) return null;
      throw unreadable(qcow2, said);
    },
    complaints: async () => {
      const { stdout: superblock, said } = await debugfs(["-R", "show_super_stats -h"]);
      if (said !== "") throw unreadable(qcow2, said);
      const field = (name: string) => new RegExp(`^${name}: +(.*)$`, "m").exec(superblock)?.[1] ?? "unknown";
      // Until the journal is written back, what else is wrong cannot be told.
      if (field("Filesystem features").split(" ").includes("needs_recovery"))
        return ["its journal was not written back: it was not unmounted"];
      const state = field("Filesystem state");
      const complaints = state === "clean" ? [] : [`its state is "${state}"`];
      const check = await inspect(qcow2, "e2fsck", ["-f", "-n", device], {
        accept: [fsck.clean, fsck.errors],
      });
      if (check.exitCode === fsck.errors) complaints.push(...readFsck(check.stdout));
      return complaints;
    },
    tree: () => (tree ??= walk()),
    extract: async (files) => {
      await batch([...new Set(files.map(({ inode }) => inode))].map((inode) => `dump <${inode}> ${inode}`));
      return ({ inode }) => readFile(path.join(folder, String(inode)));
    },
    targets: async (links) => {
      const stats = await batch(links.map(({ inode }) => `stat <${inode}>`));
      return stats.map((text) => /^Fast link dest: "(.*)"$/m.exec(text)?.[1] ?? "");
    },
  };
}

/** https://www.kernel.org/doc/html/latest/filesystems/ext4/special_inodes.html */
const rootInode = 2;

/** Exit codes, e2fsck(8). */
const fsck = { clean: 0, errors: 4 } as const;

/** What e2fsck says is wrong: paragraphs, each with a question that it answers itself, between the headings of its passes. */
function readFsck(text: string): string[] {
  const paragraphs = text.replaceAll(/^Pass \d.*\n/gm, "").split(/\n\n+/);
  const wrong = paragraphs.filter((paragraph) => paragraph.endsWith("? no"));
  const lines = wrong.map((paragraph) => paragraph.replaceAll(/\s+/g, " ").replace(/ \S+\? no$/, ""));
  return lines.length > 0 ? lines : ["e2fsck finds errors"];
}

const kinds: Partial<Record<string, Entry["kind"]>> = { "04": "directory", "10": "file", "12": "link" };

/**
 * What `ls -p` prints: /inode/mode/uid/gid/name/size/. No name has a slash in it, but it may have a line break; an ID from 2^31 on is
 * printed below zero, and inode 0 is a place that is free.
 */
const listed = /^\/(\d+)\/(\d\d)(\d{4})\/-?\d+\/-?\d+\/([^/]*)\/(\d*)\/$/gm;

/** @throws UserError where a line cannot be read: what is not seen is not judged, and a folder hides all that is in it */
function readListing(qcow2: string, listing: string, folder: string): DiskEntry[] {
  const unread = listing.replaceAll(listed, "").trim();
  if (unread !== "")
    throw unreadable(qcow2, `the listing of ${printable(folder || "/")} has ${printable(unread)}`);
  return [...listing.matchAll(listed)].flatMap(([, inode, kind, mode, name, bytes]): DiskEntry[] =>
    inode === "0" || name === "." || name === ".."
      ? []
      : [
          {
            path: `${folder}/${name}`,
            kind: kinds[kind!] ?? "other",
            mode: parseInt(mode!, 8),
            bytes: Number(bytes),
            inode: Number(inode),
          },
        ],
  );
}

/** Lists of packages are long: more than this is none. */
const mostBytes = 64 * 1024 * 1024;

interface InspectOptions {
  cwd?: string;
  input?: string;
  /** Exit codes that are answers. */
  accept?: number[];
}

async function inspect(qcow2: string, tool: string, args: string[], options: InspectOptions = {}) {
  const { cwd = process.cwd(), input = "", accept = [0] } = options;
  const result = await execa("setpriv", ["--pdeathsig", "KILL", tool, ...args], {
    env: { PATH: toolPath(), LC_ALL: "C" },
    cwd,
    input,
    stripFinalNewline: false,
    maxBuffer: mostBytes,
    cancelSignal: cancellation.signal,
    reject: false,
  });
  if (result.exitCode !== undefined && accept.includes(result.exitCode)) return result;
  if (result.isCanceled) cancellation.signal.throwIfAborted();
  throw unreadable(qcow2, result.stderr.trim() || result.shortMessage || "unknown");
}

/** @throws UserError where the disk lacks a file that every image has */
export async function requireFile(disk: Disk, path: string): Promise<string> {
  const text = await disk.read(path);
  if (text === null)
    throw new UserError(`${disk.file} is no image of this project: ${path} is missing on it`);
  return text;
}

function unreadable(qcow2: string, said: string): UserError {
  return new UserError(`${qcow2} cannot be read as an image's disk: ${said.split("\n").at(-1)}`);
}
