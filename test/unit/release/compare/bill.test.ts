import { describe, expect, it } from "vitest";
import { bill, billOf, type PlannedMove } from "../../../../release/compare/bill.js";
import { claim, settle } from "../../../../release/pointer/promote.js";
import { calendarOf } from "../../../../release/pointer/runner-releases.js";
import { MemoryStore, publishInto, sha256 } from "../memory-store.js";
import { imageFacts } from "./image-facts.js";

const [a, b] = ["a".repeat(40), "b".repeat(40)] as const;
const now = new Date("2026-11-24T12:00:00Z");
const deb = (name: string, version: string) => ({ kind: "deb", name, version });
const old = [deb("curl", "8.14"), deb("docker.io", "26.1"), deb("nano", "8.4")];
const fresh = [deb("curl", "8.15"), deb("docker.io", "26.1"), deb("file", "5.46")];
const live = imageFacts(b, { components: fresh, runner: "2.338.0", publishedAt: "2026-11-20T09:00:00Z" });
const before = imageFacts(a, { components: old, until: "2026-11-28" });

const delta = (from: string, bytes: number) => ({
  from,
  base: { bytes: 1, sha256 },
  key: "a delta",
  bytes,
  sha256,
});

describe("the bill of a change", () => {
  const move: PlannedMove = { from: a, to: b, needsBuild: false, wasLive: null };

  it("reads as this for an image that is built", () => {
    expect(bill(move, [before], [live], now)).toEqual([
      "image aaaaaaaaaaaa → bbbbbbbbbbbb, which is built and booted",
      "packages and tools: 1 added, 1 removed, 1 changed (+ deb file 5.46, - deb nano 8.4, ~ deb curl 8.14 → 8.15)",
      "each host downloads 126 MB (x86_64), and has it within 60 s of the move, which waits for no build",
      "until when it can be used: runner 2.338.0, no end known (no runner newer than 2.338.0 is known yet)",
      "storage: nothing is added",
    ]);
  });

  it("reads as this for an image that is still to be built", () => {
    expect(bill({ ...move, needsBuild: true }, [before], [], now)).toEqual([
      "image aaaaaaaaaaaa → bbbbbbbbbbbb, which this update still has to build and to boot",
      "packages and tools: known once it is built",
      "each host downloads about as much as now, 126 MB (x86_64), or a delta as large as what it changes, and has it within 60 s of the move, after the build (the last one took 2m 2s with its boot test)",
      "until when it can be used: known once it is built (now: runner 2.337.0, usable until 2026-11-28 (a newer runner is out))",
      "storage: about 126 MB more, 0.003 US dollars a month in S3 Standard",
    ]);
  });

  it("reads as this for a rollback", () => {
    const back: PlannedMove = {
      from: b,
      to: a,
      needsBuild: false,
      wasLive: new Date("2026-11-12T10:00:00Z"),
    };
    expect(bill(back, [live], [before], now)).toEqual([
      "rollback: image bbbbbbbbbbbb → aaaaaaaaaaaa, which was published 12 days ago and went live last on 2026-11-12",
      "packages and tools: 1 back, 1 gone, 1 back to another version (+ deb nano 8.4, - deb file 5.46, ~ deb curl 8.15 → 8.14)",
      "each host downloads 126 MB (x86_64), and has it within 60 s of the move, which waits for no build",
      "until when it can be used: runner 2.337.0, usable until 2026-11-28 (a newer runner is out)",
      "storage: nothing is added",
    ]);
  });

  it("is five lines for the very first image too", () => {
    const first = { from: null, to: b, needsBuild: true, wasLive: null };
    expect(bill(first, [], [], now)).toEqual([
      "the first image bbbbbbbbbbbb, which this update still has to build and to boot",
      "packages and tools: nothing to compare with",
      "each host downloads an image of yet unknown size, and has it within 60 s of the move, after the build",
      "until when it can be used: known once it is built",
      "storage: one image more",
    ]);
  });

  it("says what a host with the live image downloads by a delta, and counts what deltas take", () => {
    const withDeltas = {
      ...live,
      manifest: { ...live.manifest, deltas: [delta(a, 240_000), delta("c".repeat(40), 26_000_000)] },
    };
    expect(bill(move, [before], [withDeltas], now)[2]).toMatch(
      /^each host downloads 126 MB \(x86_64\), by a delta 240 kB \(x86_64\), and/,
    );
    expect(bill({ ...move, from: "d".repeat(40) }, [before], [withDeltas], now)[2]).not.toContain("delta");
    const next = bill(
      { from: b, to: "e".repeat(40), needsBuild: true, wasLive: null },
      [withDeltas],
      [],
      now,
    );
    expect(next[4]).toMatch(/^storage: about 152 MB more/);
  });

  it("names six packages, and counts the others", () => {
    const many = Array.from({ length: 9 }, (_, index) => deb(`lib${index}`, "1"));
    const line = bill(move, [imageFacts(a)], [imageFacts(b, { components: many })], now)[1];
    expect(line).toMatch(/^packages and tools: 9 added \(\+ deb lib0 1, .*lib5 1, and 3 more\)$/);
  });

  it("tells once what is the same on each architecture, and each where they differ", () => {
    const arm = (facts: typeof live) => ({ ...facts, arch: "aarch64" as const });
    const same = bill(move, [before, arm(before)], [live, arm(live)], now);
    expect(same[1]).not.toContain("x86_64:");
    expect(same[2]).toContain("126 MB (x86_64) or 126 MB (aarch64)");
    const differing = bill(move, [before, arm(before)], [live, { ...arm(live), components: old }], now);
    expect(differing[1]).toMatch(/x86_64: 1 added.*; aarch64: the same$/);
  });

  it("says so where an image has no bill of materials", () => {
    const line = bill(move, [imageFacts(a, { components: null })], [live], now)[1];
    expect(line).toBe("packages and tools: not known, an image has no bill of materials");
  });
});

describe("the bill of what is stored", () => {
  const given = { architectures: ["x86_64" as const], calendar: calendarOf([]), now };
  const planned = { seq: 3, needsBuild: false, isFirst: false, warnings: [] };

  async function storeWithTwoMoves(): Promise<MemoryStore> {
    const store = new MemoryStore();
    for (const [index, commit] of [a, b].entries()) {
      publishInto(store, commit, "x86_64");
      await claim(store, { seq: index + 1, commit });
    }
    await settle(store);
    return store;
  }

  it("knows a rollback by the log", async () => {
    const store = await storeWithTwoMoves();
    const lines = await billOf(store, { ...planned, commit: a, from: b, isLive: false }, given);
    expect(lines[0]).toMatch(/^rollback: image b{12} → a{12}, which was published 23 days ago/);
  });

  it("is empty where hosts keep what they have", async () => {
    const store = await storeWithTwoMoves();
    expect(await billOf(store, { ...planned, commit: b, from: b, isLive: true }, given)).toEqual([]);
  });

  it("reads nothing of an image that is still to be built", async () => {
    const store = await storeWithTwoMoves();
    const next = { ...planned, commit: "c".repeat(40), from: b, isLive: false, needsBuild: true };
    expect((await billOf(store, next, given))[0]).toMatch(/still has to build/);
  });
});
