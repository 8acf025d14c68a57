import * as pulumi from "@pulumi/pulumi";
import { LatestPointer } from "./components/latest-pointer.js";
import { RunnerImage } from "./components/runner-image.js";
import { pruneRequest, readConfig, type AwsStore, type ReadyStore, type Config } from "./config.js";
import type { Infrastructure } from "./infrastructure.js";
import { billMark, billOf, channelBill } from "./release/compare/bill.js";
import { UserError } from "./release/process/errors.js";
import { latestName } from "./release/store/channels.js";
import { imageName } from "./release/store/keys.js";
import { planMoves } from "./release/pointer/plan.js";
import { prove } from "./release/pointer/verify.js";
import { readCalendar } from "./release/pointer/runner-releases.js";
import { newestImage } from "./release/build/source.js";
import { planPruneQuickly, type PruneRequest } from "./release/retention/prune.js";
import { goingLines, goingText } from "./release/retention/rule.js";
import { emptyStore, findStore, openStore, type ListedStore } from "./release/store/store.js";

/** Images that a preview names which nothing holds any more; the others are counted. */
const removalsShown = 5;

/** What a person needs after an update: `pulumi stack output`. */
export interface Outputs {
  /** The public base URL, which hosts poll for /latest. */
  url: pulumi.Input<string>;
  bucket: string;
  /** The commit that is live after this update; empty while nothing was promoted. */
  latest: string;
  /** The commit that `latest` is pinned to; empty when it follows the newest build. */
  pinned: string;
  /** The commit that is live in each channel, by name; undefined: there are no channels. */
  channels?: Record<string, string>;
  /** The commit that the content of image/ is named after: the newest build. */
  newest: string;
  /** The name that CloudFront gave to this stack's distribution: what a domain points to. */
  cdn?: pulumi.Input<string> | undefined;
  /** ARNs of the roles that the workflows assume, where this stack provisions them. */
  previewRole?: pulumi.Input<string>;
  deployRole?: pulumi.Input<string>;
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
  const { commit: newest, returnedBy } = await newestImage(root);
  // Without its organization: a stack that is moved to another backend stays the same.
  const stack = `${pulumi.getProject()}/${pulumi.getStack()}`;
  const [store, calendar] = await Promise.all([
    lookInto(config.store),
    readCalendar({ root, environment: process.env }),
  ]);
  for (const line of calendar.blind) await pulumi.log.info(line);
  const {
    latest: move,
    channels,
    waits,
  } = await planMoves(store, {
    newest,
    pinned: config.latest,
    channels: config.channels,
    architectures: config.architectures,
    calendar,
    trust: config.trust,
    stack,
  });
  const moves = [move, ...channels];
  for (const problem of new Set(moves.flatMap(({ warnings }) => warnings))) await pulumi.log.warn(problem);
  const context = { calendar, trust: config.trust, now: new Date() };
  const isBack =
    returnedBy !== null && (await prove(store, newest, config.architectures, context)).problems.length === 0;
  if (isBack && moves.some(({ isLive }) => !isLive))
    await pulumi.log.info(
      `${returnedBy} went back to the image ${newest}: nothing is built, published or booted`,
    );
  if (pulumi.runtime.isDryRun()) {
    const { architectures } = config;
    // What is live may be damaged, and is what a rollback gets away from.
    const [lines, removal] = await Promise.all([
      unlessUnknown("what the move does to the fleet", () =>
        billOf(store, move, { architectures, calendar, now: new Date() }),
      ),
      unlessUnknown("what nothing holds any more", () => removalLines(store, pruneRequest(config, newest))),
    ]);
    const few = channels.map((own) => channelBill(own.channel, own));
    for (const line of [...lines, ...few, waits])
      if (line !== null) await pulumi.log.info(`${billMark}${line}`);
    for (const line of removal) await pulumi.log.info(line);
  }

  const { url, environment: where, ready, ...provisioned } = await place(config);
  const environment = { ...where, ...config.trustEnvironment };
  const outputs = { url, bucket: config.store.bucket, pinned: config.latest ?? "", newest, ...provisioned };
  if (config.store.kind === "aws" && move.isFirst && !process.env.CI) {
    await pulumi.log.warn(
      "nothing was promoted yet: this sets up the infrastructure, images come with the first merge (or with CI=true)",
    );
    return { ...outputs, latest: "" };
  }

  const images = config.architectures.map(
    (arch) =>
      new RunnerImage(
        imageName(arch),
        {
          commit: newest,
          arch,
          base: config.base,
          profile: config.profile,
          runner: config.runner,
          accelerator: config.accelerator,
          store: environment,
          deltas: config.deltaEnvironment,
          isBack,
        },
        { dependsOn: ready },
      ),
  );

  // Going back to something already published waits for no build: a rollback takes seconds even when images are being built.
  new LatestPointer(
    "latest",
    { commit: move.commit, seq: move.seq, stack, architectures: config.architectures, store: environment },
    { dependsOn: move.needsBuild ? images : [] },
  );

  for (const { channel, ...own } of channels) {
    new LatestPointer(
      latestName(channel),
      { ...own, channel, stack, architectures: config.architectures, store: environment },
      { dependsOn: own.needsBuild ? images : [] },
    );
  }

  const live = Object.fromEntries(channels.map(({ channel, commit }) => [channel, commit]));
  return { ...outputs, latest: move.commit, ...(channels.length > 0 && { channels: live }) };
}

/** Lines of a preview that it can do without. */
async function unlessUnknown(what: string, lines: () => Promise<string[]>): Promise<string[]> {
  try {
    return await lines();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    await pulumi.log.warn(`${what} is not known: ${error.message}`);
    return [];
  }
}

/** What a preview says of what could be removed once this is merged, which takes another workflow and a review of its own. */
async function removalLines(store: ListedStore, request: PruneRequest): Promise<string[]> {
  const plan = await planPruneQuickly(store, request);
  if (plan === null) return ["prune: there are more images than a preview looks through; release prune does"];
  const going = goingText(plan.verdicts);
  if (going === null) return [];
  const proofs = goingLines(plan.verdicts, removalsShown).map((line) => `prune: ${line}`);
  return [`${billMark}storage: ${going} can be removed (docs/operations.md)`, ...proofs];
}

/** The bucket as it is now. What this stack is still to provision holds nothing yet. */
async function lookInto(store: ReadyStore | AwsStore): Promise<ListedStore> {
  if (store.kind !== "aws") return openStore(store.bucket, { ...process.env, ...store.environment });
  const { preflight } = await import("./preflight.js");
  if (!(await preflight(store))) return emptyStore;
  const { bucket, region } = store;
  try {
    return (await findStore(bucket, { ...process.env, AWS_REGION: region })) ?? emptyStore;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(
      `config runner-images:bucket is ${bucket}, which cannot be used: ${error.message}; where the name is taken by another account, or by another region than ${region}: pulumi config set bucket <name>`,
    );
  }
}

type Place = Pick<Infrastructure, "environment" | "ready"> &
  Pick<Outputs, "url" | "cdn" | "previewRole" | "deployRole">;

/** Where images go and are served from: what is there already, or what this stack provisions. */
async function place({ store, channels }: Pick<Config, "store" | "channels">): Promise<Place> {
  if (store.kind !== "aws") return { url: store.url, environment: store.environment, ready: [] };
  const { provision } = await import("./infrastructure.js");
  return provision(
    store,
    channels.map(({ name }) => name),
  );
}

/** Pulumi prints only the message of a RunError; colouring a stack nobody wants to see would cost it half a minute. */
function withoutStack(error: UserError): pulumi.RunError {
  const shown = new pulumi.RunError(error.message);
  delete shown.stack;
  return shown;
}
