import { createHash, generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { keySigner, parseSigner } from "../../../../release/attest/signer.js";
import { keys, type Architecture } from "../../../../release/store/keys.js";
import { jsonText } from "../../../../release/store/store.js";
import { DamagedError } from "../../../../release/store/store-errors.js";
import { calendarOf, type RunnerRelease } from "../../../../release/pointer/runner-releases.js";
import { prove } from "../../../../release/pointer/verify.js";
import type { Delta } from "../../../../release/store/records.js";
import { bootRecordOf, manifestOf, MemoryStore, publishInto, sha256 } from "../memory-store.js";

const commit = "c".repeat(40);
const arch = "x86_64";
const now = new Date("2026-11-20T00:00:00Z");
const calendar = calendarOf([]);

/** What stands in the way of an image. */
async function problemsOf(
  store: MemoryStore,
  of: string,
  architectures: readonly Architecture[],
): Promise<string[]> {
  return (await prove(store, of, architectures, { calendar, trust: null, now })).problems;
}

function published(): MemoryStore {
  const store = new MemoryStore();
  publishInto(store, commit, arch);
  return store;
}

/** Published with a bill of materials, of which the manifest knows the sha256. */
function publishedWithSbom(): MemoryStore {
  const store = published();
  const key = keys.sbom(commit, arch);
  store.objects.set(key, "{}");
  const sbom = { key, bytes: 2, sha256: createHash("sha256").update("{}").digest("hex") };
  store.objects.set(keys.manifest(commit, arch), jsonText({ ...manifestOf(commit, arch), sbom }));
  return store;
}

describe("the proof that an image may go live", () => {
  it("takes a bill of materials for what the manifest says it is, and misses it", async () => {
    const store = publishedWithSbom();
    expect(await problemsOf(store, commit, [arch])).toEqual([]);
    store.objects.set(keys.sbom(commit, arch), "{ }");
    expect(await problemsOf(store, commit, [arch])).toEqual([
      expect.stringMatching(/\.cdx\.json differs from the manifest's sha256$/),
    ]);
    store.objects.delete(keys.sbom(commit, arch));
    expect(await problemsOf(store, commit, [arch])).toEqual([
      expect.stringMatching(/^x86_64: .*\.cdx\.json is missing$/),
    ]);
  });

  it("warns of a delta that is missing, or is another one, since hosts can do without", async () => {
    const store = published();
    const [one, other] = ["1", "2"].map((digit) => ({
      from: digit.repeat(40),
      base: { bytes: 1, sha256 },
      key: keys.delta(commit, arch, digit.repeat(40), sha256),
      bytes: 5,
      sha256,
    })) as [Delta, Delta];
    store.objects.set(
      keys.manifest(commit, arch),
      jsonText({ ...manifestOf(commit, arch), deltas: [one, other] }),
    );
    for (const { key } of [one, other]) store.objects.set(key, "delta");
    const look = () => prove(store, commit, [arch], { calendar, trust: null, now });
    expect(await look()).toMatchObject({ problems: [], warnings: [] });
    store.objects.delete(one.key);
    store.objects.set(other.key, "another one");
    expect(await look()).toMatchObject({
      problems: [],
      warnings: [
        `x86_64: ${one.key} is missing: hosts with ${one.from} download the whole disk`,
        `x86_64: ${other.key} is not what was published: hosts with ${other.from} download the whole disk`,
      ],
    });
  });

  it("takes an image of nobody known for good where it is published: to build it again would not help", async () => {
    const trust = {
      signer: parseSigner(keySigner(generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey))!,
      unsignedUntil: null,
    };
    const proof = await prove(published(), commit, [arch], { calendar, trust, now });
    expect(proof.problems).toEqual([
      expect.stringMatching(/^x86_64: images\/c+\/.*\.sigstore\.json is missing: nothing says that key:/),
    ]);
    expect(proof.lasting).toEqual(proof.problems);
    expect(proof.origins).toEqual(["ubuntu-x86_64: signed by nobody"]);
  });

  it("has nothing to say of a complete, booted image", async () => {
    expect(await problemsOf(published(), commit, [arch])).toEqual([]);
  });

  it("says of an unknown commit only that it was never published", async () => {
    expect(await problemsOf(published(), "d".repeat(40), [arch, "aarch64"])).toEqual([
      `image ${"d".repeat(40)} was never published`,
    ]);
  });

  it("says of an image that was removed when, and that nothing brings it back", async () => {
    const removed = "d".repeat(40);
    const store = published();
    for (const month of ["04", "05"])
      store.objects.set(keys.pruned(removed, new Date(`2026-${month}-01T00:00:00Z`)), "{}");
    // What a killed removal left.
    store.objects.set(keys.disk(removed, arch), "a disk");
    const text = `image ${removed} was removed on 2026-05-01, and its name is used up, since caches keep what they got of it`;
    expect(await prove(store, removed, [arch], { calendar, trust: null, now })).toMatchObject({
      problems: [text],
      lasting: [text],
    });
    expect(await problemsOf(store, commit, [arch])).toEqual([]);
  });

  it("does not take a commit for published because another one is", async () => {
    const store = new MemoryStore();
    publishInto(store, "e".repeat(40), arch);
    expect(await problemsOf(store, commit, [arch])).toEqual([`image ${commit} was never published`]);
  });

  it("misses an architecture", async () => {
    expect(await problemsOf(published(), commit, [arch, "aarch64"])).toEqual([
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
    expect(await problemsOf(store, commit, [arch])).toEqual([expect.stringMatching(problem)]);
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
    [
      "a disk of the same size",
      keys.disk(commit, arch),
      "a compressed risk",
      /qcow2\.zst is not what was published: its CRC32 is .{6}==, the manifest says .{6}==$/,
    ],
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
  ])("finds %s", async (_, key, text, problem) => {
    const store = published();
    store.objects.set(key, text);
    expect(await problemsOf(store, commit, [arch])).toEqual([expect.stringMatching(problem)]);
  });

  it.each([
    ["archived", { archive: "GLACIER" }, /\.zst is archived \(GLACIER\), and hosts cannot read it/],
    ["encoded", { encoding: "gzip" }, /\.zst has the Content-Encoding gzip, and hosts expect none/],
    [
      "stored with another kind of checksum",
      { crc32: null },
      /\.zst is not what was published: its CRC32 is not known/,
    ],
  ])("finds a disk that is %s", async (_, facts, problem) => {
    const store = published();
    store.facts.set(keys.disk(commit, arch), facts);
    expect(await problemsOf(store, commit, [arch])).toEqual([expect.stringMatching(problem)]);
  });

  it("takes what is wrong with a published image for lasting, and not that it was not booted", async () => {
    const store = published();
    store.objects.set(keys.diskSha256(commit, arch), "");
    store.objects.delete(keys.bootRecord(commit, arch));
    const { problems, lasting } = await prove(store, commit, [arch], { calendar, trust: null, now });
    expect(problems).toHaveLength(2);
    expect(lasting).toEqual([expect.stringMatching(/\.qcow2\.sha256 differs from the manifest/)]);
  });

  it.each([
    ["the manifest", keys.manifest(commit, arch)],
    ["the sha256", keys.diskSha256(commit, arch)],
    ["the bill of materials", keys.sbom(commit, arch)],
    ["the boot record", keys.bootRecord(commit, arch)],
  ])("names %s where that cannot be read any more, and knows it for lasting", async (_, key) => {
    const store = publishedWithSbom();
    const get = store.get.bind(store);
    store.get = (wanted) =>
      wanted === key ? Promise.reject(new DamagedError(`${key} is damaged`)) : get(wanted);
    const { problems, lasting } = await prove(store, commit, [arch], { calendar, trust: null, now });
    expect(problems).toEqual([`x86_64: ${key} is damaged`]);
    expect(lasting).toEqual(problems);
  });

  it("goes by its size for a disk whose manifest is older than CRC32s, and says what that does not show", async () => {
    const store = published();
    const { crc32, ...compressed } = manifestOf(commit, arch).compressed;
    store.objects.set(keys.manifest(commit, arch), jsonText({ ...manifestOf(commit, arch), compressed }));
    store.facts.set(keys.disk(commit, arch), { crc32: crc32!.toLowerCase() });
    const { problems, unproven } = await prove(store, commit, [arch], { calendar, trust: null, now });
    expect(problems).toEqual([]);
    expect(unproven).toEqual([expect.stringMatching(/^x86_64: its manifest has no CRC32.*verify --deep/)]);
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
    expect(await problemsOf(store, commit, [arch])).toEqual([
      "x86_64: failed its boot test: the newest reason",
    ]);
  });

  it("forgets earlier failures once a boot test passed", async () => {
    const store = published();
    store.objects.set(
      keys.bootFailure(commit, arch, now),
      jsonText(bootRecordOf(commit, arch, { result: "failed", reason: "no" })),
    );
    expect(await problemsOf(store, commit, [arch])).toEqual([]);
  });

  it("names every problem at once", async () => {
    const store = published();
    store.objects.delete(keys.disk(commit, arch));
    store.objects.delete(keys.bootRecord(commit, arch));
    expect(await problemsOf(store, commit, [arch])).toHaveLength(2);
  });
});

describe("the proof's word on the runner", () => {
  const at = (time: string, releases: RunnerRelease[]) =>
    prove(published(), commit, [arch], { calendar: calendarOf(releases), trust: null, now: new Date(time) });
  const newer = (releasedAt: string) => [{ version: "2.338.0", releasedAt, deprecatedAt: null }];

  it("changes when a newer release becomes known, for an image that was published before", async () => {
    expect(await at("2026-11-20T00:00:00Z", [])).toEqual({
      problems: [],
      lasting: [],
      warnings: [],
      unproven: [],
      origins: [],
    });
    const { problems, lasting } = await at("2026-11-20T00:00:00Z", newer("2026-10-06"));
    expect(problems).toEqual([
      "x86_64: its runner 2.337.0: gets no more jobs since 2026-11-05 (runner 2.338.0 is out since 2026-10-06): build an image with a newer runner (npm run pins)",
    ]);
    expect(lasting).toEqual(problems);
  });

  it("is a problem from the first moment without jobs, and a warning in the seven days before", async () => {
    const found = async (time: string) => {
      const { problems, warnings } = await at(time, newer("2026-10-06"));
      return [problems.length, warnings.length];
    };
    expect(await found("2026-10-28T23:59:59Z")).toEqual([0, 0]);
    expect(await found("2026-10-29T00:00:00Z")).toEqual([0, 1]);
    expect(await found("2026-11-04T23:59:59Z")).toEqual([0, 1]);
    expect(await found("2026-11-05T00:00:00Z")).toEqual([1, 0]);
  });

  it("is a refusal on a machine whose clock is behind a release", async () => {
    expect((await at("2026-10-05T23:59:59Z", newer("2026-10-06"))).problems).toEqual([
      expect.stringMatching(/clock says 2026-10-05, before the runner release of 2026-10-06.*set the clock/),
    ]);
    expect((await at("2026-10-06T00:00:00Z", newer("2026-10-06"))).problems).toEqual([]);
  });
});
