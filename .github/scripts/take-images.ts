/*
 * What update.yml runs before it has any credential: takes over what the build jobs of this run handed over. X86_64 and AARCH64 hold the
 * hashes, which came by the jobs' outputs; empty: nothing was built.
 */
import { copyFile } from "node:fs/promises";
import path from "node:path";
import { configuredBuild } from "../../local/stack-file.js";
import { withBuildDirectory, type Base, type Runner } from "../../release/build/build.js";
import { takeImage } from "../../release/build/hand-over.js";
import { newestImage } from "../../release/build/source.js";
import { say } from "../../release/process/progress.js";
import { architectures, imageName } from "../../release/store/keys.js";
import type { Profile } from "../../release/store/records.js";
import { download } from "./artifacts.js";
import { main } from "./github.js";
import { stack } from "./pulumi.js";

async function take(): Promise<number> {
  const root = process.cwd();
  const { base, profile, runner } = await configuredBuild(root, stack);
  const settings = { base: base as Base, profile: profile as Profile, runner: runner as Runner };
  const { commit } = await newestImage(root);
  const attestation = path.join(await download("attestation"), "attestation.json");
  for (const arch of architectures) {
    const sums = process.env[arch.toUpperCase()] ?? "";
    if (sums === "") continue;
    const folder = await download(`image-${arch}`);
    await copyFile(attestation, path.join(folder, `${imageName(arch)}.sigstore.json`));
    const request = { root, commit, arch, ...settings };
    const taken = await withBuildDirectory(request, () => takeImage(request, folder, sums));
    say(
      taken === null
        ? `${imageName(arch)}: main has moved on to the image ${commit}, which the run of its own merge builds`
        : `${imageName(arch)} of ${commit} is the one that was built: ${taken.path}`,
    );
  }
  return 0;
}

await main(take);
