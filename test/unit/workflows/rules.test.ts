import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import {
  exclusions,
  leaveOut,
  planBoots,
  planBuilds,
  type Stage,
} from "../../../.github/scripts/build-plan.js";
import { cell, codeBlock, shortened } from "../../../.github/scripts/github.js";
import { imageTable, type ImageFigures } from "../../../.github/scripts/image-table.js";
import {
  decide,
  parseLocks,
  runsOf,
  type Lock,
  type RunState,
} from "../../../.github/scripts/stranded-lock.js";
import { readChanges, updateSummary } from "../../../.github/scripts/update-summary.js";
import { judgePreview, upkeepDue } from "../../../.github/scripts/upkeep.js";
import { judge, type Circumstances, type NeededJob } from "../../../.github/scripts/verdict.js";
import { checkout } from "../../../local/paths.js";
import { configuredBuild } from "../../../local/stack-file.js";
import { architectures, type Architecture } from "../../../release/store/keys.js";
import type { Lane } from "../../../.github/scripts/lane.js";
import type { Usability } from "../../../release/pointer/runner-releases.js";
import type { Manifest } from "../../../release/store/records.js";

describe("the locks for which an update was refused", () => {
  // As Pulumi 3.259.0 says it (test/engine/stranded-lock.test.ts asks the engine).
  const refusal = (...owners: string[]) =>
    [
      `error: the stack is currently locked by ${owners.length} lock(s). Either wait for the other process(es) to end or delete the lock file with \`pulumi cancel\`.`,
      ...owners.map(
        (owner, index) =>
          `  s3://state/.pulumi/locks/organization/runner-images/prod/${index}.json: created by ${owner} (pid 4001) at 2026-11-20T10:00:00Z`,
      ),
      "",
    ].join("\n");

  it.each<[string, string, (string | null)[] | null]>([
    ["one of a deploy run", refusal("runner@runner-images-deploy-123-1"), ["123-1"]],
    [
      "two",
      refusal("runner@runner-images-deploy-123-1", "runner@runner-images-deploy-99-2"),
      ["123-1", "99-2"],
    ],
    ["one of a move", refusal("runner@runner-images-move-123-1"), ["123-1"]],
    ["one of a publishing", refusal("runner@runner-images-publish-123-1"), ["123-1"]],
    ["one of a job that updates nothing", refusal("runner@runner-images-build-123-1"), [null]],
    ["an administrator's", refusal("alice@laptop"), [null]],
    ["a name that only begins like ours", refusal("runner@runner-images-deploy-123-1.evil"), [null]],
    ["a name that only ends like ours", refusal("runner@evil-runner-images-deploy-123-1"), [null]],
    ["a user that looks like ours", refusal("runner-images-deploy-1-1@laptop"), [null]],
    ["a user with an @ and a space", refusal("a@runner-images-deploy-1-1 b@laptop"), [null]],
    ["a user with an @", refusal("a@runner-images-deploy-1-1@laptop"), [null]],
    ["one that cannot be read", refusal("alice@laptop").replace("created by", "made by"), [null]],
    ["one of two that cannot be read", refusal("runner@runner-images-deploy-1-1", "x"), ["1-1", null]],
    ["none: another failure", "error: update failed\n", null],
    ["none: success", "", null],
    ["the words in the middle of a line", "  x: error: the stack is currently locked by 1 lock(s)\n", null],
  ])("are read: %s", (_, stderr, expected) => {
    const locks = parseLocks(stderr);
    expect(locks?.map(({ run }) => (run === null ? null : `${run.id}-${run.attempt}`)) ?? null).toEqual(
      expected,
    );
  });

  const lock = (id: number, attempt = 1): Lock => ({
    owner: `runner@runner-images-deploy-${id}-${attempt}`,
    since: "2026-11-20T10:00:00Z",
    run: { id, attempt, job: "deploy" },
  });
  const foreign: Lock = { owner: "alice@laptop", since: "2026-11-20T10:00:00Z", run: null };
  const state = (
    id: number,
    status: string | null,
    { attempt = 1, workflow = ".github/workflows/deploy.yml" } = {},
  ): RunState => ({ run: { id, attempt, job: "deploy" }, status, workflow });

  it.each<[string, boolean, Lock[], RunState[]]>([
    ["an ended deploy run", true, [lock(1)], [state(1, "completed")]],
    [
      "an ended run, its workflow named with a ref",
      true,
      [lock(1)],
      [state(1, "completed", { workflow: ".github/workflows/deploy.yml@refs/heads/main" })],
    ],
    [
      "an ended run of channels.yml",
      true,
      [lock(1)],
      [state(1, "completed", { workflow: ".github/workflows/channels.yml" })],
    ],
    ["two ended ones", true, [lock(1), lock(2)], [state(1, "completed"), state(2, "completed")]],
    ["an earlier attempt of this run", true, [lock(1, 1)], [state(1, "completed", { attempt: 1 })]],
    ["this very attempt", false, [lock(1, 2)], [state(1, "in_progress", { attempt: 2 })]],
    ["another attempt that is known as ended", false, [lock(1, 2)], [state(1, "completed", { attempt: 1 })]],
    ["a running one", false, [lock(1)], [state(1, "in_progress")]],
    ["a waiting one", false, [lock(1)], [state(1, "waiting")]],
    ["one that GitHub does not know", false, [lock(1)], [state(1, null)]],
    ["one that was not asked about", false, [lock(1)], []],
    [
      "a run of another workflow",
      false,
      [lock(1)],
      [state(1, "completed", { workflow: ".github/workflows/pull-request.yml" })],
    ],
    [
      "a workflow that is only named alike",
      false,
      [lock(1)],
      [state(1, "completed", { workflow: "x/.github/workflows/deploy.yml" })],
    ],
    [
      "one whose run's other job has ended",
      false,
      [lock(1)],
      [{ ...state(1, "completed"), run: { id: 1, attempt: 1, job: "move" } }],
    ],
    ["somebody else's", false, [foreign], []],
    ["an ended one beside somebody else's", false, [lock(1), foreign], [state(1, "completed")]],
    [
      "an ended one beside a running one",
      false,
      [lock(1), lock(2)],
      [state(1, "completed"), state(2, "queued")],
    ],
    ["none", false, [], []],
  ])("of %s are removed: %s", (_, cancel, locks, states) => {
    expect(decide("prod", locks, states).cancel).toBe(cancel);
  });

  it("are named, with whoever made them and the command that removes them", () => {
    expect(decide("prod", [foreign], []).why).toBe(
      "the stack prod is locked by alice@laptop since 2026-11-20T10:00:00Z, which is no deploy run; wait until that update has ended, or, when you are sure that nobody is at work on it: pulumi cancel --stack prod --yes",
    );
    expect(decide("prod", [lock(1)], [state(1, "in_progress")]).why).toContain(
      "a deploy run which is in_progress",
    );
  });

  it("are asked about only where a run made them", () => {
    expect(runsOf([lock(1), foreign, lock(2, 3)])).toEqual([
      { id: 1, attempt: 1, job: "deploy" },
      { id: 2, attempt: 3, job: "deploy" },
    ]);
  });
});

describe("the builds of a run", () => {
  const settings = { base: "ubuntu", profile: "full", runner: "github", accelerator: "auto" };

  it("are one a machine, with KVM where GitHub's machines have it, and time for emulation where they do not", () => {
    expect(planBuilds(["x86_64", "aarch64"], settings)).toEqual([
      { ...settings, arch: "x86_64", accelerator: "kvm", minutes: 60 },
      { ...settings, arch: "aarch64", accelerator: "tcg", minutes: 240 },
    ]);
    expect(planBuilds([], settings)).toEqual([]);
  });

  it("run guests as the stack says, where it says", () => {
    expect(planBuilds(["x86_64"], { ...settings, accelerator: "tcg" })[0]!.accelerator).toBe("tcg");
  });

  it("are of what production's stack says, or Pulumi.yaml where that says nothing", async () => {
    expect(await configuredBuild(checkout, "prod")).toEqual(settings);
    expect(await configuredBuild(checkout)).toEqual({
      ...settings,
      ...{ base: "debian", profile: "small", runner: "fixture" },
    });
  });

  it("have each an output of its own to hand over by", () => {
    const { outputs } = (
      parse(readFileSync(path.join(checkout, ".github/workflows/build-image.yml"), "utf8")) as {
        on: { workflow_call: { outputs: object } };
      }
    ).on.workflow_call;
    expect(Object.keys(outputs)).toEqual([...architectures]);
  });
});

describe("the boots of a run", () => {
  const commit = "c".repeat(40);

  it("are one a machine, with KVM where GitHub's machines have it, or as the stack says", () => {
    expect(planBoots(["x86_64", "aarch64"], commit, { accelerator: "auto" })).toEqual([
      { arch: "x86_64", commit, accelerator: "kvm", minutes: 60 },
      { arch: "aarch64", commit, accelerator: "tcg", minutes: 75 },
    ]);
    expect(planBoots(["x86_64"], commit, { accelerator: "tcg" })[0]!.accelerator).toBe("tcg");
  });

  it("end by their guest's time limit, not by the job's", () => {
    const { env } = (
      parse(readFileSync(path.join(checkout, ".github/workflows/deploy.yml"), "utf8")) as {
        jobs: { boot: { steps: { id?: string; env?: Record<string, string> }[] } };
      }
    ).jobs.boot.steps.find(({ id }) => id === "boot")!;
    for (const { minutes } of planBoots([...architectures], commit, { accelerator: "auto" }))
      expect(minutes * 60).toBeGreaterThanOrEqual(Number(env!["BOOT_TIMEOUT"]) + 15 * 60);
  });
});

describe("what an update leaves out", () => {
  const all = ["--exclude", "**RunnerImage**", "--exclude-dependents"];
  const boots = (...archs: Architecture[]) => [
    ...archs.flatMap((arch) => ["--exclude", `**::ubuntu-${arch}-boot-test`]),
    "--exclude-dependents",
  ];
  const both: Architecture[] = ["x86_64", "aarch64"];

  it.each<[string, [Stage, Stage], Architecture[], Architecture[], string[]]>([
    ["nothing: all is published and booted", ["booted", "booted"], [], [], []],
    ["nothing: both were booted for it", ["published", "published"], [], both, []],
    ["nothing: one was booted before, one for it", ["booted", "published"], [], ["aarch64"], []],
    ["the boots of what it publishes", ["none", "none"], both, [], boots(...both)],
    ["the boot of the one it publishes", ["booted", "none"], ["aarch64"], [], boots("aarch64")],
    ["the boot that did not end", ["published", "published"], [], ["x86_64"], boots("aarch64")],
    ["boots that nobody did", ["published", "published"], [], [], boots(...both)],
    ["the images where one was not built", ["booted", "none"], [], [], all],
    ["the images where one was not built, booted or not", ["none", "published"], [], ["aarch64"], all],
    [
      "the boot of what an earlier run published, beside its own",
      ["published", "none"],
      ["aarch64"],
      [],
      boots(...both),
    ],
  ])("is %s", (_, [x86, arm], images, records, expected) => {
    const stages = new Map<Architecture, Stage>([
      ["x86_64", x86],
      ["aarch64", arm],
    ]);
    expect(exclusions(leaveOut(stages, { images, records }))).toEqual(expected);
  });
});

describe("the summary of a deploy", () => {
  const event = (kind: string, op: string, name: string, type = "command:local:Command", more = {}) =>
    JSON.stringify({
      sequence: 1,
      [kind]: { metadata: { op, type, urn: `urn:pulumi:prod::runner-images::${type}::${name}` }, ...more },
    });

  it("tells what was changed, and no bookkeeping", () => {
    const log = [
      event("resourcePreEvent", "update", "latest"),
      event("resOutputsEvent", "update", "planned", undefined, { planning: true }),
      event("resOutputsEvent", "same", "images-bucket"),
      event("resOutputsEvent", "create", "prod", "pulumi:pulumi:Stack"),
      event("resOutputsEvent", "create", "default", "pulumi:providers:aws"),
      event("resOutputsEvent", "update", "latest"),
      event("resOutputsEvent", "create-replacement", "a"),
      event("resOutputsEvent", "replace", "a"),
      event("resOutputsEvent", "delete-replaced", "a"),
      event("resOpFailedEvent", "update", "images-policy", "aws:s3/bucketPolicy:BucketPolicy"),
      "not JSON",
      "",
    ].join("\n");
    expect(readChanges(log).map(({ name, op, failed }) => [name, op, failed])).toEqual([
      ["latest", "update", false],
      ["a", "create-replacement", false],
      ["a", "delete-replaced", false],
      ["images-policy", "update", true],
    ]);
  });

  const stays = { name: "latest", before: "aaa", after: "aaa" };
  const common = { moves: [stays], images: ["x86_64: runner 1, no end known"], changes: [] };
  it.each([
    [
      "a move",
      { ...common, outcome: "done" as const, moves: [{ ...stays, after: "bbb" }] },
      "`latest` moved: aaa → bbb",
    ],
    [
      "a channel's move",
      {
        ...common,
        outcome: "done" as const,
        moves: [stays, { name: "canary/latest", before: "aaa", after: "bbb" }],
      },
      "`latest` stays: aaa\n\n`canary/latest` moved: aaa → bbb",
    ],
    ["that nothing moved", { ...common, outcome: "done" as const }, "`latest` stays: aaa"],
    [
      "until when the live image can be used",
      { ...common, outcome: "done" as const },
      "- x86_64: runner 1, no",
    ],
    ["that nothing was changed", { ...common, outcome: "done" as const }, "No resource was changed."],
    ["what was left out", { ...common, outcome: "done" as const, leftOut: "no images" }, "no images"],
    ["the reason of a failure", { ...common, outcome: "failed" as const, reason: "locked" }, "locked"],
    ["a cancelled run", { ...common, outcome: "cancelled" as const }, "## Deploy cancelled"],
  ])("says %s", (_, update, expected) => {
    expect(updateSummary(update)).toContain(expected);
  });

  it("marks what failed", () => {
    const changes = [{ name: "x|y", type: "t", op: "update", failed: true }];
    expect(updateSummary({ ...common, outcome: "failed", changes })).toContain(
      "| x\\|y | t | update: **failed** |",
    );
  });
});

describe("the upkeep of a live image", () => {
  const now = new Date("2026-11-24T06:00:00Z");
  const days = (count: number) => new Date(now.getTime() + count * 24 * 60 * 60 * 1000).toISOString();
  const image = (publishedAt: string) =>
    ({
      arch: "x86_64",
      commit: "a".repeat(40),
      publishedAt,
      build: { runner: { version: "2.337.0" } },
    }) as unknown as Manifest;
  const until = (count: number | null): Usability => ({
    until: count === null ? null : new Date(days(count)),
    because: "GitHub says so",
  });

  it.each<[string, Manifest, Usability, RegExp[]]>([
    ["is nothing for a fresh one", image(days(-1)), until(null), []],
    ["is nothing after 30 days", image(days(-30)), until(null), []],
    ["is due after 31 days", image(days(-31)), until(null), [/31 days old.*npm run pins/]],
    ["is nothing 8 days before the runner's end", image(days(-1)), until(8), []],
    [
      "is due 7 days before it",
      image(days(-1)),
      until(7),
      [/usable until 2026-12-01 \(GitHub says so\).*pins/],
    ],
    ["is due after it", image(days(-1)), until(-2), [/no more jobs since 2026-11-22/]],
    ["is both where both are due", image(days(-40)), until(1), [/40 days old/, /usable until/]],
  ])("%s", (_, found, usability, expected) => {
    const due = upkeepDue(found, usability, now);
    expect(due).toHaveLength(expected.length);
    expected.forEach((pattern, index) => expect(due[index]).toMatch(pattern));
  });

  it.each<[number, string, { drift: boolean; blind: string[] }]>([
    [0, "fine", { drift: false, blind: [] }],
    [7, "~ bucket", { drift: true, blind: [] }],
    [
      1,
      "\nerror: no credentials\nmore",
      { drift: false, blind: ["pulumi preview ended with 1: no credentials"] },
    ],
    [130, "", { drift: false, blind: ["pulumi preview ended with 130: see the log"] }],
  ])("takes exit code %s of the preview for what it is", (exitCode, text, expected) => {
    const { drift, blind } = judgePreview(exitCode, text);
    expect({ drift: drift !== null, blind }).toEqual(expected);
  });
});

describe("finish", () => {
  const pull: Circumstances = {
    event: "pull_request",
    isFork: false,
    isDependabot: false,
    hasPreviewRole: true,
  };
  const all = (
    changed: "true" | "false",
    results: Record<string, NeededJob["result"]>,
    lane: Lane = "ordinary",
  ) => {
    const names = ["changes", "check", "test", "preview", "comment", "image"];
    return Object.fromEntries(
      names.map((name): [string, NeededJob] => [
        name,
        { result: results[name] ?? "success", outputs: name === "changes" ? { image: changed, lane } : {} },
      ]),
    );
  };
  const skipped = (...names: string[]) => Object.fromEntries(names.map((name) => [name, "skipped" as const]));

  it.each<[string, boolean, Record<string, NeededJob>, Circumstances]>([
    ["all succeeded", true, all("true", {}), pull],
    ["image/ unchanged", true, all("false", skipped("image")), pull],
    ["image/ changed, and not built", false, all("true", skipped("image")), pull],
    [
      "nobody knows whether image/ changed",
      false,
      all("false", { changes: "failure", image: "skipped" }),
      pull,
    ],
    ["a failed test", false, all("false", { test: "failure", image: "skipped" }), pull],
    ["a cancelled check", false, all("true", { check: "cancelled" }), pull],
    ["a skipped check", false, all("true", skipped("check")), pull],
    ["a skipped test", false, all("true", skipped("test")), pull],
    ["a rollback without a test", true, all("false", skipped("test", "image"), "rollback"), pull],
    [
      "a rollback with a failed check",
      false,
      all("false", { test: "skipped", check: "failure" }, "rollback"),
      pull,
    ],
    [
      "a rollback whose preview failed",
      false,
      all("false", { test: "skipped", preview: "failure" }, "rollback"),
      pull,
    ],
    ["a rollback with a test that failed", false, all("false", { test: "failure" }, "rollback"), pull],
    [
      "a rollback without preview and test, of a fork",
      false,
      all("false", skipped("test", "preview", "comment"), "rollback"),
      { ...pull, isFork: true },
    ],
    [
      "a rollback in the merge queue",
      true,
      all("false", skipped("test", "preview", "comment", "image"), "rollback"),
      { ...pull, event: "merge_group" },
    ],
    [
      "a pull request of Dependabot",
      true,
      all("true", skipped("preview", "comment")),
      { ...pull, isDependabot: true },
    ],
    ["a failed preview", false, all("true", { preview: "failure" }), pull],
    ["a failed preview in a fork", false, all("true", { preview: "failure" }), { ...pull, isFork: true }],
    [
      "a cancelled preview in a fork",
      false,
      all("true", { preview: "cancelled" }),
      { ...pull, isFork: true },
    ],
    ["a fork", true, all("true", skipped("preview", "comment")), { ...pull, isFork: true }],
    ["the preview skipped for no reason", false, all("true", skipped("preview", "comment")), pull],
    [
      "before the first deploy",
      true,
      all("true", skipped("preview", "comment")),
      { ...pull, hasPreviewRole: false },
    ],
    [
      "the merge queue",
      true,
      all("true", skipped("preview", "comment", "image")),
      { ...pull, event: "merge_group" },
    ],
    [
      "a failed test in the merge queue",
      false,
      all("true", { test: "failure" }),
      { ...pull, event: "merge_group" },
    ],
    [
      "a job nobody thought of, skipped",
      false,
      { ...all("true", {}), other: { result: "skipped", outputs: {} } },
      pull,
    ],
  ])("judges %s: %s", (_, passes, needs, circumstances) => {
    expect(judge(needs, circumstances).every(({ passed }) => passed)).toBe(passes);
  });

  it("says why a fork or Dependabot has no preview, and what to do", () => {
    const why = (more: Partial<Circumstances>) =>
      judge({ preview: { result: "skipped", outputs: {} } }, { ...pull, ...more })[0]!.why;
    expect(why({ isFork: true })).toMatch(/a fork gets no credentials; a maintainer can push the branch/);
    expect(why({ isDependabot: true })).toMatch(
      /Dependabot's pull requests get no credentials.*a maintainer can push/,
    );
  });
});

describe("the table of a new image", () => {
  const stages = { firmware: 2, kernel: 3, userspace: 6.34, runner: 1 };
  const figures = (commit: string, runnerStarted: number | null): ImageFigures => ({
    commit: commit.repeat(40),
    compressedBytes: 126_400_000,
    diskBytes: 470_000_000,
    boot: {
      timings: {
        fetch: 1,
        credentialFetched: 2,
        runnerStarted,
        poweredOff: 20.26,
        ...(runnerStarted === null ? {} : { stages }),
      },
      qemu: { version: "8", accelerator: "kvm" },
    },
  });

  it("shows it beside the live one", () => {
    const table = imageTable("ubuntu-x86_64", figures("a", 12.34), figures("b", null));
    expect(table).toContain("| commit | aaaaaaaaaaaa | bbbbbbbbbbbb |");
    expect(table).toContain("| download | 126 MB | 126 MB |");
    expect(table).toContain("| runner started after | 12.3 s | – |");
    expect(table).toContain("| of which, in s | firmware 2.0, kernel 3.0, userspace 6.3, runner 1.0 | – |");
  });

  it("says why there is none to compare with", () => {
    const table = imageTable("ubuntu-x86_64", figures("a", 12), "latest is not published there");
    expect(table).toContain("| powered off after | 20.3 s |");
    expect(table).toContain("The live image is not shown: latest is not published there");
  });
});

describe("texts for GitHub", () => {
  it.each([
    ["no fence", "a", "```"],
    ["a fence", "a\n```\nb", "````"],
    ["a longer fence", "`````", "``````"],
  ])("stay in their block, with %s in them", (_, text, fence) => {
    expect(codeBlock(text)).toBe(`${fence}\n${text}\n${fence}`);
  });

  it("fit into a comment, and keep their beginning and end", () => {
    const long = `first\n${"ä".repeat(100_000)}\nlast`;
    const short = codeBlock(long);
    expect(Buffer.byteLength(short)).toBeLessThan(65_000);
    expect(short).toMatch(/first/);
    expect(short).toMatch(/bytes left out[^]*last\n```$/);
    expect(shortened("short")).toBe("short");
  });

  it("cannot break a table", () => {
    expect(cell("a|b\n c")).toBe("a\\|b c");
  });
});
