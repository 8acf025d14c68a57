import path from "node:path";
import { execa } from "execa";
import { checkout, platformPaths } from "../local/paths.js";

/** `release build` of a commit as benches take it, in a checkout of its own: base `debian` out of the cache, profile `small`. */
export async function releaseBuild(
  root: string,
  commit: string,
  environment: Record<string, string> = {},
): Promise<void> {
  const what = ["--commit", commit, "--arch", "x86_64"];
  const image = ["--base", "debian", "--profile", "small", "--runner", "fixture"];
  await execa("node", [path.join(checkout, "release", "main.mjs"), "build", ...what, ...image], {
    cwd: root,
    env: { RUNNER_IMAGES_CACHE: platformPaths().cache, ...environment },
    stdio: ["ignore", "ignore", "inherit"],
  });
}
