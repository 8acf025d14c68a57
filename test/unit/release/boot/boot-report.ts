import type { BootReport } from "../../../../release/boot/boot-checks.js";

/** What a guest that did all it should says of itself. */
export function bootReportOf(changes: Partial<BootReport> = {}): BootReport {
  return {
    rootBytes: 19.5e9,
    diskBytes: 20e9,
    machineId: "1".repeat(32),
    hostKeys: ["SHA256:fresh"],
    failedUnits: [],
    unitOrder: {
      "gha-grow-root.service": 1_000_000,
      "gha-host-keys.service": 2_000_000,
      "gha-runner.service": 3_000_000,
    },
    build: { commit: "a".repeat(40), arch: "x86_64", machineId: "2".repeat(32), hostKeys: ["SHA256:build"] },
    runnerExit: 0,
    users: ["gha"],
    reached: [],
    hygiene: {
      passwd: "root:x:0:0:root:/root:/bin/bash\ngha:x:1000:1000::/gha:/bin/bash\n",
      shadow: "root:*:20000::::::\ngha:!:20000::::::\n",
      sudoers: [],
      timers: [],
      files: ["f 4755 72000 /usr/bin/su"],
    },
    ...changes,
  };
}
