import { existsSync } from "node:fs";
import path from "node:path";
import { execa } from "execa";
import semver from "semver";
import { UserError } from "../../release/process/errors.js";
import { step } from "../../release/process/progress.js";
import { checkout, type PlatformPaths } from "../paths.js";
import { isExecutable, which } from "../which.js";
import { firstLine } from "./engine.js";
import { packagesForGo } from "./go.js";
import { ensureTool, packer, toolFile } from "./go-tools.js";

/** Until here the QEMU builder is part of Packer; later it is a plugin of its own. */
const lastWithBuiltInQemu = "1.6.6";

/** The Packer that is there: an installed one, else the project's own; undefined when neither is. */
export async function findPacker(paths: PlatformPaths): Promise<string | undefined> {
  const installed = await which("packer");
  if (installed !== undefined) return installed;
  const own = await toolFile(packer, paths);
  return (await isExecutable(own)) ? own : undefined;
}

/** What apt can add so that Packer can be had: itself, and Go to build it where this release does not have it. */
export async function packagesForPacker(paths: PlatformPaths): Promise<string[]> {
  return (await findPacker(paths)) === undefined ? ["optional:packer", ...(await packagesForGo())] : [];
}

/**
 * Packer: an installed one (setup.ts asks the distribution for it), else built from its Go module; with its QEMU plugin where it
 * needs one.
 * @param env where Packer keeps plugins (platformEnvironment)
 * @throws UserError when the plugin cannot be had
 */
export async function ensurePacker(paths: PlatformPaths, env: Record<string, string>): Promise<string> {
  const command = (await findPacker(paths)) ?? (await ensureTool(packer, paths));
  const { stdout } = await execa(command, ["version"], { env });
  const version = semver.coerce(stdout)?.version ?? "0.0.0";
  if (semver.gt(version, lastWithBuiltInQemu)) await ensureQemuPlugin(command, version, env);
  return command;
}

async function ensureQemuPlugin(
  command: string,
  version: string,
  env: Record<string, string>,
): Promise<void> {
  const plugins = path.join(checkout, "image", "plugins.pkr.hcl");
  if (!existsSync(plugins)) throw new Error(`${plugins} is missing`);
  const { stdout } = await execa(command, ["plugins", "installed"], { env, reject: false });
  if ((stdout ?? "").includes("packer-plugin-qemu")) return;
  await step(`Packer ${version}: fetching its QEMU plugin`, async () => {
    try {
      await execa(command, ["init", plugins], { env, timeout: 5 * 60_000 });
    } catch (error) {
      throw new UserError(
        `Packer ${version} needs its QEMU plugin, which only its vendor offers and which could not be fetched (${firstLine(error)}); connect this machine to it, or install Packer ${lastWithBuiltInQemu} (Debian 12, Ubuntu 24.04), which has it built in`,
      );
    }
  });
}
