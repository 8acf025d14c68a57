import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { documents, writeDocuments } from "../../../bench/document.js";
import { readKept, runBench, type Conditions, type Kept } from "../../../bench/keep.js";
import { brokenPromises, type BenchResult } from "../../../bench/result.js";
import { checkout } from "../../../local/paths.js";

const conditions: Conditions = {
  date: "2026-11-26",
  commit: "0123456789ab",
  machine: { cpu: "a processor", cores: 2, memoryGiB: 8, accelerator: "KVM", load: 0.5 },
  versions: { Node: "20.0.0" },
};

function result(atMost: number): BenchResult {
  return {
    name: "noop",
    title: "Nothing to do",
    about: "An update against <another> & `one`.",
    comparisons: [
      {
        title: "nothing to do",
        sides: [
          { name: "<theirs>", rounds: { seconds: [4, 2, 3], mebibytes: [100] } },
          { name: "`ours`", rounds: { seconds: [6, 5, 40], mebibytes: [200, 300, 100] } },
        ],
        promises: [
          { quantity: "seconds", of: "`ours`", by: "<theirs>", atMost },
          { quantity: "mebibytes", of: "`ours`", by: null, atMost: 300 },
        ],
      },
    ],
    notes: [],
  };
}

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "runner-images-bench-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

it("docs/benchmarks.md, its plots and the README's part are what the kept results give: npm run bench -- --report", async () => {
  const files = await documents(checkout);
  for (const [file, text] of files)
    expect(await readFile(path.join(checkout, file), "utf8"), file).toBe(text);
  const plots = (await readdir(path.join(checkout, "docs/benchmarks"))).filter((name) =>
    name.endsWith(".svg"),
  );
  expect(plots.map((name) => `docs/benchmarks/${name}`).sort()).toEqual(
    [...files.keys()].filter((file) => file.endsWith(".svg")).sort(),
  );
});

describe("of a result", () => {
  it.each([
    [2, []],
    [1.9, ["noop: nothing to do: seconds of `ours` / <theirs>: 2, promised: at most 1.9"]],
  ])("a promise of at most %d is held to the medians, and to the most of memory", (atMost, broken) => {
    expect(brokenPromises(result(atMost))).toEqual(broken);
  });

  it("a promise about what was not measured is a bug, and not kept silently", () => {
    const typo = result(2);
    typo.comparisons[0]!.promises[0]!.by = "theirs";
    expect(() => brokenPromises(typo)).toThrow(/theirs/);
  });
});

describe("the page", () => {
  const keep = async (result: BenchResult) => {
    await mkdir(path.join(folder, "docs/benchmarks"), { recursive: true });
    await writeFile(
      path.join(folder, "README.md"),
      "before\n<!-- benchmarks -->\nold\n<!-- end of the benchmarks -->\nafter\n",
    );
    await writeFile(
      path.join(folder, "docs/benchmarks/noop.json"),
      JSON.stringify({ conditions, result } satisfies Kept),
    );
  };
  const page = () => readFile(path.join(folder, "docs/benchmarks.md"), "utf8");

  it("shows figures with rounds and spread, machine, date and commit, and the plot", async () => {
    await keep(result(2));
    await writeDocuments(folder);
    const text = await page();
    expect(text).toMatch(/\| `ours` +\| 3 +\| 6 \(5–40\) +\| 300 \(100–300\) +\|/);
    expect(text).toMatch(/\| ratio: `ours` \/ <theirs> +\| +\| 2\.00 \(at most 2\) +\|/);
    expect(text).toContain("2026-11-26, commit 0123456789ab: a processor, 2 cores, 8 GiB, KVM, load 0.5");
    expect(text).toContain("](benchmarks/noop-1.svg)");
    const svg = await readFile(path.join(folder, "docs/benchmarks/noop-1.svg"), "utf8");
    expect(svg).toContain(">&lt;theirs&gt;</text>");
    expect(svg).toContain(">6 s</text>");
    const readme = await readFile(path.join(folder, "README.md"), "utf8");
    expect(readme).toMatch(/^before\n.*\| `ours`.*\(docs\/benchmarks\/noop-1\.svg\).*\nafter\n$/s);
    expect(readme).not.toContain("old");
  });

  it("keeps a pipeline in one cell", async () => {
    const piped = result(2);
    piped.comparisons[0]!.sides.push({ name: "`curl | zstd`", rounds: { seconds: [1] } });
    await keep(piped);
    await writeDocuments(folder);
    expect(await page()).toMatch(/^\| `curl \\\| zstd` +\| 1 +\| 1 +\| +\|$/m);
  });

  it("marks a broken promise", async () => {
    await keep(result(1.9));
    await writeDocuments(folder);
    expect(await page()).toContain("**2.00, broken: at most 1.9**");
  });

  it("names what was not measured, and loses the plots of what is not measured any more", async () => {
    await keep(result(2));
    await writeFile(path.join(folder, "docs/benchmarks/noop-2.svg"), "<svg/>");
    await writeDocuments(folder);
    expect(await page()).toMatch(/^Not measured on this state: .*`npm run bench -- boot`/m);
    expect(await readdir(path.join(folder, "docs/benchmarks"))).toEqual(["noop-1.svg", "noop.json"]);
  });

  it("is not written where the README has no place for its part", async () => {
    await keep(result(2));
    await writeFile(path.join(folder, "README.md"), "no marks\n");
    await expect(writeDocuments(folder)).rejects.toThrow(/README\.md/);
    await expect(page()).rejects.toThrow(/ENOENT/);
  });
});

describe("a bench", () => {
  const bench = async (text: string) => {
    await writeFile(path.join(folder, "package.json"), '{"type":"module"}');
    const file = path.join(folder, "noop.ts");
    await writeFile(file, text);
    return runBench(file, path.join(folder, "kept"), conditions);
  };
  const reporting = (result: BenchResult) =>
    `import { report } from ${JSON.stringify(path.join(checkout, "bench/result.ts"))};
     await report(${JSON.stringify(result)});`;

  it("has its result kept with where it was measured, and its broken promise told", async () => {
    expect(await bench(reporting(result(1.9)))).toEqual([
      expect.stringMatching(/^noop: nothing to do: seconds of .*: 2, promised: at most 1\.9$/),
    ]);
    expect(await readKept(path.join(folder, "kept"), "noop")).toEqual({ conditions, result: result(1.9) });
  });

  it.each([
    ["dies before it has one", "process.exit(3);", "noop: ended with 3"],
    ["is killed", 'process.kill(process.pid, "SIGKILL");', "noop: ended with SIGKILL"],
  ])("that %s leaves the result of before", async (_, text, line) => {
    await bench(reporting(result(2)));
    expect(await bench(text)).toEqual([line, "noop: gave no result; the one of before stays"]);
    expect((await readKept(path.join(folder, "kept"), "noop"))?.result).toEqual(result(2));
  });

  it("that is not known is refused before anything runs", async () => {
    const { exitCode, stderr } = await execa("node", ["--import", "tsx", "bench/run.ts", "noop", "speed"], {
      cwd: checkout,
      reject: false,
    });
    expect({ exitCode, stderr }).toEqual({
      exitCode: 2,
      stderr: expect.stringMatching(/^error: unknown bench speed \(allowed: publish, fetch, .*\)$/) as string,
    });
  });
});
