import { createHash } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { exclusions } from "../../.github/scripts/build-plan.js";
import { unreadable } from "../../.github/scripts/upkeep.js";
import { checkout } from "../../local/paths.js";
import { bootRecordFile, takeBootRecord } from "../../release/boot/hand-over.js";
import { keys, type Architecture } from "../../release/store/keys.js";
import type { Manifest } from "../../release/store/records.js";
import { jsonText } from "../../release/store/store.js";
import { bootRecordOf } from "../unit/release/memory-store.js";
import { startNodeHost, type NodeHost } from "./node-host.js";
import { account, repository, zone } from "./production/plugins.js";
import { createProductionWorld, type ProductionWorld } from "./production/production-world.js";
import type { World } from "./world.js";

let production: ProductionWorld;

beforeAll(async () => {
  // What the people who run these tests, or their CI, have set must not matter.
  for (const name of Object.keys(process.env))
    if (/^(CI|(AWS|GITHUB|GH|PULUMI)_.*)$/.test(name)) vi.stubEnv(name, undefined);
  production = await createProductionWorld();
  // The stack is to make it.
  await production.world.deleteBucket();
});
afterAll(async () => {
  await production.remove();
  vi.unstubAllEnvs();
});

/** What a team puts in place of the placeholders. */
const values: Record<string, string> = {
  "aws:allowedAccountIds": account,
  "runner-images:bucket": "runner-images",
  "runner-images:domain": `runners.${zone.name}`,
  "runner-images:zone": zone.zoneId,
  "runner-images:repository": `${repository.owner}/${repository.name}`,
  "runner-images:state": "s3://octo-pulumi-state",
  "runner-images:reviewers": "team/4711",
};
/** What this machine can build in place of Ubuntu with GitHub's runner. */
const builds = { base: "debian", runner: "fixture" };
const unreadableTypes = [
  "github:index/actionsVariable:ActionsVariable",
  "github:index/workflowRepositoryPermissions:WorkflowRepositoryPermissions",
];

/** Where the story of the next tests plays: as an administrator's laptop sees it, and as a deploy on GitHub does. */
let laptop: World;
let ci: World;
let first: string;
let second: string;

describe.sequential(
  "the production stack, on the real engine with recording providers for AWS and GitHub",
  () => {
    beforeAll(() => {
      laptop = production.world.withEnvironment({ GH_TOKEN: "ghs_of_a_person" });
      ci = laptop.withEnvironment({ CI: "true" });
      first = laptop.imageCommit;
    });

    it("previews the committed file, with a warning for each placeholder, and shows just what the docs list", async () => {
      const preview = await laptop.preview();
      const clouds = preview.steps.filter(
        ({ type, name }) => /^(aws|github|pulumi:providers)/.test(type) && !name.startsWith("default_"),
      );
      const documented = await documentedResources();
      expect(unique(clouds.map(({ name }) => name.replace(/(?<=^repository-variable-).*/, "*")))).toEqual(
        documented,
      );
      // Those, their four components and the stack; and nothing but created.
      expect(preview.changeSummary).toEqual({ create: clouds.length + 5 });
      const placeholders = preview.warnings.flatMap(
        (text) => /^config (\S+) still is the placeholder/.exec(text)?.[1] ?? [],
      );
      expect(placeholders.sort()).toEqual(Object.keys(values).sort());
      expect(preview.warnings).toContainEqual(expect.stringMatching(/^nothing was promoted yet/));
      expectUntouched(production);
    });

    it("refuses to update with placeholders, one line for each with the command that replaces it, and touches nothing", async () => {
      const refusal = await laptop.failure(() => laptop.up());
      for (const key of Object.keys(values))
        expect(refusal).toMatch(new RegExp(`^ *${key} is .*: pulumi config set`, "m"));
      expect(refusal).not.toMatch(stackTrace);
      expectUntouched(production);
    });

    it("is filled in by the commands which those messages name", async () => {
      const { warnings } = await laptop.preview();
      for (const warning of warnings) {
        const [, key, command] = /^config (\S+) still is .*; before an update: (.+)$/.exec(warning) ?? [];
        if (key !== undefined) await follow(laptop, command!, values[key]!);
      }
      const own = { ...builds, signer: laptop.environment.IMAGES_SIGNER! };
      for (const [key, value] of Object.entries(own)) await laptop.setConfig(key, value);
      expect((await laptop.preview()).warnings.filter((text) => text.includes("placeholder"))).toEqual([]);
    });

    it("sets up the infrastructure only at its first update from a laptop without Packer and QEMU, with a domain of its own", async () => {
      const { world: anywhere, aws, github } = await production.another();
      const world = anywhere.withEnvironment({
        PATH: await laptop.pathOf("git", "node", "sh", "env", "dirname", "uname"),
      });
      const up = await world.up();
      expect(up.outputs).toMatchObject({ url: `https://runners.${zone.name}`, latest: "" });
      expect(up.warnings).toContainEqual(expect.stringMatching(/images come with the first merge/));
      // The credentials of a deploy outlast it, also while it cleans up.
      const value = (name: string) => Number(github.checked.get(`repository-variable-${name}`)!["value"]);
      expect(aws.checked.get("ci-deploy")!["maxSessionDuration"]).toBe(value("deploy-session-seconds"));
      expect(value("deploy-session-seconds")).toBeGreaterThanOrEqual((value("deploy-minutes") + 15) * 60);
      expect(up.steps.filter(({ type }) => type.startsWith("command:"))).toEqual([]);
      expect(aws.changes.map(({ name }) => name)).toContain("cdn-certificate-validation");
      expect(aws.configurations.at(-1)).toMatchObject({
        allowedAccountIds: JSON.stringify([account]),
        region: "us-east-1",
      });
      const made = [...aws.changes, ...github.changes];
      expect(made.every(({ verb }) => verb === "create")).toBe(true);
      expect((await world.up()).summary.resourceChanges).toEqual({ same: made.length + 7 });
    });

    it("lets a distribution of one's own read the bucket, and makes none then", async () => {
      const { world, aws } = await production.another();
      const distribution = `arn:aws:cloudfront::${account}:distribution/E1OWN`;
      for (const key of ["domain", "zone"]) await world.setConfig(key, undefined);
      await world.setConfig("url", "https://cdn.test");
      await world.setConfig("distribution", distribution);
      expect((await world.up()).outputs).toMatchObject({ url: "https://cdn.test" });
      expect(aws.changes.filter(({ name }) => name.startsWith("cdn-"))).toEqual([]);
      expect(aws.checked.get("images-policy")!["policy"]).toContain(distribution);
      for (const name of ["ci-preview-policy", "ci-deploy-policy"])
        expect(aws.checked.get(name)!["policy"]).not.toContain("cloudfront:");
    });

    it("provisions for channels one function, their paths, and rights on their pointers, and for none nothing", async () => {
      const { world, aws, github } = await production.another();
      await world.up();
      const [made, known] = [aws.changes.length, github.changes.length];
      await world.setConfig("channels", { canary: { promote: "after 24h" }, lab: { promote: "never" } });
      await world.up();
      const changes = [...aws.changes.slice(made), ...github.changes.slice(known)];
      expect(changes.map(({ verb, name }) => `${verb} ${name}`).sort()).toEqual([
        "create cdn-channel-images",
        "create repository-variable-channels",
        "update cdn-distribution",
        "update ci-deploy-policy",
        "update ci-preview-policy",
        "update images-policy",
      ]);
      for (const name of ["ci-deploy-policy", "images-policy"])
        expect(aws.checked.get(name)!["policy"]).toContain("/lab/pointer/*");
      expect(github.checked.get("repository-variable-channels")!["value"]).toBe("canary lab");
    });

    it("sets it up without a domain too, and finds nothing to do when asked again before the first image", async () => {
      for (const key of ["domain", "zone"]) await laptop.setConfig(key, undefined);
      const { outputs } = await laptop.up();
      expect(outputs["url"]).toMatch(/^https:\/\/localhost:\d+$/);
      expect(outputs["url"]).toBe(`https://${outputs["cdn"] as string}`);
      expect(outputs["previewRole"]).toBe(`arn:aws:iam::${account}:role/runner-images-prod-preview`);
      expect(outputs["deployRole"]).toBe(`arn:aws:iam::${account}:role/runner-images-prod-deploy`);
      // The recording provider makes no bucket: this is the one that it would have made.
      await laptop.createBucket();
      expect(Object.keys((await laptop.up()).summary.resourceChanges!)).toEqual(["same"]);
    });

    it("writes no token and no credentials to the state", async () => {
      const state = JSON.stringify(await laptop.state());
      for (const name of ["GH_TOKEN", "AWS_SECRET_ACCESS_KEY"])
        expect(state, name).not.toContain(laptop.environment[name]!);
    });

    it("builds, publishes, boots and promotes at the first merge, and leaves all else as it is", async () => {
      forget();
      const up = await ci.up({ continueOnError: true });
      // Two images with two commands each, and the pointer with its one.
      expect(up.summary.resourceChanges).toMatchObject({ create: 8 });
      expect(up.outputs).toMatchObject({ latest: first, newest: first, pinned: "" });
      expect(await laptop.served("latest")).toBe(`${first}\n`);
      // Six objects of each: attestation, disk, its sha256, bill of materials, manifest, boot record.
      expect(await laptop.keys(`images/${first}/`)).toHaveLength(12);
      expectUntouched(production);
    });

    it("makes bucket and CDN before an image, and boots all images before the pointer moves", async () => {
      const state = await ci.state();
      const dependencies = (name: string) =>
        state
          .find((found) => found.name === name && found.type === "command:local:Command")!
          .dependencies!.map(nameOf);
      for (const name of ["ubuntu-x86_64", "ubuntu-aarch64"]) {
        expect(dependencies(`${name}-publish`)).toEqual(
          expect.arrayContaining(["images-bucket", "images-policy", "cdn-distribution"]),
        );
        expect(dependencies(`${name}-boot-test`)).toContain(`${name}-publish`);
        expect(dependencies("latest")).toContain(`${name}-boot-test`);
      }
    });

    it("changes nothing when updated again, in CI or from a laptop", async () => {
      for (const world of [ci, laptop])
        expect(Object.keys((await world.up()).summary.resourceChanges!)).toEqual(["same"]);
    });

    it("rolls back and forward by one line, twice, and each time that is the one change", async () => {
      second = await laptop.changeImage();
      await ci.up({ continueOnError: true });
      expect(await laptop.served("latest")).toBe(`${second}\n`);
      for (const [pin, live] of [
        [first, first],
        [undefined, second],
        [first, first],
        [undefined, second],
      ]) {
        await laptop.pin(pin);
        const preview = await ci.preview();
        const changed = preview.steps.filter(({ op }) => op !== "same");
        expect(changed).toEqual([{ op: "update", type: "command:local:Command", name: "latest" }]);
        expect((await ci.up({ continueOnError: true })).summary.resourceChanges).toMatchObject({ update: 1 });
        expect(await laptop.served("latest")).toBe(`${live}\n`);
      }
    });

    it("refuses a pin to what was never published, in the preview, in one line", async () => {
      await laptop.pin("0".repeat(40));
      expectOneLine(
        await ci.failure(() => ci.preview()),
        /config runner-images:latest names 0+, which cannot go live/,
      );
      await laptop.pin(undefined);
    });

    it("still deploys the image of a merge that also changes what CI may not, and leaves that to an administrator", async () => {
      const ruleset = "github:index/repositoryRuleset:RepositoryRuleset";
      production.github.fail("update", ruleset, "403 Resource not accessible by integration");
      await laptop.setConfig("approvals", 2);
      const third = await laptop.changeImage();
      expect(await ci.failure(() => ci.up({ continueOnError: true }))).toContain(
        "403 Resource not accessible",
      );
      expect(await laptop.served("latest")).toBe(`${third}\n`);

      production.github.fail("update", ruleset, undefined);
      forget();
      expect((await laptop.up()).summary.resourceChanges).toMatchObject({ update: 1 });
      expect(production.github.changes.map(({ verb, name }) => `${verb} ${name}`)).toEqual([
        "update repository-main",
      ]);
    });

    describe("a deploy whose images are booted by jobs of their own", () => {
      const both = ["x86_64", "aarch64"] as const;
      let host: NodeHost;
      let deploy: World;
      let folder: string;
      let records: string;
      let commit: string;
      beforeAll(async () => {
        folder = await mkdtemp(path.join(tmpdir(), "runner-images-boots-"));
        records = path.join(folder, "taken");
        deploy = ci.withEnvironment({ BOOT_RECORDS: records });
        host = await startNodeHost(deploy.environment);
        commit = await laptop.changeImage();
      });
      afterAll(async () => {
        host.close();
        await rm(folder, { recursive: true });
      });
      const up = (...boot: Architecture[]) =>
        deploy.pulumi(
          ...["up", "--yes", "--skip-preview", "--continue-on-error"],
          ...exclusions({ build: [], boot }),
          ...host.flags,
        );
      const handOver = async (arch: Architecture) => {
        const { disk } = JSON.parse(await laptop.served(keys.manifest(commit, arch))) as Manifest;
        const text = jsonText(bootRecordOf(commit, arch, { diskSha256: disk.sha256 }));
        await writeFile(path.join(folder, bootRecordFile(arch)), text);
        const sums = `${createHash("sha256").update(text).digest("hex")}  ${keys.bootRecord(commit, arch)}`;
        await takeBootRecord({ commit, arch }, folder, sums, records);
      };
      const bootRecords = async () =>
        (await laptop.keys(`images/${commit}/`)).filter((key) => key.endsWith(".boot.json"));

      it("publishes them, boots nothing, and leaves the pointer", async () => {
        const before = await laptop.served("latest");
        const { exitCode, all } = await up(...both);
        expect(exitCode, all + host.printed()).toBe(0);
        const found = await laptop.keys(`images/${commit}/`);
        for (const arch of both) expect(found).toContain(keys.manifest(commit, arch));
        expect(await bootRecords()).toEqual([]);
        expect(await laptop.served("latest")).toBe(before);
      });

      it("boots nothing either where that was not left out, and says so in one line for each", async () => {
        const before = await laptop.served("latest");
        const { exitCode, all } = await up();
        expect(exitCode).not.toBe(0);
        for (const arch of both)
          expect(all).toMatch(new RegExp(`ubuntu-${arch} of ${commit} is not booted on this machine`));
        expect(await bootRecords()).toEqual([]);
        expect(await laptop.served("latest")).toBe(before);
      });

      it("stores the one boot record that there is, and waits with the pointer for the other", async () => {
        const before = await laptop.served("latest");
        await handOver("x86_64");
        const { exitCode, all } = await up("aarch64");
        expect(exitCode, all + host.printed()).toBe(0);
        expect(await bootRecords()).toEqual([keys.bootRecord(commit, "x86_64")]);
        expect(await laptop.served("latest")).toBe(before);
      });

      it("moves the pointer once all records are there, and changes nothing then", async () => {
        await handOver("aarch64");
        const { exitCode, all } = await up();
        expect(exitCode, all + host.printed()).toBe(0);
        expect(await bootRecords()).toHaveLength(2);
        expect(await laptop.served("latest")).toBe(`${commit}\n`);
        expect(Object.keys((await deploy.up()).summary.resourceChanges!)).toEqual(["same"]);
      });
    });

    it("publishes nothing into a bucket whose rules could not be set", async () => {
      const { world, aws } = await production.another();
      const policy = "aws:s3/bucketPolicy:BucketPolicy";
      aws.fail("create", policy, "403 AccessDenied");
      const commit = await world.changeImage();
      const deploy = world.withEnvironment({ CI: "true" });
      expect(await world.failure(() => deploy.up({ continueOnError: true }))).toContain("403 AccessDenied");
      expect(await laptop.keys(`images/${commit}/`)).toEqual([]);
      expect((await world.state()).filter(({ type }) => type.startsWith("command:"))).toEqual([]);
    });

    describe("the daily look for drift", () => {
      let host: NodeHost;
      beforeAll(async () => {
        host = await startNodeHost(ci.environment);
        // The token of a workflow cannot read them.
        for (const type of unreadableTypes)
          production.github.fail("read", type, "403 Resource not accessible by integration");
      });
      afterAll(() => {
        for (const type of unreadableTypes) production.github.fail("read", type, undefined);
        host.close();
      });

      const excluded = unreadable.flatMap((urns) => ["--exclude", urns]);
      /** As drift.yml does. */
      const look = () => ci.pulumi("preview", "--refresh", "--expect-no-changes", ...excluded, ...host.flags);

      it("finds nothing where nothing was changed, though it cannot read the variables", async () => {
        const { exitCode, all } = await look();
        expect(exitCode, all + host.printed()).toBe(0);
      });

      it("finds what somebody else changed", async () => {
        const lifecycle = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration";
        production.aws.drift(lifecycle, { rules: [] });
        const { exitCode, all } = await look();
        expect(exitCode, all).toBe(7);
        expect(all).toMatch(/images-lifecycle/);
      });
    });

    describe("what docs/operations.md has an administrator do", () => {
      let host: NodeHost;
      beforeAll(async () => {
        host = await startNodeHost(laptop.environment);
      });
      afterAll(() => host.close());
      const up = (...args: string[]) =>
        laptop.pulumi("up", "--yes", "--skip-preview", ...args, ...host.flags);

      it("applies what CI may not, and builds nothing on that machine", async () => {
        const commit = await laptop.changeImage();
        await laptop.setConfig("approvals", 3);
        forget();
        const { exitCode, all } = await up("--exclude", "**RunnerImage**", "--exclude-dependents");
        expect(exitCode, all + host.printed()).toBe(0);
        expect(production.github.changes.map(({ name }) => name)).toEqual(["repository-main"]);
        expect(await laptop.keys(`images/${commit}/`)).toEqual([]);
      });

      it("moves the pointer alone, when it cannot wait for a merge", async () => {
        await laptop.pin(first);
        forget();
        const { exitCode, all } = await up("--target", "**LatestPointer**");
        expect(exitCode, all + host.printed()).toBe(0);
        expect(await laptop.served("latest")).toBe(`${first}\n`);
        expectUntouched(production);
        await laptop.pin(undefined);
        await ci.up({ continueOnError: true });
      });
    });

    it("is not destroyed: its preview is refused, and nothing goes", async () => {
      forget();
      const before = await laptop.state();
      const { exitCode, all } = await laptop.pulumi("destroy", "--yes");
      expect(exitCode).not.toBe(0);
      expect(all).toMatch(/Preview failed: .* cannot be deleted\s+because it is protected/);
      expectUntouched(production);
      expect(await laptop.state()).toEqual(before);
    });

    it("is not destroyed without a preview either: nothing goes in AWS and GitHub, and an update brings back what the state forgot", async () => {
      const objects = await laptop.keys();
      const inClouds = async () => {
        const state = await laptop.state();
        return unique(state.filter(({ type }) => /^(aws|github):/.test(type)).map(({ name }) => name));
      };
      const before = await inClouds();
      forget();
      const { exitCode, all } = await laptop.pulumi("destroy", "--yes", "--skip-preview");
      expect(exitCode).not.toBe(0);
      expect(all).toMatch(/cannot be deleted\s+because it is protected/);
      // The engine goes on with what is not protected: the commands, which delete nothing.
      expectUntouched(production);
      expect(await inClouds()).toEqual(before);
      expect(await laptop.keys()).toEqual(objects);

      await laptop.up();
      expectUntouched(production);
      expect(await laptop.keys()).toEqual(objects);
    });
  },
);

describe("a configuration or an account that is wrong is said in one line, before anything is touched:", () => {
  let other: Pick<ProductionWorld, "world" | "aws" | "github">;
  beforeAll(async () => {
    other = await production.another();
  });

  afterEach(async () => {
    other.aws.forget();
    other.github.forget();
    production.answers.account = account;
    await other.world.git("reset", "--quiet", "--hard", "origin/main");
  });

  /** In a preview, and in an update of which no preview was read. */
  async function expectRefusal(world: World, message: RegExp): Promise<void> {
    for (const run of [() => world.preview(), () => world.up()])
      expectOneLine(await world.failure(run), message);
    expectUntouched(other);
    expectUnregistered(other);
  }

  const refusals: [what: string, config: Record<string, string | string[]>, message: RegExp][] = [
    [
      "an unknown zone",
      { domain: `runners.${zone.name}`, zone: "Z000UNKNOWN" },
      /config runner-images:zone is Z000UNKNOWN, which is no hosted zone of the account \d+ .*pulumi config set zone/,
    ],
    [
      "a domain that is not in its zone",
      { domain: "runners.elsewhere.test", zone: zone.zoneId },
      /config runner-images:domain is runners\.elsewhere\.test, which is not in the hosted zone .*pulumi config set domain/,
    ],
    [
      "an unknown repository",
      { repository: "octo-org/nothing" },
      /config runner-images:repository is octo-org\/nothing, which GitHub does not know.*pulumi config set repository/,
    ],
    [
      "a repository by the name that it had before",
      { repository: "octo-org/old-name" },
      /config runner-images:repository is octo-org\/old-name, which is called octo-org\/runner-images now.*pulumi config set/,
    ],
    [
      "a repository with other IDs",
      { repository: "octo-org@1/runner-images@2" },
      /config runner-images:repository has other IDs .*pulumi config set repository octo-org@4321\/runner-images@8765/,
    ],
    [
      "a pin on the very first deploy",
      { latest: "1".repeat(40), bucket: "runner-images-new" },
      /config runner-images:latest names 1+, which cannot go live: image 1+ was never published.*pulumi config rm latest/,
    ],
    [
      "a bucket of somebody else",
      { bucket: "runner-images-taken" },
      /config runner-images:bucket is runner-images-taken, which cannot be used: .* denies this .*pulumi config set bucket/,
    ],
    ["no architecture", { architectures: [] }, /config runner-images:architectures must name at least one/],
  ];
  it.each(refusals)("%s", async (_, config, message) => {
    const { world } = other;
    if (config["bucket"] === "runner-images-taken")
      await world.createBucket({ name: "runner-images-taken", stranger: true });
    for (const [key, value] of Object.entries(config)) await world.setConfig(key, value);
    await expectRefusal(world, message);
  });

  it("credentials of another account", async () => {
    production.answers.account = "999999999999";
    await expectRefusal(
      other.world,
      /config aws:allowedAccountIds allows the account \d+, but the credentials in use are of 999999999999/,
    );
  });

  it("no credentials, nor any other setting of AWS", async () => {
    const names = Object.keys(other.world.environment).filter((name) =>
      /^AWS_(?!CONFIG_FILE|SHARED_CREDENTIALS_FILE)/.test(name),
    );
    await expectRefusal(
      other.world.withEnvironment({
        ...Object.fromEntries(names.map((name) => [name, undefined])),
        AWS_EC2_METADATA_DISABLED: "true",
      }),
      /no credentials for AWS account \d+ \(config aws:allowedAccountIds\): set AWS_ACCESS_KEY_ID/,
    );
  });

  it("a region that does not exist", async () => {
    await expectRefusal(
      other.world.withEnvironment({ AWS_ENDPOINT_URL_STS: "http://127.0.0.1:1" }),
      /cannot be asked who is calling .*pulumi config set aws:region/,
    );
  });

  it("credentials that AWS does not know", async () => {
    production.answers.account = undefined;
    await expectRefusal(other.world, /AWS account .* refuses the credentials \(InvalidClientTokenId\)/);
  });

  it("an OIDC provider that is to be there already and is not", async () => {
    const token = "aws:iam/getOpenIdConnectProvider:getOpenIdConnectProvider";
    other.aws.fail("invoke", token, "NoSuchEntity: OpenIDConnect Provider not found");
    await other.world.setConfig("oidcProvider", "existing");
    await expectRefusal(
      other.world,
      /config runner-images:oidcProvider is "existing", but there is no arn:aws:iam::.*pulumi config set oidcProvider create/,
    );
    other.aws.fail("invoke", token, undefined);
    const { steps } = await other.world.preview();
    expect(steps.map(({ name }) => name)).not.toContain("ci-github");
  });

  it("a token that Pulumi would write to the state", async () => {
    const world = other.world.withEnvironment({ GITHUB_TOKEN: "ghp_x" });
    await expectRefusal(world, /GITHUB_TOKEN is set.*GH_TOKEN/);
  });
});

const stackTrace = /\n\s+at .*:\d+:\d+/;

/** All that a person is told is this one line; the engine may say it twice, and adds that it failed. */
function expectOneLine(text: string, message: RegExp): void {
  const [, diagnostics = ""] = /\nDiagnostics:\n(.*?)\n\n/s.exec(text) ?? [];
  const [, ...said] = diagnostics.split("\n");
  const errors = said.filter((line) => !/^ +(warning: |error: (preview|update) failed$)/.test(line));
  expect(errors, text).not.toEqual([]);
  for (const line of errors) {
    expect(line).toMatch(/^ {4}error: /);
    expect(line).toMatch(message);
  }
}

/** Nothing was changed in a cloud. */
function expectUntouched({ aws, github }: Pick<ProductionWorld, "aws" | "github">): void {
  expect([...aws.changes, ...github.changes]).toEqual([]);
}

/** The program did not get as far as its first resource. */
function expectUnregistered({ aws, github }: Pick<ProductionWorld, "aws" | "github">): void {
  expect([...aws.checked.keys(), ...github.checked.keys()]).toEqual([]);
}

function forget(): void {
  production.aws.forget();
  production.github.forget();
}

/** The names in the table of docs/architecture.md, each of which says why it is there. */
async function documentedResources(): Promise<string[]> {
  const text = await readFile(path.join(checkout, "docs/architecture.md"), "utf8");
  const section = text.slice(text.indexOf("## The production stack"), text.indexOf("## Decisions"));
  const rows = section.split("\n").filter((line) => line.startsWith("| `"));
  return unique(
    rows.flatMap((row) => {
      const [names, , why] = row
        .split("|")
        .slice(1)
        .map((cell) => cell.trim());
      expect(why, row).not.toBe("");
      return [...names!.matchAll(/`([^`]+)`/g)].map(([, name]) => name!);
    }),
  );
}

function unique(names: string[]): string[] {
  return [...new Set(names)].sort();
}

function nameOf(urn: string): string {
  return urn.slice(urn.lastIndexOf("::") + 2);
}

/** Runs one command as a message words it, e.g. `pulumi config set bucket <value>`. */
async function follow(world: World, command: string, value: string): Promise<void> {
  const words = command.replace(/<[^>]+>/, value).match(/'[^']*'|\S+/g)!;
  const [pulumi, ...args] = words.map((word) => word.replaceAll("'", ""));
  expect(pulumi).toBe("pulumi");
  const run = await world.pulumi(...args);
  expect(run.exitCode, run.all).toBe(0);
}
