/* What deploy.yml runs first: which images have to be built, and whether there is something to deploy that waits for none of them. */
import { configuredArchitectures, configuredBuild, configuredPin } from "../../local/stack-file.js";
import { lastImageCommit } from "../../release/build/source.js";
import { planBuilds, unpublished } from "./build-plan.js";
import { addSummary, main, setOutput } from "./github.js";
import { stack } from "./pulumi.js";

async function plan(): Promise<number> {
  const root = process.cwd();
  const commit = await lastImageCommit(root);
  const wanted = await configuredArchitectures(root, stack);
  const missing = await unpublished(process.env["IMAGES_URL"] ?? "", commit, wanted);
  const builds = planBuilds(missing, await configuredBuild(root, stack));
  const pin = await configuredPin(root, stack);
  setOutput("builds", JSON.stringify(builds));
  // A pinned stack's pointer waits for no build (docs/architecture.md, decision 3).
  setOutput("move", String(pin !== "" && builds.length > 0));
  addSummary(
    builds.length === 0
      ? `Nothing to build: the images of ${commit} are published.`
      : `To build of ${commit}: ${missing.join(", ")}${pin === "" ? "" : `; the stack is pinned to ${pin}, which waits for none of them`}.`,
  );
  return 0;
}

await main(plan);
