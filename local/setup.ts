import path from "node:path";
import { UserError } from "../release/process/errors.js";
import type { Architecture } from "../release/store/keys.js";
import { platformEnvironment } from "./environment.js";
import {
  bootNeeds,
  hostNeeds,
  installPackages,
  missingPackages,
  publishNeeds,
  type Host,
} from "./host-packages.js";
import type { PlatformPaths } from "./paths.js";
import { configuredArchitectures } from "./stack-file.js";
import { settingUp } from "./setting-up.js";
import { ensureCommandPlugin, type PluginOptions } from "./plugins.js";
import { ensureEngine, findEngine } from "./tools/engine.js";
import { packagesForGo, removeGoCaches } from "./tools/go.js";
import { ensureTool, toolFile, versitygw } from "./tools/go-tools.js";
import { ensurePacker, packagesForPacker } from "./tools/packer.js";
import { isExecutable, which } from "./which.js";

export interface SetUpOptions extends PluginOptions {
  /** Whose images are built and booted; default: the local stack's. */
  architectures?: Architecture[] | undefined;
}

/** Makes everything available that the local platform runs. Takes a fraction of a second when all is there. */
export async function setUp(paths: PlatformPaths, options: SetUpOptions): Promise<void> {
  await settingUp(paths, async () => {
    const needs = hostNeeds(options.architectures ?? (await configuredArchitectures(paths.root)), host());
    await installPackages([...(await missingPackages(needs)), ...(await packagesForTools(paths))], paths);
    const engine = await ensureEngine(paths);
    await ensureTool(versitygw, paths);
    await ensurePacker(paths, await platformEnvironment(paths));
    await removeGoCaches(paths);
    await ensureCommandPlugin(engine, paths, options);
  });
}

/** What a machine of production does. */
export interface ReleaseChoice {
  /** Previews or updates the stack. */
  engine: boolean;
  /** Publishes images. */
  publishes: boolean;
  /** Boots images of these architectures. */
  boots: Architecture[];
  /** Builds images of these architectures. */
  builds: Architecture[];
}

/**
 * Makes available what that takes. No servers; and the engine fetches its plugins by itself.
 * @returns the folders to put in front of PATH
 */
export async function setUpRelease(paths: PlatformPaths, choice: ReleaseChoice): Promise<string[]> {
  const tools: string[] = [];
  await settingUp(paths, async () => {
    const builds = choice.builds.length > 0;
    const needs = [
      ...(choice.publishes ? publishNeeds() : []),
      ...(choice.boots.length > 0 ? bootNeeds(choice.boots) : []),
      ...(builds ? hostNeeds(choice.builds, host()).filter(({ need }) => need !== "nginx") : []),
    ];
    await installPackages(
      [...(await missingPackages(needs)), ...(builds ? await packagesForPacker(paths) : [])],
      paths,
    );
    if (choice.engine) tools.push(await ensureVendorsEngine(paths));
    if (builds) tools.push(await ensurePacker(paths, { PACKER_PLUGIN_PATH: paths.packerPlugins }));
  });
  return tools.filter((tool) => tool.startsWith(`${paths.tools}/`)).map((tool) => path.dirname(tool));
}

async function ensureVendorsEngine(paths: PlatformPaths): Promise<string> {
  const engine = await ensureEngine(paths);
  if (await hasLanguageHost(engine)) return engine;
  throw new UserError(
    `the engine ${engine} has no Node language host, which only the vendor's release of it has, and without which production cannot be updated; connect this machine to get.pulumi.com, remove that engine, and repeat`,
  );
}

/** Whether this engine can run index.ts: one built from its Go module cannot. */
export async function hasLanguageHost(engine: string): Promise<boolean> {
  const name = "pulumi-language-nodejs";
  return (await isExecutable(path.join(path.dirname(engine), name))) || (await which(name)) !== undefined;
}

function host(): Host {
  return { arch: process.arch, isRoot: process.getuid?.() === 0 };
}

/** What apt can add so that the tools can be had: Packer itself, and Go where one of them has to be built. */
async function packagesForTools(paths: PlatformPaths): Promise<string[]> {
  const mustBuild =
    (await findEngine(paths)) === undefined || !(await isExecutable(await toolFile(versitygw, paths)));
  return [...(await packagesForPacker(paths)), ...(mustBuild ? await packagesForGo() : [])];
}
