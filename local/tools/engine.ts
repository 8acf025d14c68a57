import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import path from "node:path";
import { PulumiCommand } from "@pulumi/pulumi/automation/index.js";
import { execa } from "execa";
import semver from "semver";
import { UserError } from "../../release/process/errors.js";
import { say, step } from "../../release/process/progress.js";
import type { PlatformPaths } from "../paths.js";
import { isExecutable, which } from "../which.js";
import { ensureTool, pulumi, toolFile, toolVersion } from "./go-tools.js";
import { vendorObstacle } from "./vendor.js";

/** The SDK's own version: an older engine may lack what it asks for. */
export const minimumEngine = "3.248.0";

/** "v3.259.0\n" -> whether that is new enough, and of the same major version. */
export function isNewEnough(text: string): boolean {
  const version = semver.parse(text.trim());
  return version !== null && version.major === 3 && semver.gte(version, minimumEngine);
}

/** The engine that is there: an installed `pulumi` that is new enough, else the project's own; undefined when neither is. */
export async function findEngine(paths: PlatformPaths): Promise<string | undefined> {
  const own = await toolFile(pulumi, paths);
  const installed = await which("pulumi");
  if (installed !== undefined && path.dirname(installed) !== path.dirname(own)) {
    const { stdout } = await execa(installed, ["version"], {
      reject: false,
      timeout: 10_000,
      env: { PULUMI_HOME: paths.pulumiHome, PULUMI_SKIP_UPDATE_CHECK: "true" },
    });
    if (isNewEnough(stdout ?? "")) return installed;
  }
  return (await isExecutable(own)) ? own : undefined;
}

/**
 * The engine: an installed one that is new enough, else the vendor's release, else built from its published Go module.
 * @throws UserError saying what was tried
 */
export async function ensureEngine(paths: PlatformPaths): Promise<string> {
  const found = await findEngine(paths);
  if (found !== undefined) return found;
  const version = await toolVersion(pulumi);
  const obstacle = (await vendorObstacle()) ?? (await installFromVendor(version, paths));
  if (obstacle === undefined) return toolFile(pulumi, paths);
  say(
    `Pulumi engine: none installed, and ${obstacle}, so it is built from source: about 4 minutes on 2 cores, once`,
  );
  try {
    return await ensureTool(pulumi, paths);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(
      `no Pulumi engine: no pulumi ${minimumEngine} or newer is installed, ${obstacle}, and building its Go module failed: ${error.message}`,
    );
  }
}

/** The release appears complete or not at all. @returns why it did not work; undefined when it did */
async function installFromVendor(version: string, paths: PlatformPaths): Promise<string | undefined> {
  const root = path.dirname(path.dirname(await toolFile(pulumi, paths)));
  await mkdir(paths.tools, { recursive: true });
  const temporary = await mkdtemp(path.join(paths.tools, ".pulumi-"));
  // What the Automation API installs it also runs, and an engine without a home of ours makes one in the user's.
  process.env["PULUMI_HOME"] = paths.pulumiHome;
  try {
    await step(`Pulumi engine ${version}: downloading the vendor's release`, () =>
      PulumiCommand.install({ version: semver.parse(version)!, root: temporary }),
    );
    await rm(root, { recursive: true, force: true });
    await rename(temporary, root);
    return undefined;
  } catch (error) {
    return `the vendor's release could not be installed (${firstLine(error)})`;
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

export function firstLine(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.trim().split("\n")[0]!.slice(0, 200);
}
