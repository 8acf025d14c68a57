import type { BuildSettings } from "../../local/stack-file.js";
import { UserError } from "../../release/process/errors.js";
import { say } from "../../release/process/progress.js";
import { imageName, keys, type Architecture } from "../../release/store/keys.js";
import { publicStore } from "../../release/store/public-store.js";
import { bootRecord, hasPassed, manifest } from "../../release/store/records.js";
import { parseJson, type StoreReader } from "../../release/store/store.js";

/** A build on a machine of its own: an entry of a job's matrix, and the inputs of build-image.yml. */
export interface Build extends BuildSettings {
  arch: Architecture;
  /** The time limit of the job. */
  minutes: number;
}

/** The boot of a published image on a machine of its own: an entry of the matrix of deploy.yml's job `boot`. */
export interface Boot {
  accelerator: string;
  arch: Architecture;
  commit: string;
  /** The time limit of the job. */
  minutes: number;
}

/**
 * How GitHub's own machines run guests, and how long that may take. KVM is demanded where it is known to work: a build which falls back
 * to emulation would only run into its time limit. A boot has BOOT_TIMEOUT (deploy.yml) for its guest, and the rest for all before.
 */
const machines: Record<Architecture, { accelerator: string; minutes: { build: number; boot: number } }> = {
  x86_64: { accelerator: "kvm", minutes: { build: 60, boot: 60 } },
  aarch64: { accelerator: "tcg", minutes: { build: 240, boot: 75 } },
};

function acceleratorOf(arch: Architecture, { accelerator }: Pick<BuildSettings, "accelerator">): string {
  return accelerator === "auto" ? machines[arch].accelerator : accelerator;
}

/** @param architectures what is to be built */
export function planBuilds(architectures: Architecture[], settings: BuildSettings): Build[] {
  return architectures.map((arch) => ({
    ...settings,
    arch,
    minutes: machines[arch].minutes.build,
    accelerator: acceleratorOf(arch, settings),
  }));
}

/** @param architectures what is to be booted */
export function planBoots(
  architectures: Architecture[],
  commit: string,
  settings: Pick<BuildSettings, "accelerator">,
): Boot[] {
  return architectures.map((arch) => ({
    arch,
    commit,
    minutes: machines[arch].minutes.boot,
    accelerator: acceleratorOf(arch, settings),
  }));
}

/** How far an image is: published, or booted as well, which is published and passed. */
export type Stage = "none" | "published" | "booted";

/**
 * How far the images of a commit are, as the CDN shows it: one request each, or two. What it does not tell counts as not done: to do it
 * once more costs minutes, and `publish` and `boot-test` look into the bucket themselves.
 */
export async function readStages(
  url: string,
  commit: string,
  architectures: Architecture[],
): Promise<Map<Architecture, Stage>> {
  return new Map(
    await Promise.all(
      architectures.map(async (arch) => [arch, await readStage(url, commit, arch)] as [Architecture, Stage]),
    ),
  );
}

async function readStage(url: string, commit: string, arch: Architecture): Promise<Stage> {
  if (url === "") return "none";
  const store = publicStore(url);
  const published = await ask(store, keys.manifest(commit, arch), arch);
  if (published === null) return "none";
  const record = await ask(store, keys.bootRecord(commit, arch), arch);
  const found = parseJson(published, manifest);
  const passed = found !== null && record !== null && hasPassed(parseJson(record, bootRecord), found);
  return passed ? "booted" : "published";
}

async function ask(store: StoreReader, key: string, arch: Architecture): Promise<string | null> {
  try {
    return (await store.get(key))?.text ?? null;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    say(`how far ${imageName(arch)} is is not known: ${error.message}`);
    return null;
  }
}

/** What of the images has to be done elsewhere, and is no part of an update. */
export interface LeftOut {
  /** Neither published nor handed over. */
  build: Architecture[];
  /** Published, or about to be, with neither a boot that passed nor a boot record that was handed over. */
  boot: Architecture[];
}

/** @param handedOver by this run's other jobs */
export function leaveOut(
  stages: Map<Architecture, Stage>,
  handedOver: { images: Architecture[]; records: Architecture[] },
): LeftOut {
  const architectures = [...stages.keys()];
  return {
    build: architectures.filter((arch) => stages.get(arch) === "none" && !handedOver.images.includes(arch)),
    boot: architectures.filter((arch) => stages.get(arch) !== "booted" && !handedOver.records.includes(arch)),
  };
}

/**
 * Pulumi's options for an update without that: all images where one is still to be built, else the boot tests in question; and the pointer
 * where it waits for them. What is excluded stays in the state as it was. A resource that is not there yet counts as a dependent by what
 * the program says it depends on (pulumi/pulumi, step_generator.go, isTargetedForUpdate), and only directly: the pointer depends on every
 * boot test, since the SDK puts a component's resources in its place.
 */
export function exclusions({ build, boot }: LeftOut): string[] {
  const resources =
    build.length > 0 ? ["**RunnerImage**"] : boot.map((arch) => `**::${imageName(arch)}-boot-test`);
  return resources.length === 0
    ? []
    : [...resources.flatMap((urns) => ["--exclude", urns]), "--exclude-dependents"];
}
