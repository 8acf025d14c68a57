import { readFile } from "node:fs/promises";
import path from "node:path";
import { execa } from "execa";
import picomatch from "picomatch";
import { beforeAll, describe, expect, it } from "vitest";
import { checkout } from "../../../local/paths.js";

let lines: [pattern: string, owners: string[]][];
let files: string[];

beforeAll(async () => {
  const text = await readFile(path.join(checkout, ".github/CODEOWNERS"), "utf8");
  lines = text
    .split("\n")
    .filter((line) => line.trim() !== "" && !line.startsWith("#"))
    .map((line) => {
      const [pattern, ...owners] = line.trim().split(/\s+/);
      return [pattern!, owners];
    });
  files = (await execa("git", ["ls-files"], { cwd: checkout })).stdout.split("\n");
});

/** The owners of a file, as GitHub reads it: the last line that matches; `*` is everything, `/x/` all that is below, `/x*` at the root. */
function ownersOf(file: string): string[] {
  const found = lines.findLast(([pattern]) => {
    if (pattern === "*") return true;
    if (pattern.endsWith("/")) return `/${file}`.startsWith(pattern);
    return picomatch.isMatch(`/${file}`, pattern, { dot: true });
  });
  return found?.[1] ?? [];
}

describe("the code owners", () => {
  it("are written as GitHub reads them: @name or @organization/team", () => {
    for (const [pattern, owners] of lines) {
      expect(owners, pattern).not.toEqual([]);
      for (const owner of owners) expect(owner, pattern).toMatch(/^@[\w-]+(\/[\w-]+)?$/);
    }
  });

  it("are somebody for every file", () => {
    expect(files.length).toBeGreaterThan(100);
    expect(files.filter((file) => ownersOf(file).length === 0)).toEqual([]);
  });

  it.each(["/image/", "/components/policies/", "/.github/", "/Pulumi*.yaml"])(
    "of %s stay who they are when the rest is given to more people",
    (pattern) => {
      const place = lines.findIndex(([name]) => name === pattern);
      expect(place).toBeGreaterThan(lines.findIndex(([name]) => name === "*"));
      expect(files.some((file) => ownersOf(file) === lines[place]![1])).toBe(true);
    },
  );
});
