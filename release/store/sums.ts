import { lstat } from "node:fs/promises";
import path from "node:path";
import { UserError } from "../process/errors.js";
import { sha256File } from "../process/hash.js";
import { imageName, type Architecture } from "./keys.js";

/**
 * Holds files that another machine made to their hashes, which are known by another way than the files came.
 * @param folder holds the files
 * @param files their names
 * @param sums as sha256sum writes it, a line for each of them and no other: `<sha256>  images/<commit>/<file>`
 * @param again what helps where one is not the file of its hash, e.g. "build it again"
 * @returns false where they are of another commit
 * @throws UserError where a file is missing or not the one of its hash
 */
export async function isHandedOver(
  { commit, arch }: { commit: string; arch: Architecture },
  folder: string,
  files: string[],
  sums: string,
  again: string,
): Promise<boolean> {
  const found = files.flatMap((file) => sumOf(file, sums) ?? []);
  if (found.length !== files.length || sums.trim().split("\n").length !== files.length)
    throw new UserError(
      `the hashes handed over for ${imageName(arch)} are not ${files.map((file) => `"<sha256>  images/<commit>/${file}"`).join(" and ")}, a line each: ${JSON.stringify(sums.slice(0, 200))}`,
    );
  if (found.some((sum) => sum.commit !== commit)) return false;
  for (const { file, hash } of found) {
    const actual = await hashOf(path.join(folder, file));
    if (actual !== hash)
      throw new UserError(
        `${file} of ${commit} is not the file that was handed over: ${actual === null ? `it is not in ${folder}` : `its sha256 is ${actual}, not ${hash}`}; ${again}`,
      );
  }
  return true;
}

interface Sum {
  file: string;
  hash: string;
  commit: string;
}

function sumOf(file: string, sums: string): Sum | undefined {
  const line = sums.split("\n").find((text) => text.endsWith(`/${file}`));
  const [, hash, commit] = /^([0-9a-f]{64}) {2}images\/([0-9a-f]{40})\/[^/]+$/.exec(line ?? "") ?? [];
  return hash === undefined ? undefined : { file, hash, commit: commit! };
}

/** null: no such file. */
async function hashOf(file: string): Promise<string | null> {
  const found = await lstat(file).catch(() => null);
  return found?.isFile() ? await sha256File(file) : null;
}
