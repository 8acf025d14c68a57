/*
 * What update.yml runs: `pulumi up` of the production stack, with a stranded lock of an earlier deploy run removed, and a summary of what
 * moved. No guest is started beside the deploy role: images that are neither published nor handed over are left out, boot tests without a
 * record that was handed over too, and `boot-test` is told to boot nothing. It is the step's own process (exec), so that it gets the signals
 * of a cancelled job.
 */
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { z } from "zod";
import { configuredArchitectures, configuredChannels } from "../../local/stack-file.js";
import { findBootRecord } from "../../release/boot/hand-over.js";
import { findBuilt } from "../../release/build/build.js";
import { newestImage } from "../../release/build/source.js";
import { UserError } from "../../release/process/errors.js";
import { readCalendar, usabilityText } from "../../release/pointer/runner-releases.js";
import { say } from "../../release/process/progress.js";
import { readServedLatest } from "../../release/pointer/promote.js";
import { channelUrl, latestName } from "../../release/store/channels.js";
import type { Architecture } from "../../release/store/keys.js";
import { exclusions, leaveOut, readStages, type LeftOut } from "./build-plan.js";
import { addSummary, bootRecords, main } from "./github.js";
import { readLive } from "./live.js";
import { isCancelled, passSignalOn, pulumi, stack, type PulumiResult } from "./pulumi.js";
import { decide, parseLocks, runsOf, type Run, type RunState } from "./stranded-lock.js";
import { readChanges, updateSummary, type Update } from "./update-summary.js";

const repository = process.env["GITHUB_REPOSITORY"] ?? "";
const imagesUrl = process.env["IMAGES_URL"] ?? "";

const runAnswer = z.object({ status: z.string(), path: z.string() });
const jobsAnswer = z.object({ jobs: z.array(z.object({ name: z.string(), status: z.string() })) });

/** @returns the exit code */
async function deploy(): Promise<number> {
  const folder = await mkdtemp(path.join(tmpdir(), "deploy-"));
  const eventLog = path.join(folder, "events.log");
  try {
    const pointers = [undefined, ...(await configuredChannels(process.cwd(), stack)).map(({ name }) => name)];
    const before = await Promise.all(pointers.map(live));
    const { choice, leftOut } = await choose();
    if (leftOut !== null) say(leftOut);
    const { result, reason } = await update(choice, eventLog);
    const changes = readChanges(await readFile(eventLog, "utf8").catch(() => ""));
    const outcome: Update["outcome"] = isCancelled()
      ? "cancelled"
      : result.exitCode === 0
        ? "done"
        : "failed";
    const [images, after] = await Promise.all([liveImages(), Promise.all(pointers.map(live))]);
    const moves = pointers.map((channel, index) => ({
      name: latestName(channel),
      before: before[index]!,
      after: after[index]!,
    }));
    addSummary(updateSummary({ outcome, moves, images, changes, reason, leftOut }));
    if (reason !== undefined) say(`error: ${reason}`);
    return isCancelled() ? 130 : result.exitCode;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Pulumi's options for what can be done here, and why the rest is left out; null: nothing is. */
async function choose(): Promise<{ choice: string[]; leftOut: string | null }> {
  const root = process.cwd();
  const { commit } = await newestImage(root);
  const wanted = await configuredArchitectures(root, stack);
  const handedOver = async (find: (arch: Architecture) => Promise<unknown>) => {
    const found = await Promise.all(wanted.map(find));
    return wanted.filter((_, index) => found[index] !== null);
  };
  const left = leaveOut(await readStages(imagesUrl, commit, wanted), {
    images: await handedOver((arch) => findBuilt(root, commit, arch)),
    records: await handedOver((arch) => findBootRecord(bootRecords, { commit, arch })),
  });
  return { choice: exclusions(left), leftOut: leftOutText(commit, left) };
}

function leftOutText(commit: string, { build, boot }: LeftOut): string | null {
  if (build.length > 0)
    return `the images of ${commit} are left out: ${build.join(" and ")} is neither published nor handed over by this run's build; the run that builds it deploys it`;
  if (boot.length > 0)
    return `the boot test of ${boot.join(" and ")} of ${commit} is left out, and what waits for it: no guest is started beside the deploy role; the job boot of the run that publishes it does that`;
  return null;
}

/** Updates; once more where only a stranded lock of ours was in the way. */
async function update(
  choice: string[],
  eventLog: string,
): Promise<{ result: PulumiResult; reason?: string }> {
  const result = await up(choice, eventLog);
  const locks = isCancelled() || result.exitCode === 0 ? null : parseLocks(result.stderr);
  if (locks === null) return { result };
  const decision = decide(stack, locks, await Promise.all(runsOf(locks).map(runState)));
  if (!decision.cancel) return { result, reason: decision.why };
  say(decision.why);
  const removed = await pulumi(["cancel", "--stack", stack, "--yes"]);
  if (removed.exitCode !== 0 || isCancelled()) return { result: removed };
  return { result: await up(choice, eventLog) };
}

function up(choice: string[], eventLog: string): Promise<PulumiResult> {
  // --continue-on-error: what guards (bucket policy, roles, repository) this role may not change; such a change fails alone.
  const args = ["up", "--yes", "--stack", stack, "--continue-on-error", "--suppress-progress", ...choice];
  // The event log is among Pulumi's commands for debugging, and what its Automation API reads.
  return pulumi([...args, "--event-log", eventLog], {
    PULUMI_DEBUG_COMMANDS: "true",
    // Also where nothing was handed over: then a boot test that was not left out says so, and boots nothing.
    BOOT_RECORDS: bootRecords,
  });
}

/** What everybody's hosts, or those of a channel, get now, in a few words. */
async function live(channel: string | undefined): Promise<string> {
  if (imagesUrl === "") return "unknown (the variable IMAGES_URL is not set)";
  const url = channelUrl(imagesUrl, channel);
  const served = await readServedLatest(url);
  return served.commit ?? `none: ${url}/latest ${served.description}`;
}

/** Until when the live images can be used, one line each; what is not known is said. */
async function liveImages(): Promise<string[]> {
  try {
    const { usability } = await readCalendar({ root: process.cwd(), environment: process.env });
    return await Promise.all(
      (await configuredArchitectures(process.cwd(), stack)).map(async (arch) => {
        const { manifest } = await readLive(imagesUrl, arch);
        const { runner } = manifest.build;
        return `${arch}: runner ${runner.version}, ${usabilityText(await usability(runner), new Date())}`;
      }),
    );
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return [`until when the live image can be used is not known: ${error.message}`];
  }
}

async function runState(run: Run): Promise<RunState> {
  const attempt = `repos/${repository}/actions/runs/${run.id}/attempts/${run.attempt}`;
  const known = await ask(attempt, runAnswer);
  let status = known?.status ?? null;
  if (status !== "completed") {
    // Others of its jobs may go on for hours, as builds do: it is the one that updates which counts.
    const jobs = (await ask(`${attempt}/jobs?per_page=100`, jobsAnswer))?.jobs ?? [];
    status = jobs.find(({ name }) => name === run.job || name.startsWith(`${run.job} / `))?.status ?? status;
  }
  return { run, status, workflow: known?.path ?? null };
}

/** What GitHub answers; null where it does not. */
async function ask<T>(resource: string, schema: z.ZodType<T>): Promise<T | null> {
  const { stdout } = await execa("gh", ["api", resource], { reject: false, timeout: 60_000 });
  try {
    return schema.safeParse(JSON.parse(stdout)).data ?? null;
  } catch {
    return null;
  }
}

passSignalOn();
await main(deploy);
