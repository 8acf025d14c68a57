import { parseConfig, pruneRequest } from "../../config.js";
import { configuredValues } from "../../local/stack-file.js";
import { newestImage } from "../../release/build/source.js";
import { UserError } from "../../release/process/errors.js";
import { planPrune, type PrunePlan, type PruneRequest } from "../../release/retention/prune.js";
import type { S3Store } from "../../release/store/s3-store.js";
import { openStore } from "../../release/store/store.js";
import { stack } from "./pulumi.js";

/**
 * Which images of production nothing holds any more. What is kept, and what is pinned, is said by the stack's reviewed file, and checked as
 * the program checks it: a number that is none would keep nothing.
 */
export async function planRemoval(): Promise<{ store: S3Store; request: PruneRequest; plan: PrunePlan }> {
  const { BUCKET: bucket } = process.env;
  if (!bucket) throw new UserError("the variable BUCKET is not set: nothing was deployed yet");
  const root = process.cwd();
  const { commit: newest } = await newestImage(root);
  const request = pruneRequest(parseConfig(await configuredValues(root, stack), {}), newest);
  const store = await openStore(bucket);
  return { store, request, plan: await planPrune(store, request) };
}
