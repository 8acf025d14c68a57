import { describe, expect, it } from "vitest";
import { keys } from "../../../../release/store/keys.js";
import { jsonText } from "../../../../release/store/store.js";
import { prove, runnerLimit } from "../../../../release/pointer/verify.js";
import { bootRecordOf, factsOf, manifestOf, MemoryStore, publishInto } from "../memory-store.js";

const commit = "c".repeat(40);
const arch = "x86_64";
const now = new Date("2026-11-20T00:00:00Z");

function published(): MemoryStore {
  const store = new MemoryStore();
  publishInto(store, commit, arch);
  return store;
}

describe("the proof that an image may go live", () => {
  it("has nothing to say of a complete, booted image", async () => {
    expect(await prove(published(), commit, [arch], now)).toEqual([]);
  });

  it("says of an unknown commit only that it was never published", async () => {
    expect(await prove(published(), "d".repeat(40), [arch, "aarch64"], now)).toEqual([
      `image ${"d".repeat(40)} was never published`,
    ]);
  });

  it("does not take a commit for published because another one is", async () => {
    const store = new MemoryStore();
    publishInto(store, "e".repeat(40), arch);
    expect(await prove(store, commit, [arch], now)).toEqual([`image ${commit} was never published`]);
  });

  it("misses an architecture", async () => {
    expect(await prove(published(), commit, [arch, "aarch64"], now)).toEqual([
      "aarch64: not published for this architecture",
    ]);
  });

  it.each([
    ["the manifest", keys.manifest(commit, arch), /^x86_64: publishing did not finish/],
    ["the disk", keys.disk(commit, arch), /^x86_64: .*\.qcow2\.zst is missing$/],
    ["the sha256", keys.diskSha256(commit, arch), /^x86_64: .*\.qcow2\.sha256 is missing$/],
    ["the boot record", keys.bootRecord(commit, arch), /^x86_64: not boot-tested yet$/],
  ])("misses %s", async (_, key, problem) => {
    const store = published();
    store.objects.delete(key);
    expect(await prove(store, commit, [arch], now)).toEqual([expect.stringMatching(problem)]);
  });

  it.each([
    ["a manifest that is not JSON", keys.manifest(commit, arch), "{", /not a valid manifest/],
    ["a manifest with a part left out", keys.manifest(commit, arch), "{}", /not a valid manifest/],
    [
      "another image's manifest",
      keys.manifest(commit, arch),
      jsonText(manifestOf("d".repeat(40), arch)),
      /not a valid manifest/,
    ],
    ["a disk of another size", keys.disk(commit, arch), "short", /has 5 bytes, the manifest says 17/],
    ["another sha256", keys.diskSha256(commit, arch), `${"6".repeat(64)}\n`, /differs from the manifest/],
    ["a sha256 in sha256sum's format", keys.diskSha256(commit, arch), `${"5".repeat(64)}  disk\n`, /differs/],
    ["a boot record that is not JSON", keys.bootRecord(commit, arch), "passed", /not a valid boot record/],
    [
      "a failed boot record",
      keys.bootRecord(commit, arch),
      jsonText(bootRecordOf(commit, arch, { result: "failed", reason: "kernel panic" })),
      /failed its boot test: kernel panic/,
    ],
    [
      "the boot record of another disk",
      keys.bootRecord(commit, arch),
      jsonText(bootRecordOf(commit, arch, { diskSha256: "6".repeat(64) })),
      /boot test was of another disk/,
    ],
    [
      "a runner that gets no more jobs",
      keys.manifest(commit, arch),
      jsonText(manifestOf(commit, arch, { supersededAt: "2026-10-01" })),
      /runner 2\.337\.0 gets no more jobs since 2026-10-31/,
    ],
  ])("finds %s", async (_, key, text, problem) => {
    const store = published();
    store.objects.set(key, text);
    expect(await prove(store, commit, [arch], now)).toEqual([expect.stringMatching(problem)]);
  });

  it("quotes the newest failure where no boot test passed", async () => {
    const store = published();
    store.objects.delete(keys.bootRecord(commit, arch));
    for (const [day, reason] of [
      ["02", "the first reason"],
      ["04", "the newest reason"],
      ["03", "the second reason"],
    ]) {
      const startedAt = `2026-11-${day}T00:00:00Z`;
      const record = bootRecordOf(commit, arch, { result: "failed", reason: reason!, startedAt });
      store.objects.set(keys.bootFailure(commit, arch, new Date(startedAt)), jsonText(record));
    }
    expect(await prove(store, commit, [arch], now)).toEqual([
      "x86_64: failed its boot test: the newest reason",
    ]);
  });

  it("forgets earlier failures once a boot test passed", async () => {
    const store = published();
    store.objects.set(
      keys.bootFailure(commit, arch, now),
      jsonText(bootRecordOf(commit, arch, { result: "failed", reason: "no" })),
    );
    expect(await prove(store, commit, [arch], now)).toEqual([]);
  });

  it("names every problem at once", async () => {
    const store = published();
    store.objects.delete(keys.disk(commit, arch));
    store.objects.delete(keys.bootRecord(commit, arch));
    expect(await prove(store, commit, [arch], now)).toHaveLength(2);
  });
});

describe("the age limit of a runner", () => {
  it.each([
    ["none while no newer release is known", null, null, null],
    ["30 days after a newer release", "2026-10-01", null, "2026-10-31"],
    ["its deprecation", null, "2026-10-15", "2026-10-15"],
    ["the earlier of both", "2026-10-01", "2026-10-15", "2026-10-15"],
    ["the earlier of both, the other way round", "2026-10-01", "2026-12-01", "2026-10-31"],
  ])("is %s", (_, supersededAt, deprecatedAt, limit) => {
    const { runner } = factsOf(arch, { supersededAt, deprecatedAt });
    expect(runnerLimit(runner)).toEqual(limit === null ? null : new Date(limit));
  });

  it("is reached at its first moment, not before", async () => {
    const store = published();
    const text = jsonText(manifestOf(commit, arch, { deprecatedAt: "2026-11-20" }));
    store.objects.set(keys.manifest(commit, arch), text);
    expect(await prove(store, commit, [arch], new Date("2026-11-19T23:59:59Z"))).toEqual([]);
    expect(await prove(store, commit, [arch], new Date("2026-11-20T00:00:00Z"))).toHaveLength(1);
  });
});
