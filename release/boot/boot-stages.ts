import { bootReport } from "./boot-checks.js";
import type { Seen } from "./boot-service.js";
import type { BootStages } from "../store/records.js";

/**
 * Where a boot's time went:
 *
 * - `firmware`: from the start of QEMU to the start of the kernel's clock: firmware, boot loader, and the kernel unpacking itself
 * - `kernel`: to the start of systemd; the initrd, in which no systemd runs, is in it
 * - `userspace`: to the start of `gha-runner.service`
 * - `runner`: to the runner's first call to its service; fetching its configuration is in it
 *
 * systemd tells of no firmware where that is a BIOS (systemd-analyze(1): "time"), so the guest's clock (CLOCK_MONOTONIC, 0 at the
 * start of the kernel) is laid on this machine's: the report says what the clock showed when it was made, and came just after. Making a
 * connection, some 10 ms, counts as `firmware`. Under emulation the guest's clock may run slow by some per cent where this machine is
 * busy, and what it loses counts as `firmware` too. The sum does not depend on the guest: it is from the start of QEMU to the call.
 *
 * @param startedAt when QEMU was started
 * @returns seconds; null where something of it is missing, or the clocks contradict each other
 */
export function readStages(startedAt: Date, { runnerCall, report }: Seen): BootStages | null {
  const parsed = bootReport.safeParse(report?.content);
  if (runnerCall === null || report === null || !parsed.success || parsed.data.clock === undefined)
    return null;
  const { clock, unitOrder } = parsed.data;
  // Milliseconds of this machine's clock.
  const kernelStart = report.at.getTime() - Math.round(clock.report / 1000);
  const userspaceStart = kernelStart + Math.round(clock.userspace / 1000);
  const runnerStart = kernelStart + Math.round(unitOrder["gha-runner.service"] / 1000);
  const seconds = (from: number, to: number): number => (to - from) / 1000;
  const stages = {
    firmware: seconds(startedAt.getTime(), kernelStart),
    kernel: seconds(kernelStart, userspaceStart),
    userspace: seconds(userspaceStart, runnerStart),
    runner: seconds(runnerStart, runnerCall.getTime()),
  };
  return Object.values(stages).every((stage) => stage >= 0) ? stages : null;
}

/** "firmware 2.1, kernel 3.0, userspace 5.2, runner 1.4": seconds. */
export function stagesText(stages: BootStages): string {
  return Object.entries(stages)
    .map(([name, seconds]) => `${name} ${seconds.toFixed(1)}`)
    .join(", ");
}
