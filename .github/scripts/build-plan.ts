import type { BuildSettings } from "../../local/stack-file.js";
import { UserError } from "../../release/process/errors.js";
import { say } from "../../release/process/progress.js";
import { imageName, keys, type Architecture } from "../../release/store/keys.js";
import { publicStore } from "../../release/store/public-store.js";

/** A build on a machine of its own: an entry of a job's matrix, and the inputs of build-image.yml. */
export interface Build extends BuildSettings {
  arch: Architecture;
  /** The time limit of the job. */
  minutes: number;
}

/**
 * How GitHub's own machines run guests, and how long that may take. KVM is demanded where it is known to work: a build which falls back
 * to emulation would only run into its time limit.
 */
const machines: Record<Architecture, { accelerator: string; minutes: number }> = {
  x86_64: { accelerator: "kvm", minutes: 60 },
  aarch64: { accelerator: "tcg", minutes: 240 },
};

/** @param architectures what is to be built */
export function planBuilds(architectures: Architecture[], settings: BuildSettings): Build[] {
  return architectures.map((arch) => {
    const { accelerator, minutes } = machines[arch];
    return { ...settings, arch, minutes, ...(settings.accelerator === "auto" && { accelerator }) };
  });
}

/**
 * Which images the CDN does not show as published, one request each. What it does not tell counts as not published: to build once more
 * costs minutes, and `publish` looks into the bucket itself.
 */
export async function unpublished(
  url: string,
  commit: string,
  architectures: Architecture[],
): Promise<Architecture[]> {
  const found = await Promise.all(
    architectures.map(async (arch) => {
      try {
        return url !== "" && (await publicStore(url).get(keys.manifest(commit, arch))) !== null;
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        say(`whether ${imageName(arch)} of ${commit} is published is not known: ${error.message}`);
        return false;
      }
    }),
  );
  return architectures.filter((_, index) => !found[index]);
}
