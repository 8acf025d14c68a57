import { mkdir, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { execa } from "execa";
import { UserError } from "../release/process/errors.js";
import { say, step } from "../release/process/progress.js";
import { standInExecutable } from "./command-provider/executable.js";
import { writeFileAtomically } from "../release/process/files.js";
import { checkout, type PlatformPaths } from "./paths.js";
import { firstLine } from "./tools/engine.js";
import { vendorObstacle } from "./tools/vendor.js";

/** Exactly this version: npm's 4.5.0 of @pulumi/command was published by mistake. */
const plugin = { kind: "resource", name: "command", version: "1.2.1" };

export interface PluginOptions {
  /** Look for the official plugin again where the stand-in stood in so far. */
  retryVendor: boolean;
}

/**
 * The command plugin, in the project's own PULUMI_HOME: the official one, or, where the vendor's download site cannot be
 * reached, this project's stand-in, which is said on every run.
 */
export async function ensureCommandPlugin(
  engine: string,
  paths: PlatformPaths,
  { retryVendor }: PluginOptions,
): Promise<void> {
  const folder = path.join(paths.pulumiHome, "plugins", `${plugin.kind}-${plugin.name}-v${plugin.version}`);
  const standIn = standInExecutable(checkout);
  const installed = await readInstalled(path.join(folder, `pulumi-resource-${plugin.name}`));
  if (installed === "official") return;
  if (installed !== standIn || retryVendor) {
    const obstacle = (await vendorObstacle()) ?? (await installOfficial(engine, folder, paths));
    if (obstacle === undefined) return;
    say(`command plugin ${plugin.version}: ${obstacle}`);
    if (installed !== standIn) await installStandIn(engine, standIn, paths);
  }
  say(
    `WARNING: this project's stand-in takes the place of Pulumi's command plugin ${plugin.version}, which the vendor's download site alone offers and which could not be fetched; look again: npm run setup`,
  );
}

/** What is installed: the official plugin (a large binary), or the text of a script, which is a stand-in of ours; undefined: nothing. */
async function readInstalled(file: string): Promise<string | undefined> {
  try {
    const content = await readFile(file);
    return content.subarray(0, 2).toString() === "#!" ? content.toString() : "official";
  } catch {
    return undefined;
  }
}

/** @returns why it did not work; undefined when it did */
async function installOfficial(
  engine: string,
  folder: string,
  paths: PlatformPaths,
): Promise<string | undefined> {
  try {
    await step(`command plugin ${plugin.version}: downloading it`, () =>
      pulumiPlugin(engine, ["install", plugin.kind, plugin.name, plugin.version, "--reinstall"], paths),
    );
    return undefined;
  } catch (error) {
    // An installation that was cut off must not pass for the plugin.
    await rm(folder, { recursive: true, force: true });
    return `it could not be installed (${firstLine(error)})`;
  }
}

async function installStandIn(engine: string, text: string, paths: PlatformPaths): Promise<void> {
  await mkdir(paths.run, { recursive: true });
  const file = path.join(paths.run, "command-plugin-stand-in");
  await writeFileAtomically(file, text, { mode: 0o755 });
  try {
    await pulumiPlugin(
      engine,
      ["install", plugin.kind, plugin.name, plugin.version, "--file", file, "--reinstall"],
      paths,
    );
  } catch (error) {
    throw new UserError(
      `the stand-in for the command plugin could not be installed under ${paths.pulumiHome}: ${firstLine(error)}`,
    );
  }
}

async function pulumiPlugin(engine: string, args: string[], paths: PlatformPaths): Promise<void> {
  await mkdir(paths.pulumiHome, { recursive: true });
  await execa(engine, ["plugin", ...args, "--non-interactive"], {
    cwd: paths.pulumiHome,
    env: { PULUMI_HOME: paths.pulumiHome, PULUMI_SKIP_UPDATE_CHECK: "true" },
    timeout: 3 * 60_000,
  });
}
