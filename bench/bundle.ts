import path from "node:path";
import { build } from "esbuild";
import { checkout } from "../local/paths.js";

/**
 * A step of a bench as one file, as release commands are run (release/main.mjs): what is measured starts as they do.
 * @param script a module of this folder
 * @returns the file, below the checkout, where it finds packages
 */
export async function bundleStep(script: string): Promise<string> {
  const outfile = path.join(checkout, ".local", "bench", `${path.parse(script).name}.mjs`);
  await build({
    entryPoints: [path.join(import.meta.dirname, script)],
    outfile,
    bundle: true,
    packages: "external",
    platform: "node",
    format: "esm",
    target: "node20.19",
  });
  return outfile;
}
