import { availableParallelism } from "node:os";
import { mkdir, rm } from "node:fs/promises";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { resolveAccelerator } from "./accelerator.js";
import { awaited, checkBoot, findFailure, type Expected, type Outcome } from "./boot-checks.js";
import { findDeath, ownLines, readConsoleEnd, showsEmulationFault, watchConsole } from "./boot-console.js";
import { startBootService } from "./boot-service.js";
import { readStages, stagesText } from "./boot-stages.js";
import type { Trust } from "../attest/signer.js";
import { UserError } from "../process/errors.js";
import { fetchImage, fetchManifest } from "../host/fetch.js";
import { imageName, type Architecture } from "../store/keys.js";
import { exclusively } from "../process/lock.js";
import { printable, say, step } from "../process/progress.js";
import { createOverlay, qemuBinary, qemuVersion, startVm, writeCredential, type RunningVm } from "./qemu.js";
import type { AcceleratorChoice, BootRecord } from "../store/records.js";
import { cancellation } from "../process/run.js";
import { requireTools } from "../process/tools.js";

const gibibyte = 1024 ** 3;
/** What a VM is given here; bench/boot.ts gives the same. */
export const hardware = { cpus: Math.min(2, availableParallelism()), memoryMb: 2048 };
/** Its disk, in bytes, for an image of this size: so much more that growing has to show. */
export function vmDiskBytes(virtualSize: number): number {
  return Math.max(20 * gibibyte, virtualSize + 8 * gibibyte);
}

export interface BootTestOptions {
  /** Public base URL of the CDN. */
  url: string;
  commit: string;
  arch: Architecture;
  accelerator: AcceleratorChoice;
  /** Takes the image and the VM's disk while the test runs (`boot-test/<commit>-<arch>/`). */
  cacheDirectory: string;
  /** Keeps the console log: `<commit>-<arch>-console.log`. */
  logDirectory: string;
  /** How long the VM may run, from the start of QEMU. */
  timeoutMs: number;
  /** Whose word is taken on who built it, before it is booted; null: nobody's is asked for. */
  trust: Trust | null;
}

export interface BootTestResult {
  /** `result: "failed"` when the image is at fault. What this machine lacks is thrown instead. */
  record: BootRecord;
  /** Path of the whole console log, of which nothing is printed here. */
  consoleLog: string;
}

/**
 * Boots a published image from the bytes the CDN serves, as a VM host does: verified download, a larger disk, the
 * credential, one job, power-off. Then judges what the guest did and what it reported from inside. Where it was the emulation that failed,
 * it boots a second time, and that one counts.
 * @throws UserError when the test cannot be run here: tools missing, KVM demanded but not working, download impossible
 */
export async function runBootTest(options: BootTestOptions): Promise<BootTestResult> {
  const { url, commit, arch, cacheDirectory, trust } = options;
  await requireTools([qemuBinary(arch), "qemu-img", "zstd"]);
  const accelerator = await resolveAccelerator(options.accelerator, arch);
  const qemu = { version: await qemuVersion(arch), accelerator };
  const folder = path.resolve(cacheDirectory, "boot-test", `${commit}-${arch}`);
  return await exclusively(folder, `a boot test of ${imageName(arch)}`, async () => {
    const { build } = await fetchManifest({ url, commit, arch });
    const image = await fetchImage({ url, commit, arch, directory: folder, trust });
    // From here on nothing in the folder is worth keeping; before, it may be half of a download that can go on.
    try {
      const attempt = (): Promise<BootTestResult> => boot(options, { folder, image, build, qemu });
      const first = await attempt();
      if (first.record.result === "passed" || accelerator !== "tcg") return first;
      if (!showsEmulationFault(await readConsoleEnd(first.consoleLog))) return first;
      say(
        `a fault of QEMU ${qemu.version}'s emulation (int3) ended this boot, and not the image: booting once more`,
      );
      return await attempt();
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
}

interface Preparation {
  folder: string;
  image: Awaited<ReturnType<typeof fetchImage>>;
  build: Awaited<ReturnType<typeof fetchManifest>>["build"];
  qemu: BootRecord["qemu"];
}

async function boot(
  { commit, arch, logDirectory, timeoutMs }: BootTestOptions,
  { folder, image, build, qemu }: Preparation,
): Promise<BootTestResult> {
  const consoleLog = path.resolve(logDirectory, `${commit}-${arch}-console.log`);
  await mkdir(path.dirname(consoleLog), { recursive: true });
  await rm(consoleLog, { force: true });

  const expected: Expected = {
    commit,
    arch,
    runner: build.runner.kind,
    checksContents: build.profile !== undefined,
    diskBytes: vmDiskBytes(build.virtualSize),
  };
  const disk = path.join(folder, "disk.qcow2");
  await rm(disk, { force: true });
  await createOverlay(image.path, disk, expected.diskBytes);

  const service = await startBootService(expected.runner);
  try {
    const { seen } = service;
    const credentials = [
      await writeCredential(folder, "gha-jitconfig-url", service.jitConfigUrl),
      await writeCredential(folder, "gha-boot-report-url", service.reportUrl),
    ];
    const title = `boot ${imageName(arch)} (${qemu.accelerator})`;
    const startedAt = new Date();
    const outcome = await step(title, async (report) => {
      const vm = startVm({
        arch,
        accelerator: qemu.accelerator,
        ...hardware,
        disk,
        credentials,
        console: consoleLog,
        service: service.port,
      });
      if (expected.runner === "github") {
        const done = [service.runnerCalled, ...(expected.checksContents ? [service.contentsChecked] : [])];
        void Promise.all(done).then(vm.powerdown);
      }
      return await follow(vm, consoleLog, timeoutMs, (line) =>
        report(`waiting for ${awaited(expected, seen)}${line === null ? "" : `, console: ${line}`}`),
      );
    });
    const endedAt = new Date();

    const checks = checkBoot(expected, seen, outcome);
    const reason = findFailure(checks, expected, seen, outcome);
    const since = (date: Date | undefined | null): number | null =>
      date instanceof Date ? (date.getTime() - startedAt.getTime()) / 1000 : null;
    const record: BootRecord = {
      schema: 1,
      commit,
      arch,
      result: reason === null ? "passed" : "failed",
      reason,
      diskSha256: image.sha256,
      checks,
      timings: {
        fetch: image.seconds,
        credentialFetched: since(seen.credentialFetches[0]),
        runnerStarted: since(seen.runnerCall),
        poweredOff: outcome.kind === "ended" ? since(endedAt) : null,
        stages: readStages(startedAt, seen),
      },
      qemu,
      startedAt: startedAt.toISOString(),
    };
    // The end of the console is only the power-off: what led to it was said before.
    if (reason !== null)
      for (const line of ownLines(await readConsoleEnd(consoleLog)).slice(-10)) say(`in the guest: ${line}`);
    else say(`${imageName(arch)} passed its boot test: ${checks.length} checks${timeText(record)}`);
    return { record, consoleLog };
  } finally {
    await service.close();
  }
}

/** "; 12.1 s to the runner's first call (firmware 2.0, ...)" */
function timeText({ timings: { runnerStarted, stages } }: BootRecord): string {
  if (runnerStarted === null) return "";
  const detail = stages ? ` (${stagesText(stages)})` : "";
  return `; ${runnerStarted.toFixed(1)} s to the runner's first call${detail}`;
}

/**
 * Stays with a VM until it ends, shows that it is dead, or has had its time. When this returns, QEMU is gone.
 * @param progress is called now and then, with the last line of ours on the console
 */
async function follow(
  vm: RunningVm,
  consoleLog: string,
  timeoutMs: number,
  progress: (consoleLine: string | null) => void,
): Promise<Outcome> {
  const over = new AbortController();
  const stop = AbortSignal.any([over.signal, cancellation.signal]);
  let line: string | null = null;
  const ticker = setInterval(() => progress(line), 1_000);
  try {
    const outcome = await Promise.race([
      vm.ended.then((end): Outcome => ({ kind: "ended", end })),
      watchConsole(consoleLog, (text) => (line = text), stop).then((why): Outcome => ({ kind: "dead", why })),
      delay(timeoutMs, undefined, { signal: stop }).then((): Outcome => ({ kind: "timeout", timeoutMs })),
    ]).catch((error: unknown) => {
      if (cancellation.signal.aborted) throw new UserError("the boot test was cancelled");
      throw error;
    });
    return outcome.kind === "ended" ? await explain(outcome, consoleLog) : outcome;
  } finally {
    clearInterval(ticker);
    over.abort();
    await vm.kill();
  }
}

/** Looks for the cause of an end that is no power-off: it may have come between two looks at the console. */
async function explain(outcome: Outcome & { kind: "ended" }, consoleLog: string): Promise<Outcome> {
  const { reason, stderr } = outcome.end;
  if (reason === "guest-shutdown") return outcome;
  const text = await readConsoleEnd(consoleLog);
  // Nothing of the guest ran: that is not the image's fault.
  if (reason === null && text === "") throw new UserError(`QEMU does not start: ${printable(stderr)}`);
  const why = findDeath(text);
  return why === null ? outcome : { kind: "dead", why };
}
