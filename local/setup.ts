import path from "node:path";
import { exclusively } from "../release/lock.js";
import { platformEnvironment } from "./environment.js";
import { hostNeeds, installPackages, missingPackages } from "./host-packages.js";
import type { PlatformPaths } from "./paths.js";
import { configuredArchitectures } from "./stack-file.js";
import { ensureCommandPlugin, type PluginOptions } from "./plugins.js";
import { ensureEngine, findEngine } from "./tools/engine.js";
import { removeGoCaches } from "./tools/go.js";
import { ensureTool, toolFile, versitygw } from "./tools/go-tools.js";
import { ensurePacker, findPacker } from "./tools/packer.js";
import { isExecutable, which } from "./which.js";

/** Makes everything available that the local platform runs. Takes a fraction of a second when all is there. */
export async function setUp(paths: PlatformPaths, options: PluginOptions): Promise<void> {
  await exclusively(
    path.join(paths.tools, "setup"),
    "the set-up of this checkout",
    async () => {
      const host = { arch: process.arch, isRoot: process.getuid?.() === 0 };
      const needs = hostNeeds(await configuredArchitectures(paths.root), host);
      await installPackages([...(await missingPackages(needs)), ...(await packagesForTools(paths))], paths);
      const engine = await ensureEngine(paths);
      await ensureTool(versitygw, paths);
      await ensurePacker(paths, await platformEnvironment(paths));
      await removeGoCaches(paths);
      await ensureCommandPlugin(engine, paths, options);
    },
    60 * 60,
  );
}

/** What apt can add so that the tools can be had: Packer itself, and Go where one of them has to be built. */
async function packagesForTools(paths: PlatformPaths): Promise<string[]> {
  const noPacker = (await findPacker(paths)) === undefined;
  const mustBuild =
    noPacker ||
    (await findEngine(paths)) === undefined ||
    !(await isExecutable(await toolFile(versitygw, paths)));
  const noGo = (await which("go")) === undefined;
  return [
    ...(noPacker ? ["optional:packer"] : []),
    ...(mustBuild && noGo ? ["golang-go", "ca-certificates"] : []),
  ];
}
