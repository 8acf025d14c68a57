/*
 * What deploy.yml runs first: which images have to be built, which booted, and whether there is something to deploy that waits for none of
 * them.
 */
import {
  configuredArchitectures,
  configuredBuild,
  configuredChannels,
  configuredPin,
} from "../../local/stack-file.js";
import { newestImage } from "../../release/build/source.js";
import { planBoots, planBuilds, readStages } from "./build-plan.js";
import { addSummary, main, setOutput } from "./github.js";
import { stack } from "./pulumi.js";

async function plan(): Promise<number> {
  const root = process.cwd();
  const { commit } = await newestImage(root);
  const wanted = await configuredArchitectures(root, stack);
  const stages = await readStages(process.env["IMAGES_URL"] ?? "", commit, wanted);
  const toBuild = wanted.filter((arch) => stages.get(arch) === "none");
  const toBoot = wanted.filter((arch) => stages.get(arch) !== "booted");
  const settings = await configuredBuild(root, stack);
  const pin = await configuredPin(root, stack);
  const channels = await configuredChannels(root, stack);
  setOutput("builds", JSON.stringify(planBuilds(toBuild, settings)));
  setOutput("boots", JSON.stringify(planBoots(toBoot, commit, settings)));
  // A pinned stack's pointer waits for no build (docs/architecture.md, decision 3), and without a build for no boot either: the job
  // `publish` moves it. So do pinned channels'.
  const isPinned = pin !== "" || channels.some(({ pinned }) => pinned !== undefined);
  setOutput("move", String(isPinned && toBuild.length > 0));
  const waits = pin === "" ? "" : `; the stack is pinned to ${pin}, which waits for none of them`;
  addSummary(
    toBoot.length === 0
      ? `Nothing to build and to boot: the images of ${commit} are published and passed.`
      : `Of ${commit}, to build: ${toBuild.join(", ") || "nothing"}; to boot: ${toBoot.join(", ")}${waits}.`,
  );
  return 0;
}

await main(plan);
