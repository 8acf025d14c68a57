import { readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { checkout } from "../../../local/paths.js";

/*
 * What stands beside what in the jobs of the workflows: docs/threat-model.md, "What runs where", is the table, and this holds it to them.
 */

interface Job {
  uses?: string;
  permissions?: Record<string, string>;
  environment?: string;
  steps?: { uses?: string; run?: string; with?: Record<string, unknown> }[];
}

const folder = path.join(checkout, ".github", "workflows");
const jobs: { file: string; name: string; job: Job }[] = [];
for (const file of (await readdir(folder)).sort()) {
  const workflow = parse(await readFile(path.join(folder, file), "utf8")) as { jobs: Record<string, Job> };
  for (const [name, job] of Object.entries(workflow.jobs)) jobs.push({ file, name, job });
}

/** What code a job runs, beside the actions, by its scripts. */
const kinds: [string, RegExp][] = [
  ["npm packages", /\b(node|npm|npx|tsx)\b/],
  ["Pulumi", /\b(deploy|preview|drift)\.ts|\bpulumi\b|npm test/],
  ["a build", /main\.mjs build|publish --build|npm test|\bmake\b|\bpacker\b(?!-plugin)/],
  ["a guest", /boot-test|\bboot\.ts|npm test|npm start|qemu-system|setup -- --boot/],
];
const scriptsOf = ({ steps = [] }: Job) =>
  steps
    .flatMap(({ run = "" }) => [
      run,
      ...[...run.matchAll(/\.github\/scripts\/\S+\.sh/g)].map(([file]) =>
        readFileSync(path.join(checkout, file), "utf8"),
      ),
    ])
    // A comment runs nothing, and neither does what is only said.
    .flatMap((script) => script.split("\n"))
    .filter((line) => !/^\s*(#|text=|echo )/.test(line))
    .join("\n");
const runs = (job: Job) => kinds.flatMap(([kind, pattern]) => (pattern.test(scriptsOf(job)) ? [kind] : []));

/** What a job holds that is worth stealing. */
function credentials({ steps = [], permissions = {}, environment }: Job): string[] {
  const text = JSON.stringify(steps);
  const role = /"role-to-assume":"\$\{\{ vars\.(\w+)_ROLE_ARN \}\}"/.exec(text)?.[1];
  return [
    ...(role === undefined ? [] : [`the role ${role.toLowerCase()}`]),
    ...(text.includes("attest-build-provenance") ? ["the identity that signs"] : []),
    ...(text.includes("secrets.UPKEEP_APP_PRIVATE_KEY") ? ["the App's key"] : []),
    // What nobody thought of.
    ...(role === undefined && permissions["id-token"] === "write" && !text.includes("attest-build-provenance")
      ? ["an identity"]
      : []),
    ...(text.replaceAll("secrets.UPKEEP_APP_PRIVATE_KEY", "").includes("secrets.") ? ["a secret"] : []),
    ...(environment !== undefined && !["production", "prune", "upkeep"].includes(environment)
      ? ["an environment"]
      : []),
  ];
}

const own = jobs.filter(({ job }) => job.uses === undefined);
const where = ({ file, name }: { file: string; name: string }) => `${file}, ${name}`;

describe("the jobs of the workflows", () => {
  const document = readFileSync(path.join(checkout, "docs", "threat-model.md"), "utf8");
  const rows = document
    .split("\n")
    .filter((line) => /^\| [\w-]+\.yml, /.test(line))
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );

  it("are the table of docs/threat-model.md: each once, what it runs, may and holds, and what that reaches", () => {
    expect(rows.map(([job]) => job).sort()).toEqual(own.map(where).sort());
    for (const each of own) {
      const [, of, code, rights, beside, reach] = rows.find(([job]) => job === where(each))!;
      const { file, job } = each;
      const callers: Record<string, string> = {
        "pull-request.yml": "the pull request",
        "build-image.yml": "the caller",
      };
      expect(of, where(each)).toBe(callers[file] ?? "main");
      const found = runs(job).join(", ");
      if (found === "") expect(code, where(each)).toMatch(/^(bash|git|git, gh, jq)$/);
      else expect(code, where(each)).toBe(found);
      const permissions = Object.entries(job.permissions ?? {}).map(([scope, right]) => `${scope}: ${right}`);
      expect(rights, where(each)).toBe(permissions.sort().join(", ") || "none");
      expect(beside, where(each)).toBe(credentials(job).join(", ") || "–");
      expect(reach!.length, where(each)).toBeGreaterThan(0);
    }
  });

  it("build nothing beside a credential", () => {
    const building = own.filter(({ job }) => runs(job).includes("a build"));
    expect(building.length).toBeGreaterThan(1);
    expect(building.filter(({ job }) => credentials(job).length > 0).map(where)).toEqual([]);
  });

  it("start no guest beside a credential", () => {
    const booting = own.filter(({ job }) => runs(job).includes("a guest"));
    expect(booting.map(where)).toContain("deploy.yml, boot");
    expect(booting.filter(({ job }) => credentials(job).length > 0).map(where)).toEqual([]);
  });

  // What it does to that end: scripts.test.ts (deploy.ts), and boot-record.test.ts.
  it("update the stack, which has commands that build and boot, on a machine that is set up for neither", () => {
    const { job } = own.find((each) => where(each) === "update.yml, update")!;
    expect(runs(job)).toEqual(["npm packages", "Pulumi"]);
    expect(/setup -- (.*?) >>/.exec(scriptsOf(job))![1]).toBe("--release");
    expect(scriptsOf(job)).not.toMatch(/kvm/i);
  });

  it("run npm packages beside nothing but a role of the stack, for Pulumi, which needs both, or to remove images", () => {
    const both = own.filter(({ job }) => runs(job).includes("npm packages") && credentials(job).length > 0);
    expect(both.map(where).sort()).toEqual([
      "drift.yml, look",
      "prune.yml, look",
      "prune.yml, remove",
      "pull-request.yml, preview",
      "update.yml, update",
    ]);
    for (const { file, job } of both)
      expect(runs(job), file).toEqual(file === "prune.yml" ? ["npm packages"] : ["npm packages", "Pulumi"]);
  });

  it("run no package's install script: npm is told so by its configuration and by the only command that installs", async () => {
    const read = (file: string) => readFile(path.join(checkout, file), "utf8");
    expect((await read(".npmrc")).split("\n")).toContain("ignore-scripts=true");
    expect(await read("local/bootstrap.mjs")).toContain('["ci", "--ignore-scripts", ');
    for (const { job, ...job_ } of own)
      expect(scriptsOf(job), where(job_)).not.toMatch(/npm (ci|install|i|add|rebuild|exec)\b|\bnpx\b/);
  });
});
