import { access, constants, stat } from "node:fs/promises";
import path from "node:path";

/** Where Debian keeps nginx, mkfs and sfdisk: not on the PATH of an ordinary user. */
const systemFolders = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/** PATH with the folders of system programs at its end. */
export function searchPath(PATH: string = process.env["PATH"] ?? "/usr/bin:/bin"): string {
  const folders = PATH.split(":");
  return [...folders, ...systemFolders.filter((folder) => !folders.includes(folder))].join(":");
}

/** The absolute path of a command; undefined when there is none. */
export async function which(command: string): Promise<string | undefined> {
  for (const folder of searchPath().split(":")) {
    const file = path.join(folder, command);
    if (await isExecutable(file)) return file;
  }
  return undefined;
}

export async function isExecutable(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK);
    return (await stat(file)).isFile();
  } catch {
    return false;
  }
}
