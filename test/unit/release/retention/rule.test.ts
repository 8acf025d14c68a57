import { describe, expect, it } from "vitest";
import { goingLines, goingText, judge, planText, type Named } from "../../../../release/retention/rule.js";
import type { StoredImage } from "../../../../release/store/images.js";

const now = new Date("2026-11-26T12:00:00Z");
const retention = { images: 2, days: 90, moves: 3 };
const nobody: Named = { live: [], pinned: [], newest: "f".repeat(40), moved: [], channels: [] };

function image(name: string, age: number, isProven = true): StoredImage {
  const storedAt = new Date(now.getTime() - age * 24 * 60 * 60 * 1000);
  return { commit: name.repeat(40), bytes: 1_000_000, storedAt, isProven };
}
const old = image("a", 200);
/** Two proven ones that are newer than `old`, and old enough to go otherwise. */
const newer = [image("b", 150), image("c", 160)];

describe("an image", () => {
  it.each<[string, StoredImage[], Named, StoredImage, string]>([
    ["that is live", [old, ...newer], { ...nobody, live: [old.commit] }, old, "live"],
    ["that a stack is pinned to", [old, ...newer], { ...nobody, pinned: [old.commit] }, old, "pinned"],
    [
      "that image/ holds now",
      [old, ...newer],
      { ...nobody, newest: old.commit },
      old,
      "what image/ holds now",
    ],
    [
      "that one of the last moves names",
      [old, ...newer],
      { ...nobody, moved: [old.commit] },
      old,
      "named by one of the last moves",
    ],
    [
      "that a channel's hosts get",
      [old, ...newer],
      { ...nobody, channels: [{ channel: "canary", live: [old.commit], moved: [] }] },
      old,
      "live in the channel canary",
    ],
    [
      "that one of the last moves of a channel names",
      [old, ...newer],
      { ...nobody, channels: [{ channel: "canary", live: [], moved: [old.commit] }] },
      old,
      "named by one of the last moves of the channel canary",
    ],
    ["that is among the newest proven", [old, newer[0]!], nobody, old, "one of the 2 newest that are proven"],
    [
      "that is young",
      [image("d", 89, false), ...newer],
      nobody,
      image("d", 89, false),
      "89 days old, and 90 days are kept",
    ],
    [
      "of today",
      [image("d", 0.5, false)],
      nobody,
      image("d", 0.5, false),
      "0 days old, and 90 days are kept",
    ],
  ])("stays %s", (_, images, named, one, why) => {
    const verdict = judge(images, named, retention, now).find(({ image }) => image.commit === one.commit);
    expect(verdict).toMatchObject({ stays: true, why });
  });

  it.each<[string, StoredImage[], StoredImage, string]>([
    [
      "that nothing holds",
      [old, ...newer],
      old,
      "200 days old; 2 newer ones are proven, and 2 are kept; not live, not pinned, in none of the last 3 moves",
    ],
    [
      "that was never finished, and is not counted among the proven",
      [image("d", 90, false), old, newer[0]!],
      image("d", 90, false),
      "90 days old; never finished, or not booted; not live, not pinned, in none of the last 3 moves",
    ],
  ])("goes %s", (_, images, one, why) => {
    const verdicts = judge(images, nobody, retention, now);
    expect(verdicts.filter(({ stays }) => !stays)).toMatchObject([{ image: { commit: one.commit }, why }]);
  });

  it("is counted where it goes, and nothing is said where none does", () => {
    expect(goingText(judge([old, ...newer], nobody, retention, now))).toBe(
      "1 image (1 MB) that nothing holds any more",
    );
    expect(goingText(judge(newer, nobody, retention, now))).toBeNull();
  });

  it("has a line with its proof where it goes: so many, and how many more there are", () => {
    const older = ["1", "2", "3"].map((name, index) => image(name, 300 + index));
    const verdicts = judge([old, ...older, ...newer], nobody, retention, now);
    expect(goingLines(verdicts, 4).map((line) => line.slice(0, 8))).toEqual(
      ["a", "1", "2", "3"].map((name) => `goes  ${" "}${name}`),
    );
    expect(goingLines(verdicts, 2)).toEqual([
      expect.stringMatching(
        /^goes {3}a{40} {6}1 MB {2}200 days old; 2 newer ones are proven, and 2 are kept; not live, not pinned/,
      ),
      expect.stringMatching(/^goes {3}1{40}/),
      "and 2 more, which release prune lists",
    ]);
    expect(goingLines(judge(newer, nobody, retention, now), 2)).toEqual([]);
  });

  it("has its line, and the sum is told", () => {
    expect(planText(judge([old, ...newer], nobody, retention, now)).split("\n")).toEqual([
      expect.stringMatching(/^stays {2}b{40} {6}1 MB {2}one of the 2 newest/),
      expect.stringMatching(/^stays {2}c{40}/),
      expect.stringMatching(/^goes {3}a{40} {6}1 MB {2}200 days old; 2 newer/),
      "1 go (1 MB), 2 stay (2 MB)",
    ]);
  });
});
