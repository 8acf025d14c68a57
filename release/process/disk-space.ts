import { createHash } from "node:crypto";
import { lstat, mkdir, readdir, readFile, rm, stat, statfs, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { UserError } from "./errors.js";
import { exclusively, isUnderWay } from "./lock.js";

const gigabyte = 1e9;

/** What the work in a folder takes of its file system at its peak. It counts for no longer than the folder's lock (lock.ts) is held. */
interface Claim {
  folder: string;
  gigabytes: number;
}

/**
 * Does work that takes space, in a folder whose lock this process holds. What others of this user have asked for on the same file
 * system, in whichever checkout, and not used yet, is not free: each alone would fit, and all together fill the disk.
 * @param folder exists
 * @throws UserError where there is less than that
 */
export async function withDiskSpace<T>(
  folder: string,
  gigabytes: number,
  work: () => Promise<T>,
): Promise<T> {
  const claims = await claimFolder();
  const own = claimFile(claims, folder);
  await exclusively(path.join(claims, "claims"), "a look at the free disk space", async () => {
    await requireDiskSpace(folder, gigabytes, await othersAtWork(claims, own, folder));
    await writeFile(own, JSON.stringify({ folder, gigabytes } satisfies Claim));
  });
  try {
    return await work();
  } finally {
    await rm(own, { force: true });
  }
}

/** Drops what a run that was killed had claimed for a folder, whose lock this process holds: it may have nothing to claim any more. */
export async function dropClaim(folder: string): Promise<void> {
  await rm(claimFile(await claimFolder(), folder), { force: true });
}

function claimFile(claims: string, folder: string): string {
  return path.join(claims, `${createHash("sha256").update(folder).digest("hex")}.json`);
}

async function requireDiskSpace(folder: string, gigabytes: number, others: Claim[]): Promise<void> {
  const outstanding = await Promise.all(
    others.map(async (claim) => Math.max(0, claim.gigabytes - (await used(claim.folder)))),
  );
  const besides = outstanding.reduce((sum, each) => sum + each, 0);
  const { bavail, bsize } = await statfs(folder);
  const free = (bavail * bsize) / gigabyte;
  if (free >= gigabytes + besides) return;
  const [more, wait] =
    others.length === 0
      ? ["", ""]
      : [
          `, and what is under way besides ${besides.toFixed(1)} GB more (${others.map((claim) => claim.folder).join(", ")})`,
          "wait for that, ",
        ];
  throw new UserError(
    `the disk of ${folder} has ${free.toFixed(1)} GB free, a build needs ${gigabytes} GB${more}: ${wait}free some, or work in a checkout on a larger disk`,
  );
}

/** Where claims are noted: this user's, on this machine. */
async function claimFolder(): Promise<string> {
  const uid = process.getuid?.() ?? 0;
  const folder = path.join(tmpdir(), `runner-images-${uid}`);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const found = await lstat(folder);
  if (!found.isDirectory() || found.uid !== uid)
    throw new UserError(
      `${folder} belongs to somebody else; remove it, or set TMPDIR to a folder of your own`,
    );
  return folder;
}

/** The claims of others on the file system of `folder`; those whose work has ended, however it did, go. */
async function othersAtWork(claims: string, own: string, folder: string): Promise<Claim[]> {
  const { dev } = await stat(folder);
  const found: Claim[] = [];
  for (const name of await readdir(claims)) {
    const file = path.join(claims, name);
    if (file === own || !name.endsWith(".json")) continue;
    // Written by withDiskSpace: one that cannot be read is gone since, or of a machine that lost power.
    const claim = await readFile(file, "utf8")
      .then((text) => JSON.parse(text) as Claim)
      .catch(() => null);
    if (claim === null || !(await isUnderWay(claim.folder))) await rm(file, { force: true });
    else if ((await stat(claim.folder).catch(() => null))?.dev === dev) found.push(claim);
  }
  return found;
}

/** Gigabytes that are in a folder now. */
async function used(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const sizes = await Promise.all(
    entries
      .filter((entry) => entry.isFile())
      // What is removed meanwhile takes nothing.
      .map((entry) =>
        stat(path.join(entry.parentPath, entry.name)).then(
          ({ blocks }) => blocks * 512,
          () => 0,
        ),
      ),
  );
  return sizes.reduce((sum, size) => sum + size, 0) / gigabyte;
}
