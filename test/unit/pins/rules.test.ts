import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { execa } from "execa";
import { describe, expect, it } from "vitest";
import { checkout } from "../../../local/paths.js";
import { actionPins, readPinned } from "../../../pins/pinned.js";
import { hashIn } from "../../../pins/publishers/checksums.js";
import { bySerial } from "../../../pins/publishers/ubuntu.js";
import { clockProblems } from "../../../pins/renew.js";
import { setAction, setJson, setReleases } from "../../../pins/rewrite.js";
import { ageInDays, table } from "../../../pins/table.js";
import { Publisher } from "../../../pins/web.js";

const now = new Date("2026-11-25T10:00:00Z");
const publisher = new Publisher("thing", {});
const commit = (digit: string) => digit.repeat(40);

describe("the pins of this checkout", () => {
  it("are all of the form that `npm run pins` renews", async () => {
    const { inputs, plugin, actions, releases } = await readPinned(checkout);
    expect(inputs.ubuntu.series).toMatch(/^[a-z]+$/);
    expect(inputs.tools.rust.x86_64).toHaveLength(3);
    expect(plugin).toMatch(/^\d/);
    expect(releases.map(({ version }) => version)).toContain(inputs.runner.version);
    const used = readdirSync(path.join(checkout, ".github", "workflows")).flatMap((name) => [
      ...readFileSync(path.join(checkout, ".github", "workflows", name), "utf8").matchAll(/uses: (.+)@/g),
    ]);
    expect(actions.map(({ action }) => action)).toEqual(
      [...new Set(used.map(([, action]) => action))].sort(),
    );
  });
});

describe("the keys of the publishers", () => {
  const folder = path.join(checkout, "pins", "keys");
  const documented = [
    ...readFileSync(path.join(folder, "README.md"), "utf8").matchAll(/^\| `(.+\.gpg)` .*`([0-9A-F]{40})`/gm),
  ].map(([, file, fingerprint]) => [file, fingerprint] as const);

  it("are those of the table, one in each file", () => {
    expect(documented.map(([file]) => file)).toEqual(
      readdirSync(folder)
        .filter((name) => name !== "README.md")
        .sort(),
    );
  });

  it.each(documented)("%s is the key %s", async (file, fingerprint) => {
    const { stdout } = await execa("gpg", ["--show-keys", "--with-colons", path.join(folder, file!)]);
    // The line of a fingerprint comes after that of its key.
    const lines = stdout.split("\n").map((line) => line.split(":"));
    const keys = lines.flatMap(([kind], index) => (kind === "pub" ? [lines[index + 1]![9]] : []));
    expect(keys).toEqual([fingerprint]);
  });
});

describe("the table", () => {
  it.each([
    ["2026-11-25", 0],
    ["2026-11-24", 1],
    ["2026-07-05", 143],
  ])("counts whole days from the beginning of %s: %s", (day, age) => {
    expect(ageInDays(day, now)).toBe(age);
  });

  it("is aligned, and tells what is the newest, what is new, and what is of unknown age", () => {
    const of = (what: string, old: string, newest: string, day: string | null) => ({
      ...{ what, edits: [] },
      pinned: { name: old, day },
      newest: { name: newest, day: "2026-11-24" },
    });
    expect(
      table(
        [of("short", "1.0.0", "1.0.0", "2026-11-24"), of("a longer one", "9", "10.0.0", null)],
        now,
      ).split("\n"),
    ).toEqual([
      "short         1.0.0 (2026-11-24, 1 day old)   is the newest",
      "a longer one  9 (of unknown age)            → 10.0.0 (2026-11-24, 1 day old)",
    ]);
  });
});

describe("the order of serials", () => {
  it.each([
    ["20260705", "20260706", -1],
    ["20260705.1", "20260705", 1],
    ["20260705.10", "20260705.9", 1],
    ["20261001", "20260930.5", 1],
    ["20260705", "20260705", 0],
  ])("%s to %s is %s", (one, other, sign) => {
    expect(Math.sign(bySerial(one, other))).toBe(sign);
  });
});

describe("a clock", () => {
  const at = (day: string) => ({ name: "1.2.3", day });
  it.each([
    ["that is right is no problem", "2026-11-20", "2026-11-24", 0],
    ["is right on the day of a release", "2026-11-20", "2026-11-25", 0],
    ["behind what was published is wrong", "2026-11-20", "2026-11-26", 1],
    ["behind what is pinned is wrong", "2026-11-26", "2026-11-20", 1],
    ["is named once where it is behind both", "2026-11-26", "2026-11-27", 1],
  ])("%s", (_, pinned, newest, problems) => {
    expect(clockProblems({ what: "thing", pinned: at(pinned), newest: at(newest) }, now)).toHaveLength(
      problems,
    );
  });
});

describe("a list of checksums", () => {
  const hash = "a".repeat(64);
  it.each([
    ["as text", `${hash}  x.img\n${"b".repeat(64)}  y.img\n`],
    ["as binary", `${"b".repeat(64)} *other-x.img\n${hash} *x.img\n`],
    ["with the line ends of Windows", `${hash}  x.img\r\n`],
  ])("gives the one of a file, %s", (_, list) => {
    expect(hashIn(publisher, "list", list, "x.img")).toBe(hash);
  });

  it.each([
    ["that is not in it", `${hash}  xx.img\n`],
    ["that is in it twice", `${hash}  x.img\n${hash}  x.img\n`],
    ["without a whole hash", `${hash.slice(1)}  x.img\n`],
  ])("gives none of a file %s", (_, list) => {
    expect(() => hashIn(publisher, "list", list, "x.img")).toThrow(
      "thing: list: expected one line with the sha256 of x.img; look at it there",
    );
  });
});

describe("the actions of workflows", () => {
  const uses = (digit: string, version: string) =>
    `      - uses: actions/checkout@${commit(digit)} # v${version}\n`;

  it("are found wherever they are used, each once", () => {
    expect(
      actionPins([
        ["a.yml", uses("a", "1.2.3") + uses("a", "1.2.3")],
        ["b.yml", `        uses: own/one_x.y@${commit("b")} # v4.5.6\n${uses("a", "1.2.3")}`],
        ["c.yml", "      - uses: ./here\n"],
      ]),
    ).toEqual([
      { action: "actions/checkout", commit: commit("a"), version: "1.2.3", files: ["a.yml", "b.yml"] },
      { action: "own/one_x.y", commit: commit("b"), version: "4.5.6", files: ["b.yml"] },
    ]);
  });

  it.each([
    ["commits", uses("b", "1.2.3")],
    ["versions", uses("a", "1.2.4")],
  ])("are of one commit and version: two %s are refused", (_, other) => {
    expect(() =>
      actionPins([
        ["a.yml", uses("a", "1.2.3")],
        ["b.yml", other],
      ]),
    ).toThrow(/^b\.yml uses actions\/checkout@\S+ # v\S+, and a\.yml another: use one commit everywhere$/);
  });

  it("change with commit and version, and no other action does", () => {
    const pin = { action: "actions/checkout", commit: commit("a"), version: "1.2.3", files: [] };
    const others = `uses: x/actions/checkout@${commit("c")} # v1.2.3\n`;
    expect(setAction("a.yml", pin, commit("d"), "2.0.0").apply(uses("a", "1.2.3") + others)).toBe(
      uses("d", "2.0.0") + others,
    );
  });
});

describe("rewriting", () => {
  it("leaves all of a file as it is written, but for the value", () => {
    const text = '{\n  "a": {"b":   "old", "list": [ {"url": "x"} ]},\n\n  "kept": [1,2]\n}\n';
    expect(
      setJson("f", ["a", "list", 0, "url"], "y").apply(setJson("f", ["a", "b"], "new").apply(text)),
    ).toBe(text.replace("old", "new").replace('"x"', '"y"'));
  });

  it("writes the runner's releases as they are in this checkout", () => {
    const text = readFileSync(path.join(checkout, "pins", "runner-releases.json"), "utf8");
    const { releases } = JSON.parse(text) as { releases: Parameters<typeof setReleases>[1] };
    expect(setReleases("f", releases).apply("")).toBe(text);
  });
});
