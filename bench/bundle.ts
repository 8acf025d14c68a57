import { readFile } from "node:fs/promises";
import path from "node:path";
import { build, type BuildOptions } from "esbuild";
import { checkout } from "../local/paths.js";

/**
 * A step of a bench put together as release commands are (release/main.mjs), in parts that are loaded when they are needed: what is
 * measured starts as they do.
 * @param script a module of this folder
 * @returns the file to run, below the checkout, where it finds the packages that are not in it
 */
export async function bundleStep(script: string): Promise<string> {
  const outdir = path.join(checkout, ".local", "bench");
  const how = await readFile(path.join(checkout, "release", "esbuild.json"), "utf8");
  await build({
    ...(JSON.parse(how) as BuildOptions),
    entryPoints: [path.join(import.meta.dirname, script)],
    outdir,
  });
  return path.join(outdir, `${path.parse(script).name}.mjs`);
}
