import { describe, expect, it } from "vitest";
import type { Seen } from "../../../../release/boot/boot-service.js";
import { readStages, stagesText } from "../../../../release/boot/boot-stages.js";
import { bootReportOf } from "./boot-report.js";

const startedAt = new Date("2026-01-01T00:00:00Z");
const after = (seconds: number): Date => new Date(startedAt.getTime() + seconds * 1000);

/** The kernel starts 2 s after QEMU, systemd 3 s later, the runner's unit another 4 s later; it calls after 10.5 s. */
const unitOrder = {
  "gha-grow-root.service": 4_000_000,
  "gha-host-keys.service": 6_000_000,
  "gha-runner.service": 7_000_000,
};
const clock = { userspace: 3_000_000, report: 10_000_000 };
const reportAt = after(12);

function seen(changes: { content?: unknown; runnerCall?: Date | null } = {}): Seen {
  const { content = bootReportOf({ unitOrder, clock }), runnerCall = after(10.5) } = changes;
  return {
    credentialFetches: [],
    runnerCall,
    jobResult: null,
    contents: null,
    trespasses: [],
    report: { at: reportAt, content },
  };
}

describe("the stages of a boot", () => {
  it("lay the guest's clock on this machine's", () => {
    expect(readStages(startedAt, seen())).toEqual({ firmware: 2, kernel: 3, userspace: 4, runner: 1.5 });
  });

  it.each([9.001, 10.5, 11.999])("add up to the runner's first call after %d s", (call) => {
    const stages = readStages(startedAt, seen({ runnerCall: after(call) }));
    expect(Object.values(stages!).reduce((sum, seconds) => sum + seconds)).toBeCloseTo(call, 9);
  });

  it.each<[string, Seen]>([
    ["no report came", { ...seen(), report: null }],
    ["the report is not of its form", seen({ content: { clock } })],
    ["the image is older than the clock in the report", seen({ content: bootReportOf({ unitOrder }) })],
    ["the runner never called", seen({ runnerCall: null })],
  ])("are not known where %s", (_, saw) => {
    expect(readStages(startedAt, saw)).toBeNull();
  });

  it.each<[string, Parameters<typeof bootReportOf>[0], Date?]>([
    ["the kernel before QEMU", { clock: { ...clock, report: 12_001_000 } }],
    ["the runner before systemd", { clock: { ...clock, userspace: 7_001_000 } }],
    ["the runner never", { unitOrder: { ...unitOrder, "gha-runner.service": 0 } }],
    ["the runner after its own call", {}, after(8.999)],
  ])("are not known where the clocks say that there was %s", (_, changes, runnerCall = after(10.5)) => {
    const content = bootReportOf({ unitOrder, clock, ...changes });
    expect(readStages(startedAt, seen({ content, runnerCall }))).toBeNull();
  });

  it("are told in one line", () => {
    expect(stagesText({ firmware: 2.04, kernel: 3, userspace: 14.26, runner: 0.5 })).toBe(
      "firmware 2.0, kernel 3.0, userspace 14.3, runner 0.5",
    );
  });
});
