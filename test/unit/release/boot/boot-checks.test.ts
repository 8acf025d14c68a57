import { describe, expect, it } from "vitest";
import {
  awaited,
  checkBoot,
  findFailure,
  type BootReport,
  type Expected,
  type Outcome,
} from "../../../../release/boot/boot-checks.js";
import type { Seen } from "../../../../release/boot/boot-service.js";
import type { VmEnd } from "../../../../release/boot/qemu.js";
import { bootReportOf } from "./boot-report.js";

const at = new Date("2026-01-01T00:00:00Z");
const expected: Expected = {
  commit: "a".repeat(40),
  arch: "x86_64",
  runner: "fixture",
  checksContents: true,
  diskBytes: 20e9,
};
const github: Expected = { ...expected, runner: "github" };

const report = bootReportOf();

function seen(changes: Partial<BootReport> = {}): Seen {
  return {
    credentialFetches: [at],
    runnerCall: at,
    jobResult: { at, exit: "0", output: "user=gha\n" },
    contents: [{ name: "jq", passed: true, seen: "jq-1.7" }],
    trespasses: [],
    report: { at, content: { ...report, ...changes } },
  };
}
const nothingSeen: Seen = {
  credentialFetches: [],
  runnerCall: null,
  jobResult: null,
  contents: null,
  trespasses: [],
  report: null,
};

function ended(changes: Partial<VmEnd> = {}): Outcome {
  const end = { reason: "guest-shutdown", exitCode: 0, signal: undefined, stderr: "", ...changes };
  return { kind: "ended", end };
}

function judge(given: { expected?: Expected; seen?: Seen; outcome?: Outcome } = {}): {
  failed: string[];
  reason: string | null;
} {
  const { expected: wanted = expected, seen: saw = seen(), outcome = ended() } = given;
  const checks = checkBoot(wanted, saw, outcome);
  return {
    failed: checks.filter(({ passed }) => !passed).map(({ name, seen }) => `${name}: ${seen}`),
    reason: findFailure(checks, wanted, saw, outcome),
  };
}

describe("a boot", () => {
  it("passes when the guest did all it should", () => {
    expect(judge()).toEqual({ failed: [], reason: null });
  });

  it("passes with an image of before, which does not say what the rules of a disk are about", () => {
    const saw = seen({ hygiene: undefined });
    const old = { ...expected, checksContents: false };
    expect(judge({ expected: old, seen: saw })).toEqual({ failed: [], reason: null });
    expect(checkBoot(old, saw, ended())).toContainEqual({
      name: "nothing that no image may hold",
      passed: true,
      seen: "not reported",
    });
  });

  it("fails where an image of today is silent about what the rules of a disk are about", () => {
    expect(judge({ seen: seen({ hygiene: undefined }) }).failed).toEqual([
      "nothing that no image may hold: not reported",
    ]);
  });

  it("fails where something was reached that the guest does not tell of", () => {
    const saw: Seen = { ...seen({}), trespasses: ["10.0.2.2:4711"] };
    expect(judge({ seen: saw }).failed).toEqual([
      "neither this machine nor the network can be reached: reached 10.0.2.2:4711",
    ]);
  });

  it("passes with an image of before, which does not try, where nothing was reached", () => {
    const old = { ...expected, checksContents: false };
    expect(judge({ expected: old, seen: seen({ reached: undefined }) })).toEqual({
      failed: [],
      reason: null,
    });
  });

  it("passes with the real runner when it called its service, though it was ended from outside", () => {
    const saw: Seen = { ...seen({ runnerExit: null }), jobResult: null };
    expect(judge({ expected: github, seen: saw })).toEqual({ failed: [], reason: null });
  });

  it.each<[string, Partial<BootReport>, string]>([
    [
      "the root file system did not grow",
      { rootBytes: 2e9 },
      "root file system fills the disk: 2000000000 of",
    ],
    ["the disk is not the one it was given", { diskBytes: 10e9 }, "root file system fills the disk"],
    ["there are no host keys", { hostKeys: [] }, "fresh SSH host keys: 0 keys"],
    [
      "a host key is the build's",
      { hostKeys: ["SHA256:new", "SHA256:build"] },
      "fresh SSH host keys: 2 keys, 1 of",
    ],
    ["the machine-id is the build's", { machineId: "2".repeat(32) }, "fresh machine-id: the build's"],
    ["the machine-id is empty", { machineId: "" }, "fresh machine-id: "],
    [
      "the guest reached this machine",
      { reached: ["10.0.2.2:4711"] },
      "neither this machine nor the network can be reached: reached 10.0.2.2:4711",
    ],
    [
      "the guest did not try to reach anything",
      { reached: undefined },
      "neither this machine nor the network can be reached: not tried",
    ],
    ["a unit failed", { failedUnits: ["a.service", "b.service"] }, "no failed units: a.service, b.service"],
    [
      "the runner started before the disk was grown",
      { unitOrder: { ...report.unitOrder, "gha-grow-root.service": 3_000_001 } },
      "units in order: disk grown 3000 ms",
    ],
    [
      "the runner started before the host keys were made",
      { unitOrder: { ...report.unitOrder, "gha-host-keys.service": 4_000_000 } },
      "units in order: disk grown 1000 ms, host keys 4000 ms, runner 3000 ms",
    ],
    [
      "a unit of ours never ran",
      { unitOrder: { ...report.unitOrder, "gha-grow-root.service": 0 } },
      "units in order: disk grown 0 ms",
    ],
    ["the build user is still there", { users: ["gha", "builder"] }, "build user is gone: gha, builder"],
    [
      "a timer waits, and a history was left",
      {
        hygiene: { ...report.hygiene!, timers: ["apt-daily.timer"], files: ["f 600 9 /gha/.bash_history"] },
      },
      "nothing that no image may hold: history /gha/.bash_history (tells what somebody did), timer apt-daily.timer (",
    ],
    [
      "the image is of another commit",
      { build: { ...report.build, commit: "b".repeat(40) } },
      `image is the one asked for: x86_64 of ${"b".repeat(40)}`,
    ],
    [
      "the image is of another architecture",
      { build: { ...report.build, arch: "aarch64" } },
      "image is the one asked for: aarch64 of",
    ],
  ])("fails one check, which is named in the reason, when %s", (_, changes, text) => {
    const { failed, reason } = judge({ seen: seen(changes) });
    expect(failed).toHaveLength(1);
    expect(failed[0]).toContain(text);
    expect(reason).toMatch(/^1 of 15 checks failed: /);
  });

  it.each<[string, { expected?: Expected; seen?: Seen; outcome?: Outcome }, RegExp]>([
    [
      "the credential was never fetched",
      { seen: nothingSeen },
      /^the VM powered off without fetching its credential$/,
    ],
    [
      "the credential was fetched twice",
      { seen: { ...seen(), credentialFetches: [at, at] } },
      /checks failed: credential fetched exactly once \(2 times\)/,
    ],
    [
      "it powered off before the job",
      { seen: { ...nothingSeen, credentialFetches: [at] } },
      /^the VM powered off too early, before the runner's request for its job$/,
    ],
    [
      "it powered off within the job",
      { seen: { ...seen(), jobResult: null } },
      /^the VM powered off too early, before the job's result$/,
    ],
    [
      "the job failed",
      { seen: { ...seen({ runnerExit: 3 }), jobResult: { at, exit: "3", output: "no\nspace\u0007" } } },
      /^the job exited with 3: no space$/,
    ],
    ["the runner failed", { seen: seen({ runnerExit: 1 }) }, /^the runner exited with 1$/],
    [
      "the job ran as root",
      { seen: { ...seen(), jobResult: { at, exit: "0", output: "user=root\n" } } },
      /job ran as gha and exited with 0 \(exit status 0, as root\)/,
    ],
    [
      "no report came",
      { seen: { ...seen(), report: null } },
      /^9 of 15 checks failed: boot report received \(none came\)|checks failed: boot report received \(none came\)/,
    ],
    [
      "the report is no JSON",
      { seen: { ...seen(), report: { at, content: undefined } } },
      /boot report received \(what came is not JSON\)/,
    ],
    [
      "the report lacks something",
      { seen: { ...seen(), report: { at, content: { ...report, users: undefined } } } },
      /boot report received \(not of its form: users\)/,
    ],
    ["it is dead", { outcome: { kind: "dead", why: "kernel panic: no init" } }, /^kernel panic: no init$/],
    [
      "its time was over",
      { seen: nothingSeen, outcome: { kind: "timeout", timeoutMs: 300_000 } },
      /^timed out after 300 s, waiting for the guest's fetch of its credential$/,
    ],
    [
      "QEMU was killed",
      { outcome: ended({ reason: null, exitCode: undefined, signal: "SIGKILL" }) },
      /^QEMU was ended by SIGKILL/,
    ],
    [
      "QEMU gave up",
      { outcome: ended({ reason: null, exitCode: 1, stderr: "warning\nqemu: out of memory\n" }) },
      /^QEMU exited with 1: qemu: out of memory$/,
    ],
    [
      "the guest restarts",
      { outcome: ended({ reason: "guest-reset" }) },
      /^the VM restarted instead of powering off$/,
    ],
    [
      "the real runner never called",
      { expected: github, seen: { ...nothingSeen, credentialFetches: [at] } },
      /^the VM powered off too early, before the runner's call to its service$/,
    ],
  ])("fails with one line that says why when %s", (_, given, message) => {
    const { reason } = judge(given);
    expect(reason).toMatch(message);
    expect(reason).not.toMatch(/[\r\n]/);
  });

  it("prints no long line, whatever the guest sends", () => {
    const long = "z".repeat(100_000);
    const saw = { ...seen({ failedUnits: [long], users: [long], machineId: long }) };
    saw.jobResult = { at, exit: long, output: `user=${long}` };
    const checks = checkBoot(expected, saw, ended());
    for (const { seen } of checks) expect(seen.length).toBeLessThanOrEqual(500);
    expect(findFailure(checks, expected, saw, ended())!.length).toBeLessThan(1_000);
  });
});

describe("the image's contents", () => {
  const answers = (contents: unknown) => judge({ seen: { ...seen(), contents } }).failed;

  it("all have to answer, and those that do not are named with what they said", () => {
    const jq = { name: "jq", passed: true, seen: "jq-1.7" };
    const docker = { name: "docker", passed: false, seen: "exit status 1: no daemon" };
    expect(answers([jq])).toEqual([]);
    expect(answers([jq, docker])).toEqual(["contents answer: docker (exit status 1: no daemon)"]);
  });

  it.each([
    ["nothing came", null, "nothing was said of them"],
    ["an empty list came", [], "not of its form"],
    ["something else came", "yes", "not of its form"],
  ])("fail the boot when %s", (_, contents, said) => {
    expect(answers(contents)).toEqual([`contents answer: ${said}`]);
  });

  it("are no question of images that were built before they checked themselves", () => {
    const old = { ...expected, checksContents: false };
    expect(judge({ expected: old, seen: { ...seen(), contents: null } }).failed).toEqual([]);
  });
});

describe("awaited", () => {
  it("names the next event at each point of a boot", () => {
    const steps: Partial<Seen>[] = [
      {},
      { credentialFetches: [at] },
      { runnerCall: at },
      { jobResult: seen().jobResult },
      { report: seen().report },
    ];
    let saw = nothingSeen;
    const names = steps.map((step) => awaited(expected, (saw = { ...saw, ...step })));
    expect(names).toEqual([
      "the guest's fetch of its credential",
      "the runner's request for its job",
      "the job's result",
      "the boot report",
      "the power-off",
    ]);
  });

  it("names the check of the contents, which a real runner is not powered off before", () => {
    const saw: Seen = { ...nothingSeen, credentialFetches: [at], runnerCall: at };
    expect(awaited(github, saw)).toBe("the check of its contents");
    expect(awaited({ ...github, checksContents: false }, saw)).toBe("the boot report");
  });
});
