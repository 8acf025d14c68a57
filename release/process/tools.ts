import { access, constants } from "node:fs/promises";
import path from "node:path";
import { UserError } from "./errors.js";

/** Debian's and Ubuntu's package of each program we run. */
const packages = {
  debugfs: "e2fsprogs",
  e2fsck: "e2fsprogs",
  git: "git",
  make: "make",
  packer: "packer",
  "qemu-img": "qemu-utils",
  "qemu-system-aarch64": "qemu-system-arm",
  "qemu-system-x86_64": "qemu-system-x86",
  sfdisk: "fdisk",
  zstd: "zstd",
} as const;
export type Tool = keyof typeof packages;

/** @throws UserError naming every tool that is not on PATH, and the command that installs them */
export async function requireTools(tools: Tool[]): Promise<void> {
  const found = await Promise.all(tools.map(isOnPath));
  const missing = tools.filter((_, index) => !found[index]);
  if (missing.length === 0) return;
  throw new UserError(
    `not installed: ${missing.join(", ")}: apt-get install ${missing.map((tool) => packages[tool]).join(" ")}`,
  );
}

/** PATH, and the folders of system tools, which Debian leaves out of an ordinary user's. */
export function toolPath(): string {
  return [process.env.PATH ?? "", "/usr/sbin", "/sbin"].join(path.delimiter);
}

export async function isOnPath(tool: string): Promise<boolean> {
  const folders = toolPath()
    .split(path.delimiter)
    .filter((folder) => folder !== "");
  const hits = await Promise.all(
    folders.map((folder) =>
      access(path.join(folder, tool), constants.X_OK).then(
        () => true,
        () => false,
      ),
    ),
  );
  return hits.includes(true);
}
