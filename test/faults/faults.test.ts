import { randomInt } from "node:crypto";
import { writeFile } from "node:fs/promises";
import path from "node:path";
import { CreateMultipartUploadCommand, PutObjectCommand } from "@aws-sdk/client-s3";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bucket } from "../../local/services/s3-server.js";
import { exclusively } from "../../release/process/lock.js";
import { duration, say } from "../../release/process/progress.js";
import { nothing, type Findings } from "./audit.js";
import { describeScenario, drawScenarios, kindOf, verbs, type Scenario, type Target } from "./scenarios.js";
import { Template } from "./stand.js";

/** How many: the part of `npm test` unless said otherwise. */
const count = setting("FAULTS", 4);
const seed = setting("SEED", randomInt(2 ** 31));
const scenarios = drawScenarios(seed, count);

interface Tally {
  drawn: number;
  converged: number;
}
const tallies = new Map<string, Tally>();
const found = nothing();
let template: Template;

beforeAll(async () => {
  say(
    `faults: ${count}, seed ${seed}; the build is test/engine/fake-image and the guest test/engine/fake-qemu, so no image is built and none boots here (npm run test:e2e); all else is real`,
  );
  template = await Template.make();
});

afterAll(async () => {
  await template.remove();
  say(`\n${"fault".padEnd(28)} drawn converged`);
  for (const [kind, { drawn, converged }] of [...tallies].sort())
    say(`${kind.padEnd(28)} ${String(drawn).padStart(5)} ${String(converged).padStart(9)}`);
  const sum = (of: (tally: Tally) => number) =>
    [...tallies.values()].reduce((all, each) => all + of(each), 0);
  const kills = scenarios.filter(({ kind }) => kind === "kill").length;
  say(
    `\n${sum(({ converged }) => converged)} of ${sum(({ drawn }) => drawn)} converged (${kills} kills, ${count - kills} faults of store and network); ` +
      `wrong pointers ${found.pointers.length}, corrupt objects ${found.objects.length}, leftovers ${found.leftovers.length}; seed ${seed}: SEED=${seed} FAULTS=${count} npm run test:faults`,
  );
});

it("are the same ones for a seed, and fewer are the first of more", () => {
  expect(drawScenarios(seed, 400).slice(0, count)).toEqual(scenarios.slice(0, 400));
  expect(drawScenarios(7, 400).filter(({ kind }) => kind === "kill")).toHaveLength(200);
});

it("are judged by a look that finds each kind of damage", async () => {
  const stand = await template.stand("fetch");
  const look = async () => stand.auditEnd(template, "npm start");
  const image = `images/${template.commit}/ubuntu-x86_64`;
  const admin = await stand.admin();
  const put = async (Key: string, Body: string) =>
    admin.send(new PutObjectCommand({ Bucket: bucket, Key, Body }));
  try {
    expect(await look()).toEqual(nothing());
    await put("pointer/00000009.json", "{}");
    await put("latest", `${"f".repeat(40)}\n`);
    const { pointers } = await look();
    expect(pointers.join("\n")).toMatch(/a gap\n(.*\n)*latest names f+: was never published/);
    await put(`${image}.qcow2.sha256`, `${"0".repeat(64)}\n`);
    await put(`${image}.cdx.json`, "{}");
    const { objects } = await look();
    expect(objects.join("\n")).toMatch(
      /sha256 is not that of the disk\n.*the manifest says sbom(.*\n)*the CDN serves .* not those stored/,
    );
    await admin.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key: `${image}.qcow2.zst` }));
    await writeFile(path.join(stand.root, ".local/cache/x.part"), "");
    const lock = path.join(stand.root, ".local/run/start.lock");
    const { leftovers } = await exclusively(lock.replace(/\.lock$/, ""), "a test", look);
    expect(leftovers.join("\n")).toMatch(
      /^unfinished upload .*\n.*start.lock is held\n.*\/cache\/x.part is left$/,
    );
  } finally {
    await stand.remove();
  }
});

describe.concurrent("the next run converges without a hand after", () => {
  it.for(scenarios.map((scenario, index) => [`#${index} ${describeScenario(scenario)}`, scenario] as const))(
    "%s",
    async ([title, scenario]) => {
      const tally = tallies.get(kindOf(scenario)) ?? { drawn: 0, converged: 0 };
      tallies.set(kindOf(scenario), tally);
      tally.drawn += 1;
      const began = Date.now();
      try {
        await converge(scenario);
        tally.converged += 1;
        say(`converged after ${duration(Date.now() - began)}: ${title}`);
      } catch (error) {
        say(`NOT converged: ${title}\n${(error as Error).message}`);
        throw error;
      }
    },
  );
});

/** @throws Error with all that is wrong, and what the runs said */
async function converge(scenario: Scenario): Promise<void> {
  // What came too late, or where nothing passed any more, is tried again earlier.
  for (let at = scenario.at; ; at *= 0.7) {
    const stand = await template.stand(scenario.target);
    try {
      const ended = await stand.disturbed({ ...scenario, at }, template.courses.get(scenario.target)!);
      if (!ended.struck && at > 0.01) continue;
      const said = [`${scenario.target} under the fault: exit code ${ended.exitCode}`, ended.text];
      const fail = (what: string): never => {
        throw new Error(`${what}\n${said.join("\n")}`);
      };
      if (!ended.struck) fail("the fault never struck");
      if (/^\s+at .*:\d+:\d+/m.test(ended.text)) fail("it ended with a stack trace instead of one line");
      note(await stand.auditNow().then(withLeftovers(await stand.processesLeft())), fail);
      for (const target of nextRuns(scenario.target)) {
        const { exitCode, text } = await stand.run(target);
        said.push(`the next ${target}: exit code ${exitCode}`, text);
        if (exitCode !== 0) fail(`the next ${target} fails`);
      }
      const left = await stand.processesLeft();
      note(await stand.auditEnd(template, scenario.target).then(withLeftovers(left)), fail);
      return;
    } finally {
      await stand.remove();
    }
  }
}

/** What has not ended well runs again, and what comes after it: as Pulumi does. */
function nextRuns(target: Target): Target[] {
  return target === "npm start" ? [target] : verbs.slice(verbs.indexOf(target));
}

function withLeftovers(left: string[]) {
  return (findings: Findings): Findings => ({ ...findings, leftovers: [...findings.leftovers, ...left] });
}

function note(findings: Findings, fail: (what: string) => never): void {
  const { pointers, objects, leftovers } = findings;
  found.pointers.push(...pointers);
  found.objects.push(...objects);
  found.leftovers.push(...leftovers);
  const lines = [...pointers, ...objects, ...leftovers];
  if (lines.length > 0) fail(lines.join("\n"));
}

function setting(name: string, otherwise: number): number {
  const text = process.env[name];
  if (text === undefined || text === "") return otherwise;
  if (!/^\d{1,10}$/.test(text))
    throw new Error(`${name} must be a whole number, but is ${JSON.stringify(text)}`);
  return Number(text);
}
