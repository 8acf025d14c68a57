import { mkdir, open, readFile, rm, stat } from "node:fs/promises";
import path from "node:path";
import { findDeath, readConsoleEnd, showsEmulationFault, watchConsole } from "../boot/boot-console.js";
import { dropClaim, withDiskSpace } from "../process/disk-space.js";
import { UserError } from "../process/errors.js";
import { imageName, type Architecture } from "../store/keys.js";
import { exclusively } from "../process/lock.js";
import { say, step } from "../process/progress.js";
import { buildFacts, type AcceleratorChoice, type BuildFacts, type Profile } from "../store/records.js";
import { run } from "../process/run.js";
import { exportImage } from "./source.js";
import { parseJson } from "../store/store.js";
import { requireTools, type Tool } from "../process/tools.js";

export type Base = BuildFacts["base"]["kind"];
export type Runner = BuildFacts["runner"]["kind"];
/** Which image, made of what. */
export interface BuildRequest {
  /** The checkout. */
  root: string;
  commit: string;
  arch: Architecture;
  base: Base;
  profile: Profile;
  runner: Runner;
  accelerator: AcceleratorChoice;
}

/** A disk that is ready to be published. */
export interface BuiltImage {
  path: string;
  facts: BuildFacts;
}

/** Gigabytes a build takes at its peak: base image, working disk, sealed disk. */
const neededGigabytes: Record<Base, number> = { debian: 4, ubuntu: 12 };

/** What a build of this architecture runs. */
export function buildTools(arch: Architecture): Tool[] {
  return ["make", "packer", `qemu-system-${arch}`, "qemu-img", "zstd"];
}

const makeTargets: Record<AcceleratorChoice, (arch: Architecture) => string> = {
  auto: (arch) => arch,
  kvm: (arch) => `${arch}-host`,
  tcg: (arch) => `${arch}-emul`,
};

/** Where the image of a commit is built: a folder of its own, since architectures and commits may build at the same time. */
export function buildDirectory(root: string, commit: string, arch: Architecture): string {
  return path.join(root, "build", `${commit}-${arch}`);
}

/** Does `work` while no other process on this machine builds or publishes the same image. */
export async function withBuildDirectory<T>(
  { root, commit, arch }: Pick<BuildRequest, "root" | "commit" | "arch">,
  work: () => Promise<T>,
): Promise<T> {
  const directory = buildDirectory(root, commit, arch);
  return exclusively(directory, `a build of ${imageName(arch)} ${commit}`, async () => {
    await dropClaim(directory);
    return work();
  });
}

/**
 * Builds the image of a commit with Packer and QEMU, unless that is done already.
 * @throws UserError for what is missing on this machine, and with the end of the log where the build fails
 */
export async function buildImage(request: BuildRequest): Promise<BuiltImage> {
  const { root, commit, arch, base } = request;
  const directory = buildDirectory(root, commit, arch);
  const built = await findBuilt(root, commit, arch);
  if (built !== null && mismatch(built.facts, request) === null) {
    say(`${imageName(arch)} of ${commit} is built already: ${built.path}`);
    return built;
  }

  await requireTools(buildTools(arch));
  await mkdir(directory, { recursive: true });
  if (built !== null) await rm(path.join(directory, "image"), { recursive: true });
  return withDiskSpace(directory, neededGigabytes[base], () => make(request, directory));
}

async function make(request: BuildRequest, directory: string): Promise<BuiltImage> {
  const { root, commit, arch, base, profile, runner, accelerator } = request;
  const name = imageName(arch);
  const image = await exportImage(root, commit, directory);
  const log = path.join(root, "build", "logs", `${commit}-${arch}-build.log`);
  const settings = {
    BASE: base,
    PROFILE: profile,
    RUNNER: runner,
    COMMIT: commit,
    CACHE_DIR: path.resolve(root, process.env.RUNNER_IMAGES_CACHE ?? ".local/cache"),
  };
  const consoleLog = path.join(image, "build", arch, "console.log");
  const variables = Object.entries(settings).map(([key, value]) => `${key}=${value}`);
  const args = ["-C", image, makeTargets[accelerator](arch), ...variables];
  const attempt = () =>
    step(`build ${name}`, async (report) => {
      const stages = setInterval(() => void lastStage(log).then(report, () => undefined), stageIntervalMs);
      try {
        await runMake(args, { log, consoleLog });
      } finally {
        clearInterval(stages);
      }
    });
  say(`${name} of ${commit}, log: ${path.relative(root, log)}`);
  try {
    await attempt();
  } catch (error) {
    if (accelerator === "kvm" || !showsEmulationFault(await readConsoleEnd(consoleLog))) throw error;
    say("a fault of QEMU's emulation (int3) ended this build, and not the image: building once more");
    await attempt();
  }
  const result = await findBuilt(root, commit, arch);
  if (result === null)
    throw new UserError(
      `make ended well but left no valid ${name}.qcow2 and ${name}.build.json in ${image}/build`,
    );
  return result;
}

/**
 * Runs make until it ends or the guest it builds in is dead: Packer waits for such a one up to half an hour for its SSH, and without a
 * limit while a script runs.
 * @throws UserError with why the guest died, or what the build says is wrong
 */
async function runMake(
  args: string[],
  { log, consoleLog }: { log: string; consoleLog: string },
): Promise<void> {
  // A build that was killed may have left it.
  await rm(consoleLog, { force: true });
  const dead = new AbortController();
  const over = new AbortController();
  void watchConsole(consoleLog, () => undefined, over.signal).then(
    () => dead.abort(),
    () => undefined,
  );
  try {
    await run("make", args, { log, withoutCredentials: true, signal: dead.signal });
  } catch (error) {
    const why = findDeath(await readConsoleEnd(consoleLog));
    if (why === null) throw withReason(error);
    throw new UserError(
      `the guest died while it was built: ${why} (whole console: ${consoleLog}, log: ${log})`,
      { cause: error },
    );
  } finally {
    over.abort();
  }
}

/** The finished disk of a commit; null where there is none. The facts are written last, so they prove the disk. */
export async function findBuilt(
  root: string,
  commit: string,
  arch: Architecture,
): Promise<BuiltImage | null> {
  const disk = path.join(buildDirectory(root, commit, arch), "image", "build", `${imageName(arch)}.qcow2`);
  const facts = await readFile(disk.replace(/qcow2$/, "build.json"), "utf8").catch(() => null);
  const parsed = facts === null ? null : parseJson(facts, buildFacts);
  const isThere = await stat(disk).then(
    (found) => found.size > 0,
    () => false,
  );
  return parsed !== null && isThere ? { path: disk, facts: parsed } : null;
}

/** How an image differs from what was asked for, e.g. "base debian, not ubuntu"; null where it does not. */
export function mismatch(
  facts: BuildFacts,
  { base, profile, runner }: Pick<BuildRequest, "base" | "profile" | "runner">,
): string | null {
  if (facts.base.kind !== base) return `base ${facts.base.kind}, not ${base}`;
  // Images built before there were profiles are what they are.
  if (facts.profile !== undefined && facts.profile !== profile)
    return `profile ${facts.profile}, not ${profile}`;
  if (facts.runner.kind !== runner) return `runner ${facts.runner.kind}, not ${runner}`;
  return null;
}

/** The error of a failed make, led by what the build itself says is wrong ("error: ..."), where it says so. */
function withReason(error: unknown): unknown {
  if (!(error instanceof UserError)) return error;
  const reason = /^ *\| error: (.*)$/m.exec(error.message)?.[1];
  return reason === undefined ? error : new UserError(`${reason}: ${error.message}`, { cause: error });
}

const stageIntervalMs = 2_000;

/** The last line of make's output, which says the stage it is in. */
async function lastStage(log: string): Promise<string> {
  const handle = await open(log, "r");
  try {
    const { size } = await handle.stat();
    const length = Math.min(size, 4096);
    const { buffer } = await handle.read({ buffer: Buffer.alloc(length), position: size - length });
    const lines = buffer.toString("utf8").split(/[\r\n]+/);
    return (lines.findLast((line) => line.trim() !== "") ?? "").slice(0, 120);
  } finally {
    await handle.close();
  }
}
