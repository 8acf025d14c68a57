import { lstat, open } from "node:fs/promises";
import path from "node:path";
import { execa } from "execa";
import { UserError } from "../release/process/errors.js";
import { printable } from "../release/process/progress.js";

/** The files of a checkout that are, or could be, committed: tracked, or neither tracked nor ignored. */
export async function checkoutFiles(root: string): Promise<string[]> {
  const git = await execa("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"], {
    cwd: root,
    reject: false,
  });
  if (git.failed) {
    const why = printable(git.stderr || String(git.shortMessage));
    throw new UserError(`git cannot list the files of ${root} (${why}); check in a clone of the repository`);
  }
  const names = [...new Set(git.stdout.split("\0"))].filter((name) => name !== "").sort();
  const isFile = await Promise.all(
    names.map((name) =>
      lstat(path.join(root, name)).then(
        (stats) => stats.isFile(),
        // Deleted, but not yet in a commit.
        () => false,
      ),
    ),
  );
  return names.filter((_, index) => isFile[index]);
}

/** Whether shellcheck can read it: a shell of the Bourne family by its first line, or, as for a sourced file, by its name. */
export function isShellScript(name: string, firstLine: string): boolean {
  if (firstLine.startsWith("#!")) {
    return /^#!\s*(\S*\/)?(env\s+(-\S+\s+)*)?(\S*\/)?(sh|bash|dash|ksh)(\s|$)/.test(firstLine);
  }
  return /\.(sh|bash)$/.test(name);
}

/** Those of the files that are shell scripts. */
export async function shellScripts(root: string, files: string[]): Promise<string[]> {
  const isScript = await Promise.all(
    files.map(async (name) => isShellScript(name, await firstLine(path.join(root, name)))),
  );
  return files.filter((_, index) => isScript[index]);
}

async function firstLine(file: string): Promise<string> {
  const handle = await open(file);
  try {
    const { buffer, bytesRead } = await handle.read({ buffer: Buffer.alloc(128), position: 0 });
    return buffer.toString("latin1", 0, bytesRead).split("\n")[0]!;
  } finally {
    await handle.close();
  }
}

/** GitHub reads workflows from this folder only, not from folders in it. */
export function workflows(files: string[]): string[] {
  return files.filter((name) => /^\.github\/workflows\/[^/]+\.ya?ml$/.test(name));
}
