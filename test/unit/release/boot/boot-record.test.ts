import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { ensureBooted, type BootTestRequest } from "../../../../release/boot/boot-record.js";
import { runBootTest } from "../../../../release/boot/boot-test.js";
import { keys } from "../../../../release/store/keys.js";
import type { BootRecord } from "../../../../release/store/records.js";
import { jsonText } from "../../../../release/store/store.js";
import { bootRecordOf, MemoryStore, publishInto } from "../memory-store.js";

vi.mock("../../../../release/boot/boot-test.js", () => ({ runBootTest: vi.fn() }));

const commit = "c".repeat(40);
const arch = "x86_64";
let folder: string;
let consoleLog: string;
let store: MemoryStore;
let request: BootTestRequest;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "runner-images-boot-"));
  consoleLog = path.join(folder, "console.log");
  await writeFile(consoleLog, "Linux\nKernel panic\n");
  store = new MemoryStore();
  publishInto(store, commit, arch);
  store.objects.delete(keys.bootRecord(commit, arch));
  request = {
    url: "http://127.0.0.1:9",
    commit,
    arch,
    accelerator: "auto",
    cacheDirectory: folder,
    logDirectory: folder,
    trust: null,
    timeoutMs: 1000,
  };
  vi.mocked(runBootTest).mockReset();
});
afterEach(() => rm(folder, { recursive: true }));

function guestWill(result: "passed" | "failed", startedAt = "2026-11-01T00:10:00.123Z"): void {
  const reason = result === "failed" ? "kernel panic" : null;
  const record = bootRecordOf(commit, arch, { result, reason, startedAt });
  vi.mocked(runBootTest).mockResolvedValueOnce({ record, consoleLog });
}

describe("a boot test", () => {
  it("is recorded when it passes, and not run again", async () => {
    guestWill("passed");
    const record = await ensureBooted(store, request);
    expect(JSON.parse(store.objects.get(keys.bootRecord(commit, arch))!)).toEqual(record);
    expect(await ensureBooted(store, request)).toEqual(record);
    expect(runBootTest).toHaveBeenCalledOnce();
  });

  it("fails with the reason and the console's end, and keeps a record of its own", async () => {
    guestWill("failed");
    await expect(ensureBooted(store, request)).rejects.toThrow(
      /^ubuntu-x86_64 of c+ failed its boot test: kernel panic \(console: .*\)\n {2}\| Linux\n {2}\| Kernel panic$/,
    );
    expect(store.objects.has(keys.bootRecord(commit, arch))).toBe(false);
    const failures = await store.list(`images/${commit}/ubuntu-x86_64.boot-failure-`);
    expect(failures).toEqual([keys.bootFailure(commit, arch, new Date("2026-11-01T00:10:00.123Z"))]);
  });

  it("may pass after it failed, each failure being kept", async () => {
    guestWill("failed", "2026-11-01T00:10:00Z");
    guestWill("failed", "2026-11-01T00:20:00Z");
    guestWill("passed");
    await expect(ensureBooted(store, request)).rejects.toThrow();
    await expect(ensureBooted(store, request)).rejects.toThrow();
    expect(await ensureBooted(store, request)).toMatchObject({ result: "passed" });
    expect(await store.list(`images/${commit}/ubuntu-x86_64.boot-failure-`)).toHaveLength(2);
  });

  describe("that another machine ran", () => {
    const file = () => path.join(folder, "records", commit, "ubuntu-x86_64.boot.json");
    const handOver = async (changes: Partial<BootRecord>) => {
      await mkdir(path.dirname(file()), { recursive: true });
      await writeFile(file(), jsonText(bootRecordOf(commit, arch, changes)));
    };
    const ensure = () => ensureBooted(store, { ...request, records: path.join(folder, "records") });
    afterEach(() => expect(runBootTest).not.toHaveBeenCalled());

    it("is recorded as if it had been run here", async () => {
      await handOver({});
      const record = await ensure();
      expect(record).toEqual(bootRecordOf(commit, arch));
      expect(JSON.parse(store.objects.get(keys.bootRecord(commit, arch))!)).toEqual(record);
    });

    it("fails with the reason, in one line whatever it says, and keeps a record of its own", async () => {
      await handOver({ result: "failed", reason: "kernel panic\n::error::x" });
      await expect(ensure()).rejects.toThrow(
        /^ubuntu-x86_64 of c+ failed its boot test: kernel panic ::error::x \(console: with the job that booted it\)$/,
      );
      expect(store.objects.has(keys.bootRecord(commit, arch))).toBe(false);
      expect(await store.list(`images/${commit}/ubuntu-x86_64.boot-failure-`)).toHaveLength(1);
    });

    it.each<[string, () => Promise<unknown>, RegExp]>([
      [
        "there is no record",
        () => Promise.resolve(),
        /^ubuntu-x86_64 of c+ is not booted on this machine \(BOOT_RECORDS is set\), and no boot record of it was handed over: run the deploy again, which boots it in a job of its own$/,
      ],
      [
        "it is of another disk",
        () => handOver({ diskSha256: "6".repeat(64) }),
        /^the boot record handed over for ubuntu-x86_64 of c+ is of another disk \(sha256 6+\) than what is published \(5+\): run the deploy again, which boots that$/,
      ],
    ])("is refused, and nothing booted, where %s", async (_, put, reason) => {
      await put();
      const before = [...store.objects.keys()];
      await expect(ensure()).rejects.toThrow(reason);
      expect([...store.objects.keys()]).toEqual(before);
    });

    it("is not asked for where the image passed before", async () => {
      store.objects.set(keys.bootRecord(commit, arch), jsonText(bootRecordOf(commit, arch)));
      expect(await ensure()).toMatchObject({ result: "passed" });
    });
  });

  it("is not run for what was never published", async () => {
    store.objects.delete(keys.manifest(commit, arch));
    await expect(ensureBooted(store, request)).rejects.toThrow(/is not published: run/);
    expect(runBootTest).not.toHaveBeenCalled();
  });
});
