import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { UserError } from "../release/process/errors.js";
import {
  runnerReleases,
  runnerReleasesFile,
  type RunnerRelease,
} from "../release/pointer/runner-releases.js";
import { sha256Pattern } from "../release/store/keys.js";

/** The files that hold pins, from the root of a checkout. */
export const inputsFile = path.join("image", "inputs.json");
export const pluginsFile = path.join("image", "plugins.pkr.hcl");
export const workflowsFolder = path.join(".github", "workflows");

export const versionPattern = /^\d+\.\d+\.\d+$/;
/** https://documentation.ubuntu.com/server/how-to/software/snapshot-service/: a moment in UTC. */
const snapshotPattern = /^\d{8}T\d{6}Z$/;

const version = z.string().regex(versionPattern);
const download = z.object({ url: z.httpUrl(), sha256: z.string().regex(sha256Pattern) });
const one = { x86_64: download, aarch64: download };
const several = { x86_64: z.array(download).min(1), aarch64: z.array(download).min(1) };

/** What is pinned in image/inputs.json; the rest of that file is none of this command's business. */
const inputs = z.object({
  ubuntu: z.object({
    series: z.string(),
    /** As `ubuntuName` makes it. */
    name: z.string().regex(/-\d{8}(\.\d+)?$/),
    snapshot: z.string().regex(snapshotPattern),
    ...one,
  }),
  runner: z.object({ version, releasedAt: z.iso.date(), ...one }),
  tools: z.object({
    "aws-cli": z.object({ version, ...several }),
    rust: z.object({ version, ...several }),
  }),
});
export type Inputs = z.infer<typeof inputs>;
export type Download = z.infer<typeof download>;

/** An action that workflows use: `uses: owner/repository@<commit> # v1.2.3`. */
export interface ActionPin {
  /** owner/repository */
  action: string;
  commit: string;
  version: string;
  /** The workflows that use it, from the root. */
  files: string[];
}

/** All that is pinned in a checkout. */
export interface Pinned {
  inputs: Inputs;
  releases: RunnerRelease[];
  /** Packer's QEMU plugin. */
  plugin: string;
  actions: ActionPin[];
}

/** @throws UserError where a file is missing or not of its form */
export async function readPinned(root: string): Promise<Pinned> {
  const workflows = (await readdir(path.join(root, workflowsFolder)).catch(() => [])).filter((name) =>
    name.endsWith(".yml"),
  );
  const files = workflows.sort().map((name) => path.join(workflowsFolder, name));
  const texts = await Promise.all(files.map(async (file) => [file, await read(root, file)] as const));
  return {
    inputs: parse(inputsFile, await read(root, inputsFile), inputs),
    releases: parse(runnerReleasesFile, await read(root, runnerReleasesFile), runnerReleases).releases,
    plugin: pluginVersion(await read(root, pluginsFile)),
    actions: actionPins(texts),
  };
}

async function read(root: string, file: string): Promise<string> {
  return await readFile(path.join(root, file), "utf8").catch(() => {
    throw new UserError(`${file} is missing in ${root}: git checkout -- ${file}`);
  });
}

function parse<T>(file: string, text: string, schema: z.ZodType<T>): T {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    throw new UserError(`${file} is not JSON: mend it, or git checkout -- ${file}`);
  }
  const { data, error } = schema.safeParse(content);
  if (error === undefined) return data;
  const [issue] = error.issues;
  throw new UserError(
    `${file} is not of its form (${issue!.path.join(".")}: ${issue!.message}): mend it, or git checkout -- ${file}`,
  );
}

/** The one `version = "= 1.2.3"` of plugins.pkr.hcl. */
export const pluginPattern = /(?<=\bversion\s*=\s*"= )(\d+\.\d+\.\d+)(?=")/g;

function pluginVersion(text: string): string {
  const [found, ...more] = text.match(pluginPattern) ?? [];
  if (found === undefined || more.length > 0)
    throw new UserError(
      `${pluginsFile} has ${more.length + Number(found !== undefined)} lines of the form version = "= 1.2.3": exactly one is expected`,
    );
  return found;
}

const usesPattern = /\buses: ([\w.-]+\/[\w.-]+)@([0-9a-f]{40}) # v(\d+\.\d+\.\d+)$/gm;

/** @param texts of workflows, with their names */
export function actionPins(texts: (readonly [file: string, text: string])[]): ActionPin[] {
  const pins = new Map<string, ActionPin>();
  for (const [file, text] of texts) {
    for (const [, action, commit, version] of text.matchAll(usesPattern)) {
      const pin = pins.get(action!) ?? { action: action!, commit: commit!, version: version!, files: [] };
      if (pin.commit !== commit || pin.version !== version)
        throw new UserError(
          `${file} uses ${action}@${commit} # v${version}, and ${pin.files[0]} another: use one commit everywhere`,
        );
      if (!pin.files.includes(file)) pin.files.push(file);
      pins.set(action!, pin);
    }
  }
  return [...pins.values()].sort((a, b) => a.action.localeCompare(b.action));
}
