import * as pulumi from "@pulumi/pulumi";
import { LatestPointer } from "./components/latest-pointer.js";
import { RunnerImage } from "./components/runner-image.js";
import { readConfig } from "./config.js";
import { UserError } from "./release/errors.js";
import { imageName } from "./release/keys.js";
import { planMove } from "./release/plan.js";
import { lastImageCommit } from "./release/source.js";
import { openStore } from "./release/store.js";

/** What a person needs after an update: `pulumi stack output`. */
export interface Outputs {
  /** The public base URL, which hosts poll for /latest. */
  url: string;
  bucket: string;
  /** The commit that is live after this update. */
  latest: string;
  /** The commit that `latest` is pinned to; empty when it follows the newest build. */
  pinned: string;
  /** The last commit that touched image/: the newest build. */
  newest: string;
}

/**
 * The whole stack: config -> components -> outputs.
 * @param root the checkout whose image/ is built; Pulumi runs a program in its project's folder
 */
export async function program(root: string = process.cwd()): Promise<Outputs> {
  try {
    return await deploy(root);
  } catch (error) {
    throw error instanceof UserError ? withoutStack(error) : error;
  }
}

async function deploy(root: string): Promise<Outputs> {
  const config = readConfig();
  const newest = await lastImageCommit(root);
  const { bucket, environment } = config.store;
  const move = await planMove(await openStore(bucket, { ...process.env, ...environment }), {
    newest,
    pinned: config.latest,
    architectures: config.architectures,
  });
  for (const problem of move.warnings) await pulumi.log.warn(problem);

  const images = config.architectures.map(
    (arch) =>
      new RunnerImage(imageName(arch), {
        commit: newest,
        arch,
        base: config.base,
        runner: config.runner,
        accelerator: config.accelerator,
        store: environment,
      }),
  );

  // Going back to something already published waits for no build: a rollback takes seconds even when images are being built.
  new LatestPointer(
    "latest",
    { commit: move.commit, seq: move.seq, architectures: config.architectures, store: environment },
    { dependsOn: move.needsBuild ? images : [] },
  );

  return {
    url: config.store.url,
    bucket,
    latest: move.commit,
    pinned: config.latest ?? "",
    newest,
  };
}

/** Pulumi prints only the message of a RunError; colouring a stack nobody wants to see would cost it half a minute. */
function withoutStack(error: UserError): pulumi.RunError {
  const shown = new pulumi.RunError(error.message);
  delete shown.stack;
  return shown;
}
