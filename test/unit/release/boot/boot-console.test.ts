import { appendFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  findDeath,
  ownLines,
  showsEmulationFault,
  watchConsole,
} from "../../../../release/boot/boot-console.js";
import { printable } from "../../../../release/process/progress.js";

describe("findDeath", () => {
  it.each([
    [
      "[    1.1] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\r\n[    1.2] CPU: 0",
      "kernel panic: VFS: Unable to mount root fs on unknown-block(0,0)",
    ],
    [
      "error: no such device: 3f2a.\r\nEntering rescue mode...\r\ngrub rescue> ",
      "boot loader stopped: grub rescue>",
    ],
    ["Booting from Hard Disk...\r\nNo bootable device.\r\n", "boot loader stopped: No bootable device"],
    [
      "ALERT!  UUID=3f2a does not exist.  Dropping to a shell!\r\n",
      "root file system not found: Dropping to a shell!",
    ],
    ["You are in emergency mode. After logging in", "systemd gave up: You are in emergency mode"],
  ])("sees in %j that the guest will not go on", (text, why) => {
    expect(findDeath(text)).toBe(why);
  });

  it.each([
    "",
    "Linux version 6.1.0 panic=30",
    "systemd[1]: Started emergency.target helper",
    // The line is not whole yet.
    "[    1.1] Kernel panic - not sync",
    "[    1.1] Kernel panic - not syncing: Attempted to ki",
  ])("sees nothing in %j", (text) => {
    expect(findDeath(text)).toBeNull();
  });

  it("makes one short printable line of it, whatever the guest wrote", () => {
    const why = findDeath(`Kernel panic - not syncing: \u001b[31m\u0000\u0007${"x".repeat(70_000)}\n`);
    expect(why).toBe(`kernel panic: ${"x".repeat(200)}`);
  });
});

describe("showsEmulationFault", () => {
  it.each([
    ["[    0.9] Oops: int3: 0000 [#1] PREEMPT SMP NOPTI\r\n[    0.9] CPU: 1", true],
    // The other CPU met the same; the first of the two is no longer in sight.
    [
      "[    3.4] Oops: int3: 0000 [#2] PREEMPT SMP NOPTI\r\n[    3.4] RIP: 0010:sched_clock_cpu+0x9/0x1d0",
      true,
    ],
    // Kernels before 6.10.
    ["[    0.9] int3: 0000 [#1] PREEMPT SMP PTI\r\n", true],
    [
      "[    0.9] Oops: Oops: 0002 [#1] PREEMPT SMP\r\n[    1.0] Kernel panic - not syncing: Fatal exception",
      false,
    ],
    ["[    0.9] int3 self-test passed", false],
  ])("of %j: %s", (text, shows) => {
    expect(showsEmulationFault(text)).toBe(shows);
  });
});

describe("ownLines", () => {
  it("are what the guest says of itself, without what is around it", () => {
    expect(ownLines("gha: one\r\n[  3.1] gha.sh[12]: gha: \u001b[1mtwo\u001b[0m\r\nlogin: ")).toEqual([
      "gha: one",
      "gha: two",
    ]);
    expect(ownLines("nothing of ours, gha-runner.service neither")).toEqual([]);
  });
});

describe("printable", () => {
  it("leaves neither control characters nor long text", () => {
    expect(printable("a\tb\r\nc\u009bd\u001b[2J")).toBe("a b c d");
    expect(printable("y".repeat(1000))).toHaveLength(200);
  });
});

describe("watchConsole", () => {
  let folder: string;
  let file: string;
  const watch = new AbortController();
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "console-test-"));
    file = path.join(folder, "console.log");
  });
  afterEach(async () => {
    await rm(folder, { recursive: true });
  });

  it("sees a panic that comes in two pieces, after garbage, in a file that is not there yet", async () => {
    const lines: string[] = [];
    let noteLine: () => void;
    const gotLine = new Promise<void>((resolve) => (noteLine = resolve));
    const why = watchConsole(
      file,
      (line) => {
        lines.push(line);
        noteLine();
      },
      watch.signal,
    );
    await writeFile(
      file,
      Buffer.concat([Buffer.alloc(300_000, 0xff), Buffer.from("\ngha: growing\nKernel pan")]),
    );
    await gotLine;
    await appendFile(file, "ic - not syncing: dead\n");
    expect(await why).toBe("kernel panic: dead");
    expect(lines).toContain("gha: growing");
  });
});
