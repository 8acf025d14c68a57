import { describe, expect, it } from "vitest";
import {
  contentsLines,
  diffContents,
  diffImages,
  diffMarkdown,
  diffText,
} from "../../../../release/compare/diff.js";
import { imageFacts } from "./image-facts.js";

const [a, b] = ["a".repeat(40), "b".repeat(40)] as const;
const deb = (name: string, version: string) => ({ kind: "deb", name, version });

describe("what differs between two disks", () => {
  it.each<[string, ReturnType<typeof deb>[], ReturnType<typeof deb>[], string[]]>([
    [
      "nothing where both have the same, in whatever order",
      [deb("a", "1"), deb("b", "1")],
      [deb("b", "1"), deb("a", "1")],
      [],
    ],
    ["what came", [deb("a", "1")], [deb("a", "1"), deb("b", "2")], ["+ deb b 2"]],
    ["what went", [deb("a", "1"), deb("b", "2")], [deb("a", "1")], ["- deb b 2"]],
    ["another version", [deb("a", "1")], [deb("a", "2")], ["~ deb a 1 → 2"]],
    [
      "one of two versions side by side",
      [deb("a", "1"), deb("a", "2")],
      [deb("a", "2"), deb("a", "3")],
      ["~ deb a 1 → 3"],
    ],
    ["a second version beside the first", [deb("a", "1")], [deb("a", "1"), deb("a", "2")], ["+ deb a 2"]],
  ])("is %s", (_, before, after, lines) => {
    expect(contentsLines(diffContents(before, after))).toEqual(lines);
  });

  it("tells a package from another kind's of the same name", () => {
    const found = diffContents([deb("six", "1")], [{ kind: "pypi", name: "six", version: "1" }]);
    expect(contentsLines(found)).toEqual(["+ pypi six 1", "- deb six 1"]);
  });
});

describe("the diff of two images", () => {
  const before = imageFacts(a, {
    components: [deb("curl", "8.14"), deb("docker.io", "26.1")],
    until: "2026-11-05",
  });
  const after = imageFacts(b, {
    components: [deb("curl", "8.15"), deb("docker.io", "26.1"), deb("file", "5.46")],
    compressedBytes: 127_000_000,
    bootSeconds: 18.25,
    stages: { firmware: 2, kernel: 3, userspace: 11.25, runner: 2 },
    runner: "2.338.0",
  });

  it("is text for a terminal", () => {
    expect(diffText(diffImages([before], [after], [a, b]))).toBe(
      [
        `x86_64  ${a} → ${b}`,
        "  download        126 MB → 127 MB",
        "  disk            474 MB (the same)",
        "  boot to runner  20.0 s → 18.3 s",
        "  boot stages, s  not known → firmware 2.0, kernel 3.0, userspace 11.3, runner 2.0",
        "  runner          github 2.337.0 → github 2.338.0",
        "  usable until    2026-11-05 → no end known",
        "  + deb file 5.46",
        "  ~ deb curl 8.14 → 8.15",
      ].join("\n"),
    );
  });

  it("is a table and a coloured list for a comment", () => {
    const text = diffMarkdown(diffImages([before], [after], [a, b]));
    expect(text).toContain("| runner | github 2.337.0 | github 2.338.0 |");
    expect(text).toContain("```diff\n+ deb file 5.46\n! deb curl 8.14 → 8.15\n```");
  });

  it("says so where an image has no bill of materials, and compares the rest", () => {
    const old = imageFacts(a, { components: null });
    const [diff] = diffImages([old], [after], [a, b]);
    expect(diff!.contents).toBeNull();
    expect(diffText([diff!])).toContain(
      "packages and tools: not known, one of the images has no bill of materials",
    );
    expect(diffText([diff!])).toContain("126 MB → 127 MB");
  });

  it("compares the architectures that both have, and refuses where there is none", () => {
    const other = { ...after, arch: "aarch64" as const };
    expect(diffImages([before], [after, other], [a, b]).map(({ arch }) => arch)).toEqual(["x86_64"]);
    expect(() => diffImages([before], [other], [a, b])).toThrow(
      `${a} (x86_64) and ${b} (aarch64) have no architecture in common`,
    );
    expect(() => diffImages([before], [], [a, b])).toThrow(`image ${b} was never published`);
  });
});
