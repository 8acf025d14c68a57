import { readFile } from "node:fs/promises";
import path from "node:path";
import { execa } from "execa";
import picomatch from "picomatch";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { checkout } from "../../../local/paths.js";

interface Update {
  "package-ecosystem": string;
  directory?: string;
  directories?: string[];
  cooldown?: { "default-days"?: number };
  allow?: { "dependency-name": string; "dependency-type": string }[];
}

const read = (file: string) => readFile(path.join(checkout, file), "utf8");
const { updates } = parse(await read(".github/dependabot.yml")) as { updates: Update[] };
const files = (await execa("git", ["ls-files"], { cwd: checkout })).stdout.split("\n");

/** Which ecosystem reads a file of this name. */
const manifests: Record<string, RegExp> = {
  npm: /(^|\/)package\.json$/,
  "github-actions": /^\.github\/workflows\/.+\.yml$/,
  gomod: /(^|\/)go\.mod$/,
  pip: /(^|\/)requirements.*\.txt$/,
};

describe("Dependabot", () => {
  it.each(Object.entries(manifests))("looks after every manifest of %s", (ecosystem, pattern) => {
    const places = updates
      .filter((update) => update["package-ecosystem"] === ecosystem)
      .flatMap(({ directory, directories = [] }) => (directory === undefined ? directories : [directory]));
    const found = files.filter((file) => pattern.test(file));
    expect(found).not.toEqual([]);
    for (const file of found) {
      const folder = ecosystem === "github-actions" ? "/" : path.posix.join("/", path.dirname(file));
      expect(
        places.some((place) => picomatch.isMatch(folder, place)),
        file,
      ).toBe(true);
    }
  });

  it("proposes nothing that came out less than a week ago", () => {
    for (const { "package-ecosystem": ecosystem, cooldown } of updates)
      expect(cooldown?.["default-days"], ecosystem).toBeGreaterThanOrEqual(7);
  });

  it("is told of every tool that is built from its Go module, since Go calls those indirect", async () => {
    const { allow } = updates.find((update) => update["package-ecosystem"] === "gomod")!;
    const modules = await Promise.all(
      files
        .filter((file) => manifests["gomod"]!.test(file))
        .map(async (file) => {
          const text = await read(file);
          const [, tool] = /^tool (\S+)$/m.exec(text)!;
          const required = [...text.matchAll(/^\s+(\S+) v\S+/gm)].map(([, module]) => module!);
          return required
            .filter((module) => `${tool}/`.startsWith(`${module}/`))
            .sort()
            .at(-1);
        }),
    );
    expect(allow!.map((entry) => entry["dependency-name"])).toEqual(modules.sort());
    for (const entry of allow!) expect(entry["dependency-type"]).toBe("all");
  });
});
