import { existsSync, readFileSync } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import path from "node:path";
import semver from "semver";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { machineName, parseLocks, updateJobs } from "../../../.github/scripts/stranded-lock.js";
import {
  queueTimeoutMinutes,
  requiredCheck,
  upkeepEnvironment,
  workflowVariables,
} from "../../../components/github-repository.js";
import { deployEnvironment, pruneEnvironment } from "../../../components/policies/trust-policy.js";
import { checkout } from "../../../local/paths.js";
import { architectures } from "../../../release/store/keys.js";

interface Step {
  name?: string;
  id?: string;
  if?: string;
  uses?: string;
  run?: string;
  shell?: string;
  with?: Record<string, unknown>;
  env?: Record<string, unknown>;
}
interface Job {
  name?: string;
  if?: string;
  needs?: string | string[];
  permissions?: Record<string, string>;
  "timeout-minutes"?: number | string;
  environment?: unknown;
  concurrency?: { group: string; "cancel-in-progress": unknown };
  env?: Record<string, unknown>;
  outputs?: Record<string, string>;
  /** A job that calls another workflow has no steps. */
  uses?: string;
  with?: Record<string, unknown>;
  strategy?: { matrix: unknown };
  steps: Step[];
}
interface Workflow {
  on: Record<string, { branches?: string[]; inputs?: Record<string, unknown> } | null>;
  permissions: unknown;
  concurrency?: { group: string; "cancel-in-progress": unknown };
  defaults: { run: { shell: string } };
  env?: unknown;
  jobs: Record<string, Job>;
}

const folder = path.join(checkout, ".github", "workflows");
const names = (await readdir(folder)).sort();
const texts = Object.fromEntries(
  await Promise.all(
    names.map(async (name) => [name, await readFile(path.join(folder, name), "utf8")] as const),
  ),
);
const workflows = Object.fromEntries(
  Object.entries(texts).map(([name, text]) => {
    const workflow = parse(text) as Workflow;
    for (const job of Object.values(workflow.jobs)) job.steps ??= [];
    return [name, workflow];
  }),
);
const jobs = Object.entries(workflows).flatMap(([file, { jobs }]) =>
  Object.entries(jobs).map(([name, job]) => ({ file, name, where: `${file}, job ${name}`, job })),
);
/** The jobs that call another workflow: what they allow it is what its own job asks for. */
const calls = jobs.filter(({ job }) => job.uses !== undefined);
const steps = jobs.flatMap(({ where, job }) => job.steps.map((step) => ({ where, job, step })));
const packageJson = JSON.parse(await readFile(path.join(checkout, "package.json"), "utf8")) as {
  scripts: Record<string, string>;
  engines: { node: string };
};

/** Where something is that must not be: one line each. */
function offenders<T extends { where: string }>(list: T[], isWrong: (item: T) => boolean): string[] {
  return list.filter(isWrong).map(({ where }) => where);
}
const foreignCode = /\b(node|npm|npx|pulumi|tsx)\b/;
const attests = ({ steps }: Job) => steps.some((step) => step.uses?.includes("attest-build-provenance"));
const assumesRole = ({ steps }: Job) =>
  steps.some((step) => step.uses?.includes("configure-aws-credentials"));

describe("the workflows", () => {
  it("are these", () => {
    const called = ["build-image.yml", "update.yml"];
    expect(names).toEqual(
      [
        ...called,
        ...["channels.yml", "deploy.yml", "drift.yml", "prune.yml", "pull-request.yml", "upkeep.yml"],
      ].sort(),
    );
    for (const name of called) expect(Object.keys(workflows[name]!.on)).toEqual(["workflow_call"]);
  });

  it("call only workflows of their own commit, give them what they ask for, and no secrets", () => {
    expect(calls.map(({ where, job }) => [where, job.uses])).toEqual([
      ["channels.yml, job deploy", "./.github/workflows/update.yml"],
      ["deploy.yml, job move", "./.github/workflows/update.yml"],
      ["deploy.yml, job build", "./.github/workflows/build-image.yml"],
      ["deploy.yml, job publish", "./.github/workflows/update.yml"],
      ["deploy.yml, job deploy", "./.github/workflows/update.yml"],
      ["pull-request.yml, job image", "./.github/workflows/build-image.yml"],
    ]);
    for (const { where, job } of calls) {
      const called = workflows[path.basename(job.uses!)]!;
      expect(job.permissions, where).toEqual(Object.values(called.jobs)[0]!.permissions);
      const inputs = Object.keys(called.on["workflow_call"]!.inputs!);
      for (const name of Object.keys(job.with!)) expect(inputs, where).toContain(name);
      expect(job, where).not.toHaveProperty("secrets");
    }
  });

  it("start only on what cannot bring a stranger's code and our rights together", () => {
    expect(Object.fromEntries(names.map((name) => [name, Object.keys(workflows[name]!.on)]))).toEqual({
      "build-image.yml": ["workflow_call"],
      "channels.yml": ["schedule", "workflow_dispatch"],
      "deploy.yml": ["push", "workflow_dispatch"],
      "drift.yml": ["schedule", "workflow_dispatch"],
      "prune.yml": ["workflow_dispatch"],
      "pull-request.yml": ["pull_request", "merge_group"],
      "update.yml": ["workflow_call"],
      "upkeep.yml": ["schedule", "workflow_dispatch"],
    });
    for (const text of Object.values(texts)) expect(text).not.toMatch(/pull_request_target|workflow_run/);
  });

  it("take no input from whoever starts them by hand", () => {
    for (const { on } of Object.values(workflows)) expect(on["workflow_dispatch"]?.inputs).toBeUndefined();
  });

  it("use every action by its full commit, with the version beside it, and one commit for one version", () => {
    const pins = new Map<string, Set<string>>();
    for (const [file, text] of Object.entries(texts)) {
      const uses = text.split("\n").filter((line) => /^\s*(- (id: \w+\s+)?)?uses: (?!\.\/)/.test(line));
      expect(uses.length, file).toBeGreaterThan(0);
      for (const line of uses) {
        const [, action, commit] = /uses: ([\w-]+\/[\w-]+)@([0-9a-f]{40}) # v\d+\.\d+\.\d+$/.exec(line) ?? [];
        expect(action, `${file}: ${line.trim()}`).toBeDefined();
        pins.set(action!, (pins.get(action!) ?? new Set()).add(commit!));
      }
    }
    for (const [action, commits] of pins) expect([...commits], action).toHaveLength(1);
  });

  it("use no action but GitHub's own and AWS's", () => {
    const used = new Set(steps.flatMap(({ step }) => step.uses?.split("@")[0] ?? []));
    expect([...used].sort()).toEqual([
      "actions/attest-build-provenance",
      "actions/checkout",
      "actions/create-github-app-token",
      "actions/setup-node",
      "actions/upload-artifact",
      "aws-actions/configure-aws-credentials",
    ]);
  });

  it("give a token no rights, and each job exactly those it needs", () => {
    for (const { permissions } of Object.values(workflows)) expect(permissions).toEqual({});
    const update = { actions: "read", contents: "read", "id-token": "write" };
    expect(Object.fromEntries(jobs.map(({ where, job }) => [where, job.permissions]))).toEqual({
      "build-image.yml, job build": { contents: "read" },
      "channels.yml, job look": { contents: "read" },
      "channels.yml, job deploy": update,
      "deploy.yml, job not-set-up": {},
      "deploy.yml, job plan": { contents: "read" },
      "deploy.yml, job move": update,
      "deploy.yml, job build": { contents: "read" },
      "deploy.yml, job attest": { attestations: "write", contents: "read", "id-token": "write" },
      "deploy.yml, job publish": update,
      "deploy.yml, job boot": { contents: "read" },
      "deploy.yml, job deploy": update,
      "drift.yml, job look": { actions: "read", contents: "read", "id-token": "write" },
      "drift.yml, job report": { contents: "read", issues: "write" },
      "prune.yml, job look": { contents: "read", "id-token": "write" },
      "prune.yml, job remove": { contents: "read", "id-token": "write" },
      "pull-request.yml, job changes": { contents: "read" },
      "pull-request.yml, job check": { contents: "read" },
      "pull-request.yml, job test": { contents: "read" },
      "pull-request.yml, job preview": { contents: "read", "id-token": "write" },
      "pull-request.yml, job comment": { contents: "read", "pull-requests": "write" },
      "pull-request.yml, job image": { contents: "read" },
      "pull-request.yml, job finish": { contents: "read" },
      "update.yml, job update": update,
      "upkeep.yml, job choose": { "pull-requests": "read" },
      "upkeep.yml, job look": { contents: "read" },
      "upkeep.yml, job propose": { actions: "read", contents: "read" },
    });
  });

  it("ask for an identity only where a role is assumed or something is attested, and there", () => {
    for (const { where, job } of jobs.filter((job) => !calls.includes(job)))
      expect(job.permissions?.["id-token"] === "write", where).toBe(assumesRole(job) || attests(job));
  });

  it("run nothing but GitHub's own actions, git, gh and jq beside a token that can write, or what makes one", () => {
    let found = 0;
    for (const { where, job } of jobs) {
      const writes = Object.entries(job.permissions ?? {}).some(
        ([scope, right]) => scope !== "id-token" && right === "write",
      );
      const hasSecret = JSON.stringify(job).includes("secrets.");
      if (!writes && !hasSecret) continue;
      found += 1;
      expect(
        job.steps.flatMap(({ uses }) => uses?.split("@")[0] ?? []),
        where,
      ).toEqual([
        "actions/checkout",
        ...(hasSecret ? ["actions/create-github-app-token"] : []),
        ...(attests(job) ? ["actions/attest-build-provenance", "actions/upload-artifact"] : []),
      ]);
      // No package and no program of this repository but those scripts, and these none either.
      for (const { run = "" } of job.steps) {
        expect(run, where).not.toMatch(foreignCode);
        for (const [script] of run.matchAll(/\.github\/scripts\/\S+\.sh/g))
          expect(readFileSync(path.join(checkout, script), "utf8"), script).not.toMatch(foreignCode);
      }
    }
    expect(found).toBe(4);
  });

  it("end every job after a time", () => {
    const own = jobs.filter((job) => !calls.includes(job));
    expect(offenders(own, ({ job }) => job["timeout-minutes"] === undefined)).toEqual([]);
  });

  it("leave no credentials of the checkout behind", () => {
    const checkouts = steps.filter(({ step }) => step.uses?.startsWith("actions/checkout@"));
    expect(checkouts.length).toBeGreaterThan(5);
    expect(offenders(checkouts, ({ step }) => step.with?.["persist-credentials"] !== false)).toEqual([]);
  });

  it("check out the whole history where images are named after it", () => {
    const needHistory = jobs.filter(({ job }) =>
      job.steps.some(({ run = "" }) =>
        /(deploy|boot|plan|preview|drift|changes|prune)\.ts|subjects\.sh|npm test|main\.mjs build/.test(run),
      ),
    );
    expect(needHistory.map(({ name }) => name).sort()).toEqual([
      ...[
        "attest",
        "boot",
        "build",
        "changes",
        "look",
        "look",
        "plan",
        "preview",
        "remove",
        "test",
        "update",
      ],
    ]);
    for (const { where, job } of needHistory) expect(job.steps[0]!.with?.["fetch-depth"], where).toBe(0);
  });

  it("restore no cache, which a pull request could have filled for a deploy", () => {
    for (const { where, step } of steps) {
      expect(step.uses ?? "", where).not.toMatch(/cache/);
      if (step.uses?.startsWith("actions/setup-node@"))
        expect(step.with, where).toEqual({
          "node-version-file": ".node-version",
          "package-manager-cache": false,
        });
    }
  });

  it("run on one major version of Node, which the project allows", async () => {
    const pinned = (await readFile(path.join(checkout, ".node-version"), "utf8")).trim();
    expect(pinned).toMatch(/^\d+$/);
    expect(semver.intersects(pinned, packageJson.engines.node)).toBe(true);
  });

  it("build where unprivileged user namespaces are allowed and the disk has room, and boot with KVM", () => {
    const runs = (job: Job, pattern: RegExp) => job.steps.findIndex(({ run }) => pattern.test(run ?? ""));
    const building = jobs.filter(({ job }) => runs(job, /npm test|main\.mjs build/) >= 0);
    expect(building.map(({ where }) => where)).toEqual([
      "build-image.yml, job build",
      "pull-request.yml, job test",
    ]);
    for (const { where, job } of building) {
      const ready = runs(job, /enable-kvm\.sh\n.*allow-user-namespaces\.sh\n.*free-disk\.sh \d+/);
      expect(ready, where).toBeGreaterThan(0);
      expect(runs(job, /npm test|main\.mjs build/), where).toBeGreaterThan(ready);
    }
    const { boot } = workflows["deploy.yml"]!.jobs as Record<"boot", Job>;
    const ready = runs(boot, /enable-kvm\.sh\n.*free-disk\.sh \d+/);
    expect(ready).toBeGreaterThan(0);
    expect(runs(boot, /boot\.ts/)).toBeGreaterThan(ready);
  });

  it("put no expression into a script: values come by the environment", () => {
    expect(offenders(steps, ({ step }) => (step.run ?? "").includes("${{"))).toEqual([]);
  });

  it("run scripts with bash, which stops at the first error", () => {
    for (const [file, { defaults }] of Object.entries(workflows))
      expect(defaults.run.shell, file).toBe("bash");
    expect(offenders(steps, ({ step }) => step.shell !== undefined)).toEqual([]);
  });

  it("read no secret but the App's key, in its environment, and only variables which the stack makes", () => {
    const secrets = steps.filter(({ step }) => JSON.stringify(step).includes("secrets"));
    expect(secrets.map(({ where }) => where)).toEqual(["upkeep.yml, job propose"]);
    const [{ job, step }] = secrets as [(typeof secrets)[number]];
    expect(job.environment).toBe(upkeepEnvironment);
    expect(step.with!["private-key"]).toBe("${{ secrets.UPKEEP_APP_PRIVATE_KEY }}");
    for (const [file, text] of Object.entries(texts)) {
      expect([...text.matchAll(/\bsecrets\b/g)], file).toHaveLength(file === "upkeep.yml" ? 1 : 0);
      const byHand = file === "upkeep.yml" ? ["UPKEEP_APP_CLIENT_ID"] : [];
      for (const [, name] of text.matchAll(/\bvars\.(\w+)/g))
        expect([...workflowVariables, ...byHand], file).toContain(name);
      expect(text, file).not.toMatch(/\bvars\[/);
    }
  });

  it("never name a token GITHUB_TOKEN, since Pulumi would keep it in its state", () => {
    for (const [file, text] of Object.entries(texts)) expect(text, file).not.toMatch(/GITHUB_TOKEN:/);
  });

  it("name only scripts and npm commands that exist, and these can be run", async () => {
    let found = 0;
    for (const { where, step } of steps) {
      for (const [, name] of (step.run ?? "").matchAll(/npm (?:run )?(?:--silent )?([\w:-]+)/g)) {
        expect(Object.keys(packageJson.scripts), where).toContain(name);
        found += 1;
      }
      for (const [file] of (step.run ?? "").matchAll(/(?<![\w/.])(\.github|local)\/[\w/.-]+/g)) {
        expect(existsSync(path.join(checkout, file)), `${where}: ${file}`).toBe(true);
        found += 1;
        if (file.endsWith(".sh")) await expect(isExecutable(file), file).resolves.toBe(true);
      }
    }
    expect(found).toBeGreaterThan(15);
  });
});

describe("channels.yml", () => {
  const { on, concurrency, jobs: own } = workflows["channels.yml"]!;

  it("looks several times a day, one run at a time, and costs nothing where there is no channel", () => {
    expect((on["schedule"] as unknown as { cron: string }[])[0]!.cron).toMatch(/^\d+ \*\/\d /);
    expect(concurrency).toEqual({ group: "channels", "cancel-in-progress": false });
    for (const condition of ["vars.CHANNELS != ''", "github.ref == 'refs/heads/main'", "[bot]'"])
      expect(own["look"]!.if).toContain(condition);
  });

  it("updates the stack where something is due and nowhere else, as deploy.yml's last job does", () => {
    expect(own["deploy"]!.if).toBe("needs.look.outputs.due == 'true'");
    expect(own["look"]!.outputs).toEqual({ due: "${{ steps.look.outputs.due }}" });
    const { deploy } = workflows["deploy.yml"]!.jobs as Record<"deploy", Job>;
    expect(own["deploy"]!.permissions).toEqual(deploy.permissions);
    // As deploy.ts looks for it, where it left a lock.
    expect(own["deploy"]!.name).toBe("deploy");
    expect(own["deploy"]!.with).toEqual({ job: "deploy" });
  });
});

describe("deploy.yml", () => {
  const { on, concurrency, jobs: deployJobs } = workflows["deploy.yml"]!;
  const { plan, move, build, attest, publish, boot, deploy } = deployJobs;
  const flat = (text = "") => text.replaceAll(/\s+/g, " ").trim();

  it("runs for main alone", () => {
    expect(on["push"]).toEqual({ branches: ["main"] });
    expect(plan!.if).toBe(
      "vars.DEPLOY_ROLE_ARN != '' && github.ref == 'refs/heads/main' && github.triggering_actor != 'github-actions[bot]'",
    );
    // All else needs the plan, and is skipped with it.
    expect([move, build, attest, publish, boot, deploy].map((job) => job!.needs)).toEqual([
      ...["plan", "plan", "build"],
      ...[
        ["plan", "build", "attest"],
        ["plan", "publish"],
        ["plan", "boot"],
      ],
    ]);
    for (const job of [publish, boot, deploy])
      expect(flat(job!.if)).toMatch(/^!cancelled\(\) && needs\.plan\.result == 'success' && /);
  });

  it("builds what the plan says, each on a machine of its own, and nothing where all is published", () => {
    expect(build!.strategy!.matrix).toEqual({ include: "${{ fromJSON(needs.plan.outputs.builds) }}" });
    expect(build!.if).toBe("needs.plan.outputs.builds != '[]'");
    expect(build!.with!["boot"]).toBe(false);
  });

  it("publishes only what was built and attested, or where nothing had to be; and not where nothing is to be booted", () => {
    expect(flat(publish!.if)).toBe(
      "!cancelled() && needs.plan.result == 'success' && needs.plan.outputs.boots != '[]' && (needs.attest.result == 'success' || needs.plan.outputs.builds == '[]')",
    );
    for (const arch of architectures) {
      const handed = `\${{ needs.build.outputs.${arch} }}`;
      expect(publish!.with![arch]).toBe(handed);
      expect(attest!.steps.find(({ run }) => run?.includes("subjects.sh"))!.env![arch.toUpperCase()]).toBe(
        handed,
      );
    }
    expect(publish!.with!["job"]).toBe("publish");
    expect(Object.keys(publish!.with!).filter((name) => name.startsWith("boot"))).toEqual([]);
  });

  it("boots what the plan says once it may be published, each on a machine of its own", () => {
    expect(boot!.strategy).toEqual({
      "fail-fast": false,
      matrix: { include: "${{ fromJSON(needs.plan.outputs.boots) }}" },
    });
    expect(flat(boot!.if)).toBe(
      "!cancelled() && needs.plan.result == 'success' && (needs.publish.result == 'success' || needs.publish.result == 'failure')",
    );
    expect(boot!["timeout-minutes"]).toBe("${{ matrix.minutes }}");
  });

  it("boots where there is nothing but a token that reads: no role, identity, secret or environment", () => {
    expect(boot!.permissions).toEqual({ contents: "read" });
    expect(boot!.environment).toBeUndefined();
    expect(JSON.stringify(boot)).not.toMatch(/secrets|github\.token|role/i);
    expect([...JSON.stringify(boot).matchAll(/vars\.(\w+)/g)].map(([, name]) => name)).toEqual([
      "IMAGES_URL",
    ]);
  });

  it("hands a boot record over by artifact, and its hash by an output of each architecture's own, where it failed too", () => {
    const at = boot!.steps.findIndex(({ id }) => id === "boot");
    const { BOOT_RECORD_FOLDER: folder } = boot!.steps[at]!.env!;
    const upload = boot!.steps[at + 1]!;
    expect(upload.if).toBe("${{ !cancelled() && steps.boot.outputs.sums != '' }}");
    expect(upload.with).toMatchObject({
      ...{ name: "boot-record-${{ matrix.arch }}", path: folder },
      ...{ "if-no-files-found": "error", overwrite: true },
    });
    for (const arch of architectures) {
      expect(boot!.outputs![arch]).toBe(`\${{ matrix.arch == '${arch}' && steps.boot.outputs.sums || '' }}`);
      expect(deploy!.with![`boot_${arch}`]).toBe(`\${{ needs.boot.outputs.${arch} }}`);
    }
  });

  it("deploys with each record there is, or in one update where nothing had to be booted", () => {
    expect(flat(deploy!.if)).toBe(
      "!cancelled() && needs.plan.result == 'success' && (needs.plan.outputs.boots == '[]' || needs.boot.outputs.x86_64 != '' || needs.boot.outputs.aarch64 != '')",
    );
    expect(Object.keys(deploy!.with!).sort()).toEqual(["boot_aarch64", "boot_x86_64", "job"]);
  });

  it("moves a pinned pointer before anything is built, and hands nothing over for that", () => {
    expect(move!.if).toBe("needs.plan.outputs.move == 'true'");
    expect(move!.with).toEqual({ job: "move" });
  });

  it("holds up no deploy by a build: builds are outside of the group that runs one at a time", () => {
    expect(concurrency).toBeUndefined();
    expect(offenders(jobs, ({ job }) => job.concurrency !== undefined)).toEqual(["update.yml, job update"]);
  });

  it("attests hashes that it got, of a commit that git says is main's, and hands over the bundle", () => {
    const [first] = attest!.steps;
    // The commit of the run, which is the one that the identity's token, and so the statement, names.
    expect(first!.with).not.toHaveProperty("ref");
    expect(attest!.steps.map(({ uses, run }) => uses?.split("@")[0] ?? run!)).toEqual([
      "actions/checkout",
      '.github/scripts/subjects.sh | tee "$RUNNER_TEMP/subjects.txt"',
      "actions/attest-build-provenance",
      'cp "$BUNDLE" "$RUNNER_TEMP/attestation.json"',
      "actions/upload-artifact",
    ]);
    expect(attest!.steps[2]!.with).toEqual({ "subject-checksums": "${{ runner.temp }}/subjects.txt" });
    expect(attest!.steps[4]!.with).toMatchObject({ name: "attestation", "if-no-files-found": "error" });
  });

  it("says that nothing is deployed before the first deploy, and then does nothing", () => {
    expect(deployJobs["not-set-up"]!.if).toBe("vars.DEPLOY_ROLE_ARN == ''");
    expect(deployJobs["not-set-up"]!.steps[0]!.run).toContain("GITHUB_STEP_SUMMARY");
  });
});

describe("prune.yml", () => {
  const { look, remove } = workflows["prune.yml"]!.jobs as Record<"look" | "remove", Job>;

  it("alone knows the role that removes images, in the environment that its reviewers open", () => {
    const knowing = Object.entries(texts).filter(([, text]) => /role-to-assume: .*PRUNE_ROLE_ARN/.test(text));
    expect(knowing.map(([file]) => file)).toEqual(["prune.yml"]);
    expect(remove.environment).toBe(pruneEnvironment);
    expect(JSON.stringify(look)).not.toMatch(/role-to-assume[^,]*PRUNE_ROLE_ARN/);
  });

  it("removes what was shown to them, and is not started where nothing goes", () => {
    expect(remove.needs).toBe("look");
    expect(remove.if).toBe("needs.look.outputs.going != ''");
    expect(remove.steps.at(-1)!.env!["ONLY"]).toBe("${{ needs.look.outputs.going }}");
    expect(look.steps.at(-1)!.env).not.toHaveProperty("ONLY");
  });
});

describe("build-image.yml", () => {
  const { on, jobs: buildJobs } = workflows["build-image.yml"]!;
  const { build } = buildJobs as Record<"build", Job>;

  it("hands over hashes by an output of each architecture's own, since those of a matrix overwrite each other", () => {
    const { outputs } = on["workflow_call"] as unknown as { outputs: Record<string, { value: string }> };
    for (const arch of architectures) {
      expect(outputs[arch]!.value).toBe(`\${{ jobs.build.outputs.${arch} }}`);
      expect(build.outputs![arch]).toBe(`\${{ inputs.arch == '${arch}' && steps.sums.outputs.sums || '' }}`);
    }
  });

  it("boots for a pull request, and hands over otherwise", () => {
    const when = build.steps.filter((step) => step.if !== undefined).map((step) => step.if);
    expect(when).toEqual([
      ...["${{ !inputs.boot }}", "${{ !inputs.boot }}"],
      ...["inputs.boot", "inputs.boot", "inputs.boot", "inputs.boot", "failure()"],
    ]);
  });

  it("knows no address or credentials of production but the CDN's, which anybody may know", () => {
    expect([...texts["build-image.yml"]!.matchAll(/vars\.(\w+)/g)].map(([, name]) => name)).toEqual([
      "IMAGES_URL",
    ]);
    expect(build.steps.find((step) => step.env?.["IMAGES_URL"] !== undefined)!.run).toContain(
      "image-summary.ts",
    );
    expect(texts["build-image.yml"]).not.toMatch(/github\.token|secrets/);
  });
});

describe("update.yml", () => {
  const { update } = workflows["update.yml"]!.jobs as Record<"update", Job>;

  it("alone knows the deploy role, and its job alone is in the environment production", () => {
    const knowing = Object.entries(texts).filter(([, text]) =>
      /role-to-assume: .*DEPLOY_ROLE_ARN/.test(text),
    );
    expect(knowing.map(([file]) => file)).toEqual(["update.yml"]);
    expect(offenders(jobs, ({ job }) => job.environment !== undefined)).toEqual([
      "prune.yml, job remove",
      "update.yml, job update",
      "upkeep.yml, job propose",
    ]);
    expect(update.environment).toBe(deployEnvironment);
    for (const { where, step } of steps.filter(({ step }) =>
      step.uses?.includes("configure-aws-credentials"),
    )) {
      const own: Record<string, string> = {
        "update.yml, job update": "DEPLOY_ROLE_ARN",
        "prune.yml, job remove": "PRUNE_ROLE_ARN",
      };
      const role = own[where] ?? "PREVIEW_ROLE_ARN";
      expect(step.with?.["role-to-assume"], where).toBe(`\${{ vars.${role} }}`);
    }
  });

  it("is one at a time and never cut off; no run of another branch takes its place in the queue", () => {
    expect(update.concurrency).toEqual({
      group: "${{ github.ref == 'refs/heads/main' && 'deploy' || github.run_id }}",
      "cancel-in-progress": false,
    });
  });

  it("deploys what main is now, also when a run of long ago is run again, and boots that", () => {
    for (const job of [update, workflows["deploy.yml"]!.jobs["boot"]!]) {
      const [first] = job.steps;
      expect(first!.uses).toContain("actions/checkout@");
      expect(first!.with).toMatchObject({ ref: "main", "fetch-depth": 0 });
    }
  });

  it("gives a boot as much time as the pull request gave it", () => {
    const boot = workflows["deploy.yml"]!.jobs["boot"]!.steps.find(({ id }) => id === "boot")!.env!;
    expect(boot["BOOT_TIMEOUT"]).toBe(workflows["build-image.yml"]!.jobs["build"]!.env!["BOOT_TIMEOUT"]);
  });

  it("takes its time limit and the role's session from the stack", () => {
    expect(update["timeout-minutes"]).toBe("${{ fromJSON(vars.DEPLOY_MINUTES || '120') }}");
    const role = update.steps.find(({ uses }) => uses?.includes("configure-aws-credentials"))!;
    expect(role.with?.["role-duration-seconds"]).toBe("${{ vars.DEPLOY_SESSION_SECONDS }}");
  });

  it("takes what was built and booted, and sets up everything else, before it assumes the role", () => {
    const order = update.steps.map(({ uses, run }) => uses?.split("@")[0] ?? run!);
    const role = order.indexOf("aws-actions/configure-aws-credentials");
    expect(order.findIndex((text) => text.includes("deploy.ts")) - 1).toBe(role);
    for (const [script, prefix] of [
      ["take-images.ts", ""],
      ["take-boot-records.ts", "boot_"],
    ] as const) {
      const at = update.steps.findIndex(({ run }) => run?.includes(script));
      expect(at, script).toBeGreaterThan(0);
      expect(at, script).toBeLessThan(role);
      for (const arch of architectures)
        expect(update.steps[at]!.env![arch.toUpperCase()], script).toBe(`\${{ inputs.${prefix}${arch} }}`);
    }
  });

  it("has nothing that builds or boots", () => {
    expect(texts["update.yml"]).not.toMatch(
      /setup -- .*--(build|boot)|main\.mjs build|publish --build|boot-test|BOOT_TIMEOUT|enable-kvm/,
    );
  });

  it("makes its script the step's own process, which GitHub's signals reach", () => {
    const run = update.steps.find(({ name }) => name === "Deploy")!.run!;
    expect(run.trim()).toBe("exec node --import tsx .github/scripts/deploy.ts");
  });

  it("names its machine so that a lock tells which run made it", () => {
    const { run, env } = update.steps.find(({ name }) => name?.startsWith("Name this machine"))!;
    expect(env!["JOB"]).toBe("${{ inputs.job }}");
    for (const job of updateJobs) {
      expect(workflows["deploy.yml"]!.jobs[job]!.with!["job"]).toBe(job);
      // As deploy.ts looks for it: GitHub calls the job "<caller> / <called>".
      expect(workflows["deploy.yml"]!.jobs[job]!.name).toBe(job);
      const given = /^name=(.+)$/m
        .exec(run!)![1]!
        .replace("$JOB", job)
        .replace("$GITHUB_RUN_ID", "77")
        .replace("$GITHUB_RUN_ATTEMPT", "2");
      expect(given).toBe(machineName({ id: 77, attempt: 2, job }));
      const stderr = `error: the stack is currently locked by 1 lock(s). Either…\n  s3://b/l.json: created by runner@${given} (pid 9) at 2026-11-20T10:00:00Z\n`;
      expect(parseLocks(stderr)![0]!.run).toEqual({ id: 77, attempt: 2, job });
    }
  });
});

describe("pull-request.yml", () => {
  const { jobs: pullJobs } = workflows["pull-request.yml"]!;

  it("ends in finish, which runs always and needs every other job", () => {
    const { needs, if: condition, name } = pullJobs[requiredCheck]!;
    expect(name).toBe(requiredCheck);
    expect(condition).toBe("always()");
    expect([...(needs as string[])].sort()).toEqual(
      Object.keys(pullJobs)
        .filter((name) => name !== "finish")
        .sort(),
    );
  });

  it("ends before the merge queue stops waiting for it", () => {
    for (const name of ["changes", "check", "test", "finish"])
      expect(pullJobs[name]!["timeout-minutes"], name).toBeLessThan(queueTimeoutMinutes);
  });

  it("spares a rollback the tests, where a preview proves its target", () => {
    const { changes, test: tests, preview } = pullJobs;
    expect([tests!.needs, tests!.if]).toEqual(["changes", "needs.changes.outputs.lane != 'rollback'"]);
    const canPreview = changes!.steps.find(({ run }) => run?.includes("changes.ts"))!.env![
      "CAN_PREVIEW"
    ] as string;
    const flat = (text: string) => text.replaceAll(/\s+/g, " ");
    expect(flat(canPreview)).toBe(
      `\${{ github.event_name == 'merge_group' || ( ${flat(preview!.if!).trim()}) }}`,
    );
  });

  it("gives no credentials to a fork, Dependabot, the merge queue, or before the first deploy", () => {
    const words = pullJobs["preview"]!.if!.split(/\s*&&\s*/).map((word) => word.trim());
    expect(words).toEqual([
      "github.event_name == 'pull_request'",
      "github.event.pull_request.head.repo.full_name == github.repository",
      "github.event.pull_request.user.login != 'dependabot[bot]'",
      "vars.PREVIEW_ROLE_ARN != ''",
    ]);
  });

  it("builds and boots a changed image of every architecture that the stack will have", () => {
    const { image } = pullJobs as Record<"image", Job>;
    expect(image.strategy!.matrix).toEqual({ include: "${{ fromJSON(needs.changes.outputs.builds) }}" });
    expect(image.with!["boot"]).toBe(true);
  });
});

describe("drift.yml", () => {
  it("looks daily, at what main says", () => {
    const { on, jobs: driftJobs } = workflows["drift.yml"]!;
    expect((on["schedule"] as unknown as { cron: string }[])[0]!.cron).toMatch(/^\d+ \d+ \* \* \*$/);
    expect(driftJobs["look"]!.if).toContain("github.ref == 'refs/heads/main'");
  });
});

describe("upkeep.yml", () => {
  const { on, jobs: upkeepJobs } = workflows["upkeep.yml"]!;
  const { choose, look, propose } = upkeepJobs as Record<"choose" | "look" | "propose", Job>;

  it("looks daily, at what main says, and proposes only what it found", () => {
    expect((on["schedule"] as unknown as { cron: string }[])[0]!.cron).toMatch(/^\d+ \d+ \* \* \*$/);
    expect(choose.if).toBe("github.ref == 'refs/heads/main'");
    expect([look.needs, propose.needs]).toEqual(["choose", "look"]);
    expect(propose.if).toBe("needs.look.outputs.changed == 'true'");
    for (const { where, step } of steps.filter(
      ({ where, step }) => where.startsWith("upkeep") && step.uses?.includes("checkout"),
    ))
      expect(step.with?.["ref"], where).toBe("main");
  });

  it("asks for the App's rights one by one, and for this repository alone", () => {
    const { with: given } = propose.steps.find(({ uses }) => uses?.includes("app-token"))!;
    expect(given).toEqual({
      "client-id": "${{ vars.UPKEEP_APP_CLIENT_ID }}",
      "private-key": "${{ secrets.UPKEEP_APP_PRIVATE_KEY }}",
      "permission-contents": "write",
      "permission-pull-requests": "write",
    });
  });

  it("ends well where no App is set up, does nothing then, and says what to set", () => {
    const [first, ...others] = propose.steps;
    expect(first!.if).toBe("vars.UPKEEP_APP_CLIENT_ID == ''");
    expect(first!.run).toContain("GITHUB_STEP_SUMMARY");
    expect(first!.run).toMatch(/UPKEEP_APP_CLIENT_ID.*UPKEEP_APP_PRIVATE_KEY.*environment upkeep/);
    for (const step of others) expect(step.if).toBe("vars.UPKEEP_APP_CLIENT_ID != ''");
  });

  it("uses nothing that was handed over before its hash is that of the job which made it", () => {
    const check = propose.steps.findIndex(({ run }) => run?.includes('sha256sum) == "$SHA256"'));
    const use = propose.steps.findIndex(({ run }) => run?.includes("propose-pins.sh"));
    expect(check).toBeGreaterThan(0);
    expect(use).toBeGreaterThan(check);
    expect(propose.steps[check]!.env?.["SHA256"]).toBe("${{ needs.look.outputs.sha256 }}");
  });
});

async function isExecutable(file: string): Promise<boolean> {
  const { mode } = await stat(path.join(checkout, file));
  return (mode & 0o111) === 0o111;
}
