/* What pull-request.yml runs first: what the pull request changes (since BASE), and so which jobs it needs. */
import { execa } from "execa";
import { configuredArchitectures, configuredBuild } from "../../local/stack-file.js";
import { newestImage } from "../../release/build/source.js";
import { planBuilds, readStages } from "./build-plan.js";
import { addSummary, main, setOutput } from "./github.js";
import { readLane } from "./lane.js";
import { stack } from "./pulumi.js";

async function changes(): Promise<number> {
  const root = process.cwd();
  const base = process.env["BASE"] ?? "";
  // The rollback's stands on the preview's proof of the target: where that is not to be had, it takes the tests like any other.
  const lane = process.env["CAN_PREVIEW"] === "true" ? await readLane(root, base) : "ordinary";
  setOutput("lane", lane);
  if (lane === "rollback")
    addSummary("Nothing but what production or a channel is pinned to is changed: no tests are run.");
  const { exitCode } = await execa("git", ["diff", "--quiet", `${base}...HEAD`, "--", "image"], {
    reject: false,
  });
  if (exitCode !== 0 && exitCode !== 1) throw new Error(`git cannot compare HEAD with ${base}`);
  const wanted = await configuredArchitectures(root, stack);
  const { commit } = await newestImage(root);
  // Published and booted before is what a revert goes back to.
  const stages = await readStages(process.env["IMAGES_URL"] ?? "", commit, wanted);
  const missing = wanted.filter((arch) => stages.get(arch) !== "booted");
  setOutput("image", String(exitCode === 1 && missing.length > 0));
  setOutput("builds", JSON.stringify(planBuilds(missing, await configuredBuild(root, stack))));
  return 0;
}

await main(changes);
