import { describe, expect, it } from "vitest";
import { renderSummary } from "../../../local/summary.js";
import type { Manifest } from "../../../release/store/records.js";

const latest = "a".repeat(40);
const manifest: Manifest = {
  schema: 1,
  commit: latest,
  arch: "x86_64",
  compressed: {
    key: `images/${latest}/ubuntu-x86_64.qcow2.zst`,
    bytes: 130_000_000,
    sha256: "b".repeat(64),
  },
  disk: { bytes: 489_000_000, sha256: "c".repeat(64) },
  build: {
    arch: "x86_64",
    base: { kind: "debian", name: "bookworm", sha256: "d".repeat(64) },
    runner: {
      kind: "fixture",
      version: "1",
      sha256: "e".repeat(64),
      releasedAt: "2026-01-01",
    },
    builder: { packer: "1.6.6", qemu: "7.2.0", accelerator: "tcg" },
    virtualSize: 2 ** 31,
    seconds: 100,
  },
  publishedAt: "2026-11-23T00:00:00Z",
};
const now = new Date("2026-11-24T00:00:00Z");
const summary = {
  latest,
  pinned: "",
  channels: {},
  url: "http://127.0.0.1:20002",
  images: [{ manifest, usability: { until: null, because: "nothing newer is known" } }],
  steps: [{ name: "set-up", ms: 250 }],
};

describe("the summary of npm start", () => {
  it("gives the live commit, the URLs hosts use, sizes, times and the way back", () => {
    const text = renderSummary(summary, now);
    expect(text).toContain(`live: ${latest} (the newest build)`);
    expect(text).toContain("http://127.0.0.1:20002/ (the page for people");
    expect(text).toContain("http://127.0.0.1:20002/latest\n");
    expect(text).toContain(`http://127.0.0.1:20002/images/${latest}/ubuntu-x86_64.qcow2.zst\n`);
    expect(text).toContain(`http://127.0.0.1:20002/images/${latest}/ubuntu-x86_64.qcow2.sha256\n`);
    expect(text).toContain("130 MB, unpacked 489 MB");
    expect(text).toContain("base debian, runner fixture");
    expect(text).toContain("no end known (nothing newer is known)");
    expect(text).toContain("set-up 250ms");
    expect(text).toContain("npm run pulumi -- config set latest <commit>");
  });

  it("says how to unpin when it is pinned", () => {
    const text = renderSummary({ ...summary, pinned: latest }, now);
    expect(text).toContain("(pinned)");
    expect(text).toContain("npm run pulumi -- config rm latest");
  });
});
