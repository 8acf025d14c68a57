import prettyBytes from "pretty-bytes";
import { stagesText } from "../boot/boot-stages.js";
import type { Component } from "../inspect/sbom.js";
import { UserError } from "../process/errors.js";
import type { Architecture } from "../store/keys.js";
import type { BootStages } from "../store/records.js";
import type { ImageFacts } from "./facts.js";

/** What differs between two images of one architecture. Each pair is [before, after]. */
export interface ImageDiff {
  arch: Architecture;
  commits: [string, string];
  /** Null where one of them has no bill of materials. */
  contents: ContentsDiff | null;
  /** What a host downloads, and the disk inside; bytes. */
  compressedBytes: [number, number];
  diskBytes: [number, number];
  /** From the start of QEMU to the runner's first call; null: not known. */
  bootSeconds: [number | null, number | null];
  /** Of these seconds; null: not known. */
  bootStages: [BootStages | null, BootStages | null];
  /** "github 2.338.0". */
  runner: [string, string];
  /** ISO times; null: no end is known. */
  usableUntil: [string | null, string | null];
}

export interface ContentsDiff {
  added: Item[];
  removed: Item[];
  changed: (Omit<Item, "version"> & { versions: [string, string] })[];
}

/** A package or tool. */
export interface Item {
  /** What kind of thing it is: "deb", "pypi", "generic", ... as in its package URL. */
  kind: string;
  name: string;
  version: string;
}

/**
 * @param before @param after what is stored of both
 * @throws UserError where they have no architecture in common
 */
export function diffImages(before: ImageFacts[], after: ImageFacts[], names: [string, string]): ImageDiff[] {
  for (const [index, facts] of [before, after].entries())
    if (facts.length === 0)
      throw new UserError(`image ${names[index]} was never published, so there is nothing to compare`);
  const pairs = before.flatMap((one) => {
    const other = after.find(({ arch }) => arch === one.arch);
    return other === undefined ? [] : [[one, other] as const];
  });
  if (pairs.length === 0)
    throw new UserError(
      `${names[0]} (${archs(before)}) and ${names[1]} (${archs(after)}) have no architecture in common, so there is nothing to compare`,
    );
  return pairs.map(([one, other]) => diffOne(one, other));
}

function archs(facts: ImageFacts[]): string {
  return facts.map(({ arch }) => arch).join(", ");
}

function diffOne(before: ImageFacts, after: ImageFacts): ImageDiff {
  const both = <T>(read: (facts: ImageFacts) => T): [T, T] => [read(before), read(after)];
  return {
    arch: before.arch,
    commits: both(({ commit }) => commit),
    contents:
      before.components === null || after.components === null
        ? null
        : diffContents(before.components, after.components),
    compressedBytes: both(({ manifest }) => manifest.compressed.bytes),
    diskBytes: both(({ manifest }) => manifest.disk.bytes),
    bootSeconds: both(({ boot }) => boot?.timings.runnerStarted ?? null),
    bootStages: both(({ boot }) => boot?.timings.stages ?? null),
    runner: both(({ manifest: { build } }) => `${build.runner.kind} ${build.runner.version}`),
    usableUntil: both(({ usability }) => usability.until?.toISOString() ?? null),
  };
}

/** By kind and name; a name that is there in several versions at once counts once for each. */
export function diffContents(before: readonly Component[], after: readonly Component[]): ContentsDiff {
  const [old, fresh] = [versionsOf(before), versionsOf(after)];
  const result: ContentsDiff = { added: [], removed: [], changed: [] };
  for (const id of [...new Set([...old.keys(), ...fresh.keys()])].sort()) {
    const [kind, name] = id.split("\n") as [string, string];
    const gone = minus(old.get(id), fresh.get(id));
    const come = minus(fresh.get(id), old.get(id));
    while (gone.length > 0 && come.length > 0)
      result.changed.push({ kind, name, versions: [gone.shift()!, come.shift()!] });
    result.removed.push(...gone.map((version) => ({ kind, name, version })));
    result.added.push(...come.map((version) => ({ kind, name, version })));
  }
  return result;
}

function versionsOf(components: readonly Component[]): Map<string, string[]> {
  const versions = new Map<string, string[]>();
  for (const { kind, name, version } of components) {
    const id = `${kind}\n${name}`;
    versions.set(id, [...(versions.get(id) ?? []), version].sort());
  }
  return versions;
}

function minus(versions: string[] = [], others: string[] = []): string[] {
  return versions.filter((version) => !others.includes(version));
}

/** Whether the two hold the same packages and tools. */
export function isSame({ added, removed, changed }: ContentsDiff): boolean {
  return added.length + removed.length + changed.length === 0;
}

/** One line a difference: "+ deb file 1:5.46", "- …", "~ deb curl 8.14 → 8.15". */
export function contentsLines({ added, removed, changed }: ContentsDiff): string[] {
  return [
    ...added.map(({ kind, name, version }) => `+ ${kind} ${name} ${version}`),
    ...removed.map(({ kind, name, version }) => `- ${kind} ${name} ${version}`),
    ...changed.map(({ kind, name, versions }) => `~ ${kind} ${name} ${versions.join(" → ")}`),
  ];
}

/** Two columns of facts. */
function rows(diff: ImageDiff): [title: string, before: string, after: string][] {
  const day = (time: string | null) => time?.slice(0, 10) ?? "no end known";
  return [
    ["download", prettyBytes(diff.compressedBytes[0]), prettyBytes(diff.compressedBytes[1])],
    ["disk", prettyBytes(diff.diskBytes[0]), prettyBytes(diff.diskBytes[1])],
    ["boot to runner", seconds(diff.bootSeconds[0]), seconds(diff.bootSeconds[1])],
    ["boot stages, s", stages(diff.bootStages[0]), stages(diff.bootStages[1])],
    ["runner", ...diff.runner],
    ["usable until", day(diff.usableUntil[0]), day(diff.usableUntil[1])],
  ];
}

function seconds(value: number | null): string {
  return value === null ? "not known" : `${value.toFixed(1)} s`;
}

function stages(value: BootStages | null): string {
  return value === null ? "not known" : stagesText(value);
}

const unknownContents = "packages and tools: not known, one of the images has no bill of materials";

/** For a terminal. */
export function diffText(diffs: ImageDiff[]): string {
  return diffs
    .flatMap((diff) => [
      `${diff.arch}  ${diff.commits.join(" → ")}`,
      ...rows(diff).map(
        ([title, before, after]) =>
          `  ${title.padEnd(15)} ${before === after ? `${before} (the same)` : `${before} → ${after}`}`,
      ),
      ...(diff.contents === null
        ? [`  ${unknownContents}`]
        : isSame(diff.contents)
          ? ["  packages and tools: the same"]
          : contentsLines(diff.contents).map((line) => `  ${line}`)),
    ])
    .join("\n");
}

/** For a comment or a page. */
export function diffMarkdown(diffs: ImageDiff[]): string {
  return diffs
    .map((diff) =>
      [
        `#### ${diff.arch}`,
        "",
        `| | ${diff.commits.map((commit) => `\`${commit.slice(0, 12)}\``).join(" | ")} |`,
        "| --- | --- | --- |",
        ...rows(diff).map((row) => `| ${row.join(" | ")} |`),
        "",
        ...(diff.contents === null
          ? [unknownContents]
          : isSame(diff.contents)
            ? ["packages and tools: the same"]
            : ["```diff", ...contentsLines(diff.contents).map((line) => line.replace(/^~/, "!")), "```"]),
      ].join("\n"),
    )
    .join("\n\n");
}
