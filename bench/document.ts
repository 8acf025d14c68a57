/** docs/benchmarks.md, its plots and the README's part, from the results that are kept: nothing is measured here. */
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { format, resolveConfig } from "prettier";
import { benches, readKept, type Kept } from "./keep.js";
import { number, plot } from "./plot.js";
import { figure, judge, quantities, type Comparison, type Quantity } from "./result.js";

const page = "docs/benchmarks.md";
const plots = "docs/benchmarks";
const marked = /(?<=<!-- benchmarks -->\n).*(?=<!-- end of the benchmarks -->)/s;

/** @returns all files that are made from the results, path below the checkout and content */
export async function documents(root: string): Promise<Map<string, string>> {
  const all = await Promise.all(benches.map((name) => readKept(path.join(root, plots), name)));
  const kept = all.filter((each) => each !== undefined);
  const files = new Map<string, string>();
  const markdown = async (file: string, text: string) => {
    const filepath = path.join(root, file);
    files.set(file, await format(text, { ...(await resolveConfig(filepath)), filepath }));
  };
  await markdown(page, pageOf(kept));
  const readme = await readFile(path.join(root, "README.md"), "utf8");
  const parts = readme.split(marked);
  if (parts.length !== 2) throw new Error("README.md lacks the marks between which its benchmarks stand");
  await markdown("README.md", parts.join(readmePart(kept)));
  for (const { result } of kept)
    for (const [index, comparison] of result.comparisons.entries())
      files.set(plotFile(result.name, index), plot(comparison, quantitiesOf(comparison)[0]!));
  return files;
}

/** Writes them, and removes the plots of what is not measured any more. */
export async function writeDocuments(root: string): Promise<void> {
  const files = await documents(root);
  for (const name of await readdir(path.join(root, plots)))
    if (name.endsWith(".svg") && !files.has(`${plots}/${name}`)) await rm(path.join(root, plots, name));
  for (const [file, text] of files) await writeFile(path.join(root, file), text);
}

function pageOf(kept: Kept[]): string {
  const missing = benches.filter((name) => kept.every(({ result }) => result.name !== name));
  return [
    "# Benchmarks",
    "",
    "<!-- Written by `npm run bench` from docs/benchmarks/*.json: do not edit. -->",
    "",
    `\`npm run bench\` measures all of it again, \`npm run bench -- ${benches.slice(0, 2).join(" ")}\` a part, and \`npm run bench -- --report\` writes this page only. What is compared is measured in`,
    "turns on one machine. A figure is the median of the rounds (of memory: the most), in brackets the least and the most of them. A broken promise is in bold, and fails the command.",
    "S3 server and CDN are the local platform's: no figure here is of AWS's S3 or CloudFront.",
    "",
    ...kept.flatMap((each) => [...section(each), ""]),
    ...(missing.length === 0
      ? []
      : [`Not measured on this state: ${missing.map((name) => `\`npm run bench -- ${name}\``).join(", ")}.`]),
    "",
  ].join("\n");
}

function section({ conditions, result }: Kept): string[] {
  const { machine, versions } = conditions;
  return [
    `## ${result.title}`,
    "",
    result.about,
    ...result.comparisons.flatMap((comparison, index) => [
      "",
      ...table(comparison),
      "",
      image(comparison, path.posix.relative("docs", plotFile(result.name, index))),
    ]),
    "",
    ...result.notes.flatMap((note) => [note, ""]),
    `\`npm run bench -- ${result.name}\`, ${conditions.date}, commit ${conditions.commit}: ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.accelerator}, load ${machine.load} at its start;`,
    `${Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(", ")}.`,
  ];
}

/** The first table and its plot. */
function readmePart([first]: Kept[]): string {
  if (first === undefined) return `\nNothing was measured yet: \`npm run bench\`.\n\n`;
  const [comparison] = first.result.comparisons as [Comparison];
  return ["", ...table(comparison), "", image(comparison, plotFile(first.result.name, 0)), "", ""].join("\n");
}

function table(comparison: Comparison): string[] {
  const { title, sides, promises } = comparison;
  const columns = quantitiesOf(comparison);
  // A name may be a pipeline, and a table's cells end at a bar even within code.
  const row = (cells: (string | number)[]) =>
    `| ${cells.map((cell) => String(cell).replaceAll("|", String.raw`\|`)).join(" | ")} |`;
  const pairs = new Set(promises.map(({ of, by }) => JSON.stringify([of, by])));
  return [
    row([title, "rounds", ...columns.map((column) => quantities[column].heading)]),
    row(["---", "---", ...columns.map(() => "---")]),
    ...sides.map((side) =>
      row([
        side.name,
        Math.max(...Object.values(side.rounds).map((values) => values.length)),
        ...columns.map((column) => figureText(side.rounds[column], figure(side, column))),
      ]),
    ),
    ...[...pairs].map((pair) => {
      const [of, by] = JSON.parse(pair) as [string, string | null];
      const cells = columns.map((column) =>
        promises
          .filter((each) => each.of === of && each.by === by && each.quantity === column)
          .map((each) => promiseText(comparison, each))
          .join(", "),
      );
      return row([by === null ? `promised: ${of}` : `ratio: ${of} / ${by}`, "", ...cells]);
    }),
  ];
}

function figureText(rounds: number[] | undefined, value: number | undefined): string {
  if (rounds === undefined || value === undefined) return "";
  const spread =
    rounds.length === 1 ? "" : ` (${number(Math.min(...rounds))}–${number(Math.max(...rounds))})`;
  return number(value) + spread;
}

function promiseText(comparison: Comparison, promise: Comparison["promises"][number]): string {
  const { value, kept } = judge(comparison, promise);
  const text = promise.by === null ? number(value) : value.toFixed(value < 0.995 || value >= 1.005 ? 2 : 3);
  if (promise.atMost === null) return text;
  return kept ? `${text} (at most ${promise.atMost})` : `**${text}, broken: at most ${promise.atMost}**`;
}

/** In the order of their definition; the first is plotted. */
function quantitiesOf({ sides }: Comparison): Quantity[] {
  return (Object.keys(quantities) as Quantity[]).filter((each) =>
    sides.some(({ rounds }) => rounds[each] !== undefined),
  );
}

function plotFile(name: string, index: number): string {
  return `${plots}/${name}-${index + 1}.svg`;
}

function image({ title }: Comparison, file: string): string {
  return `![${title.replaceAll("`", "")}](${file})`;
}
