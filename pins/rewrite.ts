import { randomUUID } from "node:crypto";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import path from "node:path";
import { applyEdits, modify, type JSONPath } from "jsonc-parser";
import { UserError } from "../release/process/errors.js";
import type { RunnerRelease } from "../release/pointer/runner-releases.js";
import { pluginPattern, type ActionPin, type Download } from "./pinned.js";

/** A change of one file's text. All changes are known before the first file is written. */
export interface Edit {
  /** From the root of the checkout. */
  file: string;
  apply: (text: string) => string;
}

/** Sets one value of a JSON file, and leaves everything else as it is written. */
export function setJson(file: string, at: JSONPath, value: unknown): Edit {
  const formattingOptions = { insertSpaces: true, tabSize: 2 };
  return { file, apply: (text) => applyEdits(text, modify(text, at, value, { formattingOptions })) };
}

/** Sets one download. */
export function setDownload(file: string, at: JSONPath, { url, sha256 }: Download): Edit[] {
  return [setJson(file, [...at, "url"], url), setJson(file, [...at, "sha256"], sha256)];
}

/** Writes the list of the runner's releases, one a line. */
export function setReleases(file: string, releases: readonly RunnerRelease[]): Edit {
  const lines = releases.map(
    ({ version, releasedAt, deprecatedAt }) =>
      `    { "version": ${JSON.stringify(version)}, "releasedAt": ${JSON.stringify(releasedAt)}, "deprecatedAt": ${JSON.stringify(deprecatedAt)} }`,
  );
  return { file, apply: () => `{\n  "releases": [\n${lines.join(",\n")}\n  ]\n}\n` };
}

export function setPlugin(file: string, version: string): Edit {
  return { file, apply: (text) => text.replace(pluginPattern, version) };
}

export function setAction(file: string, pin: ActionPin, commit: string, version: string): Edit {
  const uses = (of: { commit: string; version: string }) => `${pin.action}@${of.commit} # v${of.version}`;
  return { file, apply: (text) => text.replaceAll(uses(pin), uses({ commit, version })) };
}

/**
 * Applies all edits and writes the files that differ then, JSON as Prettier formats it. The new files are put in place when all of
 * them are on disk.
 * @returns the files that were changed
 */
export async function rewrite(root: string, edits: readonly Edit[]): Promise<string[]> {
  const changed: { file: string; temporary: string; text: string }[] = [];
  for (const file of new Set(edits.map((edit) => edit.file))) {
    const before = await readFile(path.join(root, file), "utf8");
    let text = before;
    for (const edit of edits) if (edit.file === file) text = edit.apply(text);
    if (file.endsWith(".json")) text = await formatted(path.join(root, file), text);
    if (text !== before)
      changed.push({ file, temporary: path.join(root, `${file}.${randomUUID()}.tmp`), text });
  }
  try {
    for (const { temporary, text } of changed) await writeFile(temporary, text);
    for (const { file, temporary } of changed) await rename(temporary, path.join(root, file));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === undefined) throw error;
    throw new UserError(`the pins could not be written (${message}): mend that, git status, and repeat`);
  } finally {
    for (const { temporary } of changed) await rm(temporary, { force: true });
  }
  return changed.map(({ file }) => file);
}

async function formatted(file: string, text: string): Promise<string> {
  // Loaded here, since it takes a while and most runs change nothing.
  const { format, resolveConfig } = await import("prettier");
  return await format(text, { ...(await resolveConfig(file)), filepath: file });
}
