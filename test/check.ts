/**
 * `npm run check`: what is found by reading the sources, each with the tool that knows them. All checks run, one after the other,
 * even when one fails; a tool that cannot be had is a failure. `npm run check -- eslint zizmor` runs those named.
 */
import { generateKeyPairSync } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { platformEnvironment } from "../local/environment.js";
import { checkNeeds, installPackages, missingPackages } from "../local/host-packages.js";
import { checkout, platformPaths } from "../local/paths.js";
import { settingUp } from "../local/setting-up.js";
import { goFolder, packagesForGo, removeGoCaches } from "../local/tools/go.js";
import { actionlint, ensureTool, toolFile } from "../local/tools/go-tools.js";
import { ensurePacker, packagesForPacker } from "../local/tools/packer.js";
import { ensureZizmor, packagesForZizmor } from "../local/tools/zizmor.js";
import { isExecutable, which } from "../local/which.js";
import { describeError, UserError } from "../release/process/errors.js";
import { duration, say, step } from "../release/process/progress.js";
import { cancellation } from "../release/process/run.js";
import { checkoutFiles, shellScripts, workflows } from "./check-files.js";

interface Check {
  name: string;
  /** The host packages without which its program cannot be had. */
  packages?: () => Promise<string[]>;
  /** Its program, made available. Default: the one of this name in node_modules. */
  program?: () => Promise<string>;
  run: (program: string) => Promise<void>;
}

const checks: Check[] = [
  { name: "tsc", run: (program) => tool(program, []) },
  { name: "eslint", run: (program) => tool(program, ["."]) },
  { name: "prettier", run: (program) => tool(program, ["--check", "."]) },
  {
    name: "shellcheck",
    packages: () => missingPackages(checkNeeds),
    program: requireShellcheck,
    run: async (program) => {
      const scripts = await shellScripts(checkout, await checkoutFiles(checkout));
      await tool(program, ["--color=never", ...found(scripts, "shell script")]);
    },
  },
  {
    name: "packer-fmt",
    packages: () => packagesForPacker(paths),
    program: requirePacker,
    run: async (program) => {
      const env = await platformEnvironment(paths);
      await tool(program, ["fmt", "-check", "-diff", "."], { cwd: image, env });
    },
  },
  {
    name: "packer-validate",
    packages: () => packagesForPacker(paths),
    program: requirePacker,
    run: validateTemplate,
  },
  {
    name: "actionlint",
    packages: async () => [...(await missingPackages(checkNeeds)), ...(await packagesForActionlint())],
    program: () => settingUp(paths, () => ensureTool(actionlint, paths)),
    run: async (program) => {
      const files = found(workflows(await checkoutFiles(checkout)), "workflow");
      // Named by its path: a shellcheck which actionlint does not find, it does without.
      const shellcheck = await requireShellcheck();
      await tool(program, ["-no-color", "-pyflakes=", `-shellcheck=${shellcheck}`, ...files]);
    },
  },
  {
    name: "zizmor",
    packages: async () => [...(await missingPackages(checkNeeds)), ...(await packagesForZizmor(paths))],
    program: () => settingUp(paths, () => ensureZizmor(paths)),
    run: async (program) => {
      const files = found(workflows(await checkoutFiles(checkout)), "workflow");
      await tool(program, ["--offline", "--strict-collection", "--no-progress", "--color=never", ...files]);
    },
  },
];

const paths = platformPaths();
const image = path.join(checkout, "image");

/** A tool's own words about what it found. */
class Findings extends Error {
  override readonly name = "Findings";
}

/** Runs a tool of the project (node_modules) or the machine. @throws Findings when it fails */
async function tool(
  command: string,
  args: string[],
  options: { cwd?: string; env?: Record<string, string> } = {},
): Promise<void> {
  const result = await execa(command, args, {
    cwd: checkout,
    preferLocal: true,
    localDir: checkout,
    stdin: "ignore",
    all: true,
    reject: false,
    cancelSignal: cancellation.signal,
    ...options,
  });
  if (result.failed) throw new Findings(result.all.trim() || result.shortMessage);
}

/** Nothing to check is a failure: a check that stopped finding its files must not look green. */
function found(files: string[], what: string): string[] {
  if (files.length === 0) throw new UserError(`no ${what} found in ${checkout}`);
  return files;
}

async function requireShellcheck(): Promise<string> {
  const shellcheck = await which("shellcheck");
  if (shellcheck !== undefined) return shellcheck;
  throw new UserError("shellcheck is missing; install it: sudo apt-get install shellcheck");
}

function requirePacker(): Promise<string> {
  return settingUp(paths, async () => ensurePacker(paths, await platformEnvironment(paths)));
}

async function packagesForActionlint(): Promise<string[]> {
  return (await isExecutable(await toolFile(actionlint, paths))) ? [] : packagesForGo();
}

/** Validates the template as image/build.sh calls it, with stand-ins for the files which it makes and Packer looks for. */
async function validateTemplate(packer: string): Promise<void> {
  const env = await platformEnvironment(paths);
  const { stdout } = await execa(packer, ["version"], { env });
  const template = /^Packer v1\.[0-6]\./.test(stdout) ? "ubuntu.pkr.hcl" : ".";
  const work = await mkdtemp(path.join(tmpdir(), "packer-validate-"));
  try {
    for (const folder of ["payload", "http"]) await mkdir(path.join(work, folder));
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
    await writeFile(path.join(work, "ssh-key"), privateKey.export({ type: "sec1", format: "pem" }));
    await writeFile(path.join(work, "base.qcow2"), "");
    const variables = {
      base: "debian",
      base_image: path.join(work, "base.qcow2"),
      runner: "fixture",
      snapshot: "20260901T000000Z",
      work,
      accelerator: "tcg",
      machine: '[["-machine","q35"]]',
      cpus: "1",
      memory: "1024",
    };
    const settings = Object.entries(variables).flatMap(([name, value]) => ["-var", `${name}=${value}`]);
    await tool(packer, ["validate", ...settings, template], { cwd: image, env });
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** Adds what the checks need with one call of apt. Without it go on: those that can run do, the others say what they lack. */
async function installWhatIsMissing(asked: Check[]): Promise<void> {
  try {
    await settingUp(paths, async () => {
      const packages = new Set<string>();
      for (const check of asked) for (const name of (await check.packages?.()) ?? []) packages.add(name);
      await installPackages([...packages], paths);
    });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    say(describeError(error));
  }
}

const names = process.argv.slice(2);
const unknown = names.find((name) => checks.every((check) => check.name !== name));
if (unknown !== undefined) {
  say(`error: unknown check ${unknown} (allowed: ${checks.map(({ name }) => name).join(", ")})`);
  process.exit(2);
}

// A terminal, and npm once more, may send the same Ctrl-C several times: the first counts.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => cancellation.abort());

const asked = checks.filter(({ name }) => names.length === 0 || names.includes(name));
// Those of a set-up that did not get to its end spare its next try the downloads.
const keepGoCaches = existsSync(goFolder(paths));
await installWhatIsMissing(asked);

const results: { name: string; ok: boolean; ms: number }[] = [];
for (const { name, program, run } of asked) {
  if (cancellation.signal.aborted) break;
  const start = Date.now();
  let ok = true;
  try {
    const command = (await program?.()) ?? name;
    await step(name, () => run(command));
  } catch (error) {
    ok = false;
    say(error instanceof Findings ? `${error.message}\n` : `${describeError(error)}\n`);
  }
  results.push({ name, ok, ms: Date.now() - start });
}
if (!keepGoCaches) await settingUp(paths, () => removeGoCaches(paths));

say("");
for (const { name, ok, ms } of results) {
  say(`${name.padEnd(16)} ${ok ? "ok" : "failed"} in ${duration(ms)}`);
}
const failed = results.filter(({ ok }) => !ok).length;
process.stdout.write(`${results.length - failed} ok, ${failed} failed\n`);
process.exitCode = cancellation.signal.aborted ? 130 : failed === 0 ? 0 : 1;
