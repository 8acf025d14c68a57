import { copyFile, mkdir, readFile, rename, rm } from "node:fs/promises";
import path from "node:path";
import { UserError } from "../process/errors.js";
import { isHandedOver } from "../store/sums.js";
import { imageName } from "../store/keys.js";
import { buildFacts } from "../store/records.js";
import { parseJson } from "../store/store.js";
import { buildDirectory, mismatch, type BuildRequest, type BuiltImage } from "./build.js";

type Request = Omit<BuildRequest, "accelerator">;

/** The files of a built image: `attestation` may be missing, and is not vouched for by a hash, since it is signed. */
function files({ arch }: Pick<Request, "arch">) {
  const name = imageName(arch);
  return { disk: `${name}.qcow2`, facts: `${name}.build.json`, attestation: `${name}.sigstore.json` };
}

/** Where a built image lies. */
function folderOf({ root, commit, arch }: Pick<Request, "root" | "commit" | "arch">): string {
  return path.join(buildDirectory(root, commit, arch), "image", "build");
}

/** Where the attestation is that came with a disk from the machine that built it, if one did. */
export function attestationFile(request: Pick<Request, "root" | "commit" | "arch">): string {
  return path.join(folderOf(request), files(request).attestation);
}

/**
 * Takes over an image that another machine built, so that `publish` finds it as if it had been built here.
 * @param folder holds what the build left; its files are moved
 * @param sums the hashes of disk and facts (store/sums.ts)
 * @returns null where it is of another commit: then it is left alone
 * @throws UserError where a file is missing or not the one of its hash, or was made of something else; then nothing was changed
 */
export async function takeImage(request: Request, folder: string, sums: string): Promise<BuiltImage | null> {
  const { commit, arch } = request;
  const { disk, facts, attestation } = files(request);
  if (!(await isHandedOver(request, folder, [disk, facts], sums, "build it again"))) return null;
  const parsed = parseJson(await readFile(path.join(folder, facts), "utf8"), buildFacts);
  const difference =
    parsed === null
      ? "facts that are not valid"
      : (otherArch(parsed.arch, arch) ?? mismatch(parsed, request));
  if (parsed === null || difference !== null)
    throw new UserError(`${disk} of ${commit} was built with ${difference}; build it again`);

  const target = folderOf(request);
  await rm(target, { recursive: true, force: true });
  await mkdir(target, { recursive: true });
  // The facts last, as in a build: they prove that the rest is there.
  for (const file of [attestation, disk, facts])
    await move(path.join(folder, file), path.join(target, file), file === attestation);
  return { path: path.join(target, disk), facts: parsed };
}

function otherArch(found: string, wanted: string): string | null {
  return found === wanted ? null : `architecture ${found}, not ${wanted}`;
}

async function move(from: string, to: string, mayBeMissing: boolean): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" && mayBeMissing) return;
    if (code !== "EXDEV") throw error;
    await copyFile(from, to);
    await rm(from);
  }
}
