import { mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import path from "node:path";
import { execa } from "execa";
import { UserError } from "../../release/process/errors.js";
import { step } from "../../release/process/progress.js";
import { run } from "../../release/process/run.js";
import type { PlatformPaths } from "../paths.js";
import { isExecutable } from "../which.js";
import { installed } from "./installed.js";

const requirements = path.join(import.meta.dirname, "zizmor", "requirements.txt");

/** The version a requirements.txt pins a package to. */
export function pinnedRequirement(text: string, name: string): string {
  const [, version] = new RegExp(`^${name}==(\\d+\\.\\d+\\.\\d+)(?:\\s|$)`, "m").exec(text) ?? [];
  if (version === undefined) throw new Error(`requirements.txt pins no ${name}`);
  return version;
}

/** Where the program is, once it is there: `.local/tools/zizmor-<version>/bin/zizmor`. */
async function zizmorFile(paths: PlatformPaths): Promise<string> {
  const version = pinnedRequirement(await readFile(requirements, "utf8"), "zizmor");
  return path.join(paths.tools, `zizmor-${version}`, "bin", "zizmor");
}

/** What apt can add so that zizmor can be had. */
export async function packagesForZizmor(paths: PlatformPaths): Promise<string[]> {
  if (await isExecutable(await zizmorFile(paths))) return [];
  return (await findPython()) === undefined ? ["python3-venv", "ca-certificates"] : [];
}

/** A Python that can make an environment with pip in it: Debian's cannot without python3-venv. */
async function findPython(): Promise<string | undefined> {
  for (const command of await installed("python3")) {
    const { failed } = await execa(command, ["-c", "import ensurepip, venv"], {
      reject: false,
      timeout: 10_000,
      stdin: "ignore",
    });
    if (!failed) return command;
  }
  return undefined;
}

/**
 * Installs zizmor's wheel from PyPI, by hash, unless it is there. The wheel holds one program that needs no Python, so that alone is
 * kept, and appears complete or not at all; the environment, which could not be moved, goes.
 * @returns its path
 * @throws UserError when it cannot be had
 */
export async function ensureZizmor(paths: PlatformPaths): Promise<string> {
  const file = await zizmorFile(paths);
  if (await isExecutable(file)) return file;
  const python = await findPython();
  if (python === undefined) {
    throw new UserError(
      "zizmor comes from PyPI, and there is no python3 with its venv module; install it: sudo apt-get install python3-venv",
    );
  }
  await mkdir(paths.tools, { recursive: true });
  const temporary = await mkdtemp(path.join(paths.tools, ".zizmor-"));
  const options = { log: path.join(paths.logs, "zizmor-install.log"), timeout: 10 * 60_000 };
  try {
    await step("zizmor: installing its wheel from PyPI", async () => {
      await run(python, ["-m", "venv", temporary], options);
      const pip = ["-m", "pip", "install", "--no-cache-dir", "--disable-pip-version-check", "--no-input"];
      const pinned = ["--require-hashes", "--only-binary", ":all:", "-r", requirements];
      await run(path.join(temporary, "bin", "python"), [...pip, ...pinned], options);
    });
    await mkdir(path.dirname(file), { recursive: true });
    await rename(path.join(temporary, "bin", "zizmor"), file);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`zizmor could not be installed from PyPI: ${error.message}`);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  return file;
}
