import { readFile } from "node:fs/promises";
import path from "node:path";
import { build, type BuildOptions } from "esbuild";
import { checkout } from "../local/paths.js";

/**
 * A step of a bench as one file, as release commands are run (release/main.mjs): what is measured starts as they do.
 * @param script a module of this folder
 * @returns the file, below the checkout, where it finds the packages that are not in it
 */
export async function bundleStep(script: string): Promise<string> {
  const outfile = path.join(checkout, ".local", "bench", `${path.parse(script).name}.mjs`);
  const how = await readFile(path.join(checkout, "release", "esbuild.json"), "utf8");
  await build({
    ...(JSON.parse(how) as BuildOptions),
    entryPoints: [path.join(import.meta.dirname, script)],
    outfile,
  });
  return outfile;
}
