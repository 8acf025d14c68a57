import { z } from "zod";
import type { Seen } from "./boot-service.js";
import { guestFacts, judgeGuest } from "../inspect/guest.js";
import { summarize } from "../inspect/rules.js";
import { printable } from "../process/progress.js";
import { architectures, commitPattern, type Architecture } from "../store/keys.js";
import type { VmEnd } from "./qemu.js";
import type { BootRecord, Manifest } from "../store/records.js";

/** The account that runs jobs in the guest. */
const runnerUser = "gha";

const microseconds = z.number().nonnegative();

/** What the guest says of itself before it powers off (image/, /usr/lib/runner-image/boot-report). */
export const bootReport = z.object({
  /** Bytes: the root file system and the disk it is on. */
  rootBytes: z.number().positive(),
  diskBytes: z.number().positive(),
  machineId: z.string(),
  /** SHA256 fingerprints. */
  hostKeys: z.array(z.string()),
  failedUnits: z.array(z.string()),
  /** Since the start of the kernel: when the first two were finished and the runner was started. */
  unitOrder: z.object({
    "gha-grow-root.service": microseconds,
    "gha-host-keys.service": microseconds,
    "gha-runner.service": microseconds,
  }),
  /** Of the same clock: when systemd started, and when the report was made. Older images do not tell. */
  clock: z.object({ userspace: microseconds, report: microseconds }).optional(),
  /** What the image says of its build. */
  build: z.object({
    commit: z.string().regex(commitPattern),
    arch: z.enum(architectures),
    machineId: z.string(),
    hostKeys: z.array(z.string()),
  }),
  /** Exit status of the runner; null when it was ended from outside. */
  runnerExit: z.number().int().nullable(),
  /** Accounts with a login shell, the system's own left out. */
  users: z.array(z.string()),
  /** What the guest could reach and must not (`Seen.trespasses`), each as `<address>:<port>`. Older images do not try. */
  reached: z.array(z.string()).optional(),
  /** What the rules of a disk are about. Older images do not tell. */
  hygiene: guestFacts.optional(),
});
export type BootReport = z.infer<typeof bootReport>;

/** What the image's contents answered, each to its check (image/inputs.json, contents). */
const contentsReport = z
  .array(z.object({ name: z.string(), passed: z.boolean(), seen: z.string() }))
  .nonempty();

/** What a passed boot looks like. */
export interface Expected {
  commit: string;
  arch: Architecture;
  runner: Manifest["build"]["runner"]["kind"];
  /** Whether the image checks its own contents: those built before there were profiles do not. */
  checksContents: boolean;
  /** Size of the disk the VM was given. */
  diskBytes: number;
}

/** How the boot came to its end. */
export type Outcome =
  { kind: "ended"; end: VmEnd } | { kind: "dead"; why: string } | { kind: "timeout"; timeoutMs: number };

export type Check = BootRecord["checks"][number];

/** Every assertion about a boot, with what was seen. All of them are always there, in this order. */
export function checkBoot(expected: Expected, seen: Seen, outcome: Outcome): Check[] {
  const parsed = bootReport.safeParse(seen.report?.content);
  const report = parsed.success ? parsed.data : null;
  const inside = (name: string, judge: (report: BootReport) => [passed: boolean, seen: string]): Check =>
    report === null ? check(name, false, "no boot report") : check(name, ...judge(report));
  const fetches = seen.credentialFetches.length;

  return [
    check("credential fetched exactly once", fetches === 1, `${fetches} times`),
    expected.runner === "fixture" ? checkJob(seen) : checkCall(seen),
    check("boot report received", report !== null, report !== null ? "yes" : describeReport(seen, parsed)),
    inside("image is the one asked for", ({ build }) => [
      build.commit === expected.commit && build.arch === expected.arch,
      `${build.arch} of ${build.commit}`,
    ]),
    inside("runner exited with 0", ({ runnerExit }) => [
      // The real runner has no job to end with: it is ended by the power-off.
      runnerExit === 0 || expected.runner === "github",
      `exit status ${runnerExit}`,
    ]),
    inside("root file system fills the disk", ({ rootBytes, diskBytes }) => [
      // ext4 keeps about 2 % to itself; the rest of the margin is for boot partitions.
      diskBytes === expected.diskBytes && rootBytes > 0.9 * diskBytes,
      `${rootBytes} of ${diskBytes} bytes on a disk of ${expected.diskBytes}`,
    ]),
    inside("fresh SSH host keys", ({ hostKeys, build }) => [
      hostKeys.length > 0 && !hostKeys.some((key) => build.hostKeys.includes(key)),
      `${hostKeys.length} keys, ${hostKeys.filter((key) => build.hostKeys.includes(key)).length} of the build`,
    ]),
    inside("fresh machine-id", ({ machineId, build }) => [
      /^[0-9a-f]{32}$/.test(machineId) && machineId !== build.machineId,
      machineId === build.machineId ? "the build's" : machineId,
    ]),
    inside("no failed units", ({ failedUnits }) => [failedUnits.length === 0, list(failedUnits)]),
    inside("units in order", ({ unitOrder }) => {
      const grown = unitOrder["gha-grow-root.service"];
      const keys = unitOrder["gha-host-keys.service"];
      const runner = unitOrder["gha-runner.service"];
      const inOrder = grown > 0 && keys > 0 && grown <= runner && keys <= runner;
      return [inOrder, `disk grown ${ms(grown)}, host keys ${ms(keys)}, runner ${ms(runner)}`];
    }),
    ...(expected.checksContents ? [checkContents(seen)] : []),
    inside("build user is gone", ({ users }) => [users.every((user) => user === runnerUser), list(users)]),
    inside("neither this machine nor the network can be reached", ({ reached }) =>
      checkIsolation(reached, seen, expected),
    ),
    inside("nothing that no image may hold", ({ hygiene }) => checkHygiene(hygiene, expected)),
    check(
      expected.runner === "fixture" ? "powered off by itself" : "powered off when asked by ACPI",
      isPowerOff(outcome),
      describeOutcome(outcome),
    ),
  ];
}

/** One line: why the boot failed; null when it passed. The cause comes before what merely follows from it. */
export function findFailure(
  checks: Check[],
  expected: Expected,
  seen: Seen,
  outcome: Outcome,
): string | null {
  const fixture = expected.runner === "fixture";
  if (outcome.kind === "dead") return outcome.why;
  if (outcome.kind === "timeout")
    return `timed out after ${outcome.timeoutMs / 1000} s, waiting for ${awaited(expected, seen)}`;
  if (!isPowerOff(outcome)) return describeOutcome(outcome);
  if (seen.credentialFetches.length === 0) return "the VM powered off without fetching its credential";
  const report = bootReport.safeParse(seen.report?.content);
  if (fixture && seen.jobResult !== null && seen.jobResult.exit !== "0")
    return `the job exited with ${printable(seen.jobResult.exit)}: ${printable(seen.jobResult.output.slice(-200))}`;
  if (report.success && fixture && report.data.runnerExit !== 0)
    return `the runner exited with ${report.data.runnerExit}`;
  if (seen.runnerCall === null || (fixture && seen.jobResult === null))
    return `the VM powered off too early, before ${awaited(expected, seen)}`;
  const failed = checks.filter(({ passed }) => !passed);
  if (failed.length === 0) return null;
  return `${failed.length} of ${checks.length} checks failed: ${failed.map(({ name, seen }) => `${name} (${seen})`).join("; ")}`;
}

/** The event that comes next in a boot which goes well. */
export function awaited(
  { runner, checksContents }: Pick<Expected, "runner" | "checksContents">,
  seen: Seen,
): string {
  if (seen.credentialFetches.length === 0) return "the guest's fetch of its credential";
  if (seen.runnerCall === null)
    return runner === "fixture" ? "the runner's request for its job" : "the runner's call to its service";
  if (runner === "github" && checksContents && seen.contents === null) return "the check of its contents";
  if (runner === "fixture" && seen.jobResult === null) return "the job's result";
  if (seen.report === null) return "the boot report";
  return "the power-off";
}

function check(name: string, passed: boolean, seen: string): Check {
  return { name, passed, seen: seen.slice(0, 500) };
}

function checkJob({ jobResult }: Seen): Check {
  const user = jobResult === null ? undefined : /^user=(.*)$/m.exec(jobResult.output)?.[1];
  const passed = jobResult !== null && jobResult.exit === "0" && user === runnerUser;
  const text =
    jobResult === null
      ? "no result came"
      : `exit status ${printable(jobResult.exit)}, as ${user === undefined ? "nobody known" : printable(user)}`;
  return check(`job ran as ${runnerUser} and exited with 0`, passed, text);
}

/**
 * All that can be shown of the real runner without GitHub: that it starts, takes a configuration, and calls the
 * service named in it. Not shown: that GitHub accepts this release, that a job runs, and that the runner ends by
 * itself after one.
 */
function checkCall({ runnerCall }: Seen): Check {
  return check(
    "runner called its service",
    runnerCall !== null,
    runnerCall !== null ? "yes" : "no call came",
  );
}

function checkContents({ contents }: Seen): Check {
  const parsed = contentsReport.safeParse(contents);
  if (!parsed.success)
    return check(
      "contents answer",
      false,
      contents === null ? "nothing was said of them" : "not of its form",
    );
  const failed = parsed.data.filter(({ passed }) => !passed);
  const names = (failed.length > 0 ? failed : parsed.data).map(({ name, seen }) =>
    failed.length > 0 ? `${name} (${seen})` : name,
  );
  return check("contents answer", failed.length === 0, list(names));
}

/** The image's lint, once more after the job: what the disk did not have is not there in the guest either. */
function checkHygiene(
  hygiene: BootReport["hygiene"],
  { checksContents }: Expected,
): [passed: boolean, seen: string] {
  // Images that do not check their contents are of before there was such a report; of any other a silence is a finding.
  if (hygiene === undefined) return [!checksContents, "not reported"];
  const findings = judgeGuest(hygiene);
  return [findings.length === 0, findings.length === 0 ? "none" : printable(summarize(findings))];
}

/** The guest tells what it reached; a guest that does not tell is seen at the other end. */
function checkIsolation(
  reached: BootReport["reached"],
  { trespasses }: Seen,
  { checksContents }: Expected,
): [passed: boolean, seen: string] {
  if (reached === undefined && trespasses.length === 0) return [!checksContents, "not tried"];
  const all = [...new Set([...(reached ?? []), ...trespasses])];
  return [all.length === 0, all.length === 0 ? "tried" : `reached ${list(all)}`];
}

function describeReport(seen: Seen, parsed: z.ZodSafeParseResult<BootReport>): string {
  if (seen.report === null) return "none came";
  if (seen.report.content === undefined) return "what came is not JSON";
  return `not of its form: ${printable(parsed.error?.issues.map(({ path }) => path.join(".")).join(", ") ?? "")}`;
}

function isPowerOff(outcome: Outcome): boolean {
  return outcome.kind === "ended" && outcome.end.reason === "guest-shutdown" && outcome.end.exitCode === 0;
}

function describeOutcome(outcome: Outcome): string {
  if (outcome.kind === "dead") return outcome.why;
  if (outcome.kind === "timeout") return "still running when its time was over";
  const { reason, exitCode, signal, stderr } = outcome.end;
  if (isPowerOff(outcome)) return "yes";
  if (reason === "guest-reset") return "the VM restarted instead of powering off";
  const how = signal === undefined ? `exited with ${exitCode}` : `was ended by ${signal}`;
  return `QEMU ${how}: ${printable(stderr.trim().split("\n").at(-1) ?? "")}`;
}

function list(names: string[]): string {
  return names.length === 0 ? "none" : printable(names.join(", "));
}

function ms(microseconds: number): string {
  return `${Math.round(microseconds / 1000)} ms`;
}
