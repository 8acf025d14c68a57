/**
 * `npm test`: runs the tiers one after the other (or those named as arguments, which may be those that take too long for it) and ends with the counts of each,
 * what failed and why, what was skipped, and one plain line "N passed, N failed, N skipped".
 */
import { mkdir, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { stripVTControlCharacters } from "node:util";
import { execa } from "execa";
import { z } from "zod";
import { installPackages, missingPackages, testNeeds } from "../local/host-packages.js";
import type { PlatformPaths } from "../local/paths.js";
import { platform } from "../local/platform.js";
import { settingUp } from "../local/setting-up.js";
import { setUp } from "../local/setup.js";
import { packagesForGo, removeGoCaches } from "../local/tools/go.js";
import { ensureTool, toolFile, toxiproxy } from "../local/tools/go-tools.js";
import { isExecutable } from "../local/which.js";
import { describeError } from "../release/process/errors.js";
import { duration, say } from "../release/process/progress.js";

const tiers = ["unit", "conformance", "engine", "faults", "e2e"] as const;
/** In no `npm test`: each has an npm script of its own. */
const byName = ["full", "aarch64"] as const;
const known = [...tiers, ...byName];
type Tier = (typeof known)[number];

const report = z.object({
  testResults: z.array(
    z.object({
      name: z.string(),
      status: z.string(),
      message: z.string(),
      assertionResults: z.array(
        z.object({ fullName: z.string(), status: z.string(), failureMessages: z.array(z.string()) }),
      ),
    }),
  ),
});

interface Counts {
  tier: Tier;
  passed: number;
  /** Each with the first line of its reason: of a long run often only the end is kept. */
  failed: string[];
  skipped: string[];
  ms: number;
}

async function runTier(tier: Tier): Promise<Counts> {
  const file = path.resolve(`.local/test/${tier}.json`);
  await mkdir(path.dirname(file), { recursive: true });
  await rm(file, { force: true });
  const start = Date.now();
  const vitest = await execa(
    "npx",
    [
      "vitest",
      "run",
      "--project",
      tier,
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${file}`,
    ],
    {
      stdio: ["ignore", "inherit", "inherit"],
      reject: false,
    },
  );
  const counts: Counts = { tier, passed: 0, failed: [], skipped: [], ms: Date.now() - start };
  const because = (name: string, reason = "") =>
    `${name}: ${stripVTControlCharacters(reason).split("\n", 1)[0]}`;
  for (const { name, status, message, assertionResults } of report.parse(
    JSON.parse(await readFile(file, "utf8")),
  ).testResults) {
    // A file that fails before its first test (a broken import, a failed beforeAll) has no failed test of its own.
    if (status === "failed" && assertionResults.every((test) => test.status !== "failed"))
      counts.failed.push(because(path.relative(".", name), message));
    for (const test of assertionResults) {
      if (test.status === "passed") counts.passed += 1;
      else if (test.status === "failed") counts.failed.push(because(test.fullName, test.failureMessages[0]));
      else counts.skipped.push(test.fullName);
    }
  }
  // Neither an empty tier nor a runner that fails for a reason of its own (an unhandled error) may look green.
  if (counts.passed === 0) counts.failed.push(`${tier}: no test passed`);
  else if (vitest.exitCode !== 0 && counts.failed.length === 0)
    counts.failed.push(
      `${tier}: vitest exited with ${vitest.exitCode ?? vitest.signal}, for the reason it gave above`,
    );
  return counts;
}

/** What disturbs the network in the tier `faults`, and nothing else needs. */
async function setUpToxiproxy(paths: PlatformPaths): Promise<void> {
  if (await isExecutable(await toolFile(toxiproxy, paths))) return;
  await settingUp(paths, async () => {
    await installPackages(await packagesForGo(), paths);
    await ensureTool(toxiproxy, paths);
    await removeGoCaches(paths);
  });
}

const asked = process.argv.slice(2);
const unknown = asked.find((name) => !(known as readonly string[]).includes(name));
if (unknown !== undefined) {
  say(`error: unknown tier ${unknown} (allowed: ${known.join(", ")})`);
  process.exit(2);
}

const results: Counts[] = [];
// The engine, servers and host packages which all tiers but the first use. In no tier's time: it is needed once.
if (asked.length !== 1 || asked[0] !== "unit") {
  try {
    const { paths } = platform();
    await setUp(paths, { retryVendor: false });
    await installPackages(await missingPackages(testNeeds), paths);
    if (asked.length === 0 || asked.includes("faults")) await setUpToxiproxy(paths);
  } catch (error) {
    say(describeError(error));
    process.exit(1);
  }
}
for (const tier of asked.length === 0 ? tiers : known.filter((name) => asked.includes(name))) {
  say(`\n== ${tier} tests ==`);
  results.push(await runTier(tier));
}

say("");
for (const { tier, passed, failed, skipped, ms } of results) {
  say(
    `${tier.padEnd(12)} ${passed} passed, ${failed.length} failed, ${skipped.length} skipped in ${duration(ms)}`,
  );
  for (const name of failed) say(`  failed: ${name}`);
  for (const name of skipped) say(`  skipped: ${name}`);
}
const sum = (count: (result: Counts) => number) =>
  results.reduce((total, result) => total + count(result), 0);
const failed = sum((r) => r.failed.length);
process.stdout.write(
  `${sum((r) => r.passed)} passed, ${failed} failed, ${sum((r) => r.skipped.length)} skipped\n`,
);
process.exitCode = failed === 0 ? 0 : 1;
