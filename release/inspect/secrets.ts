import { createHash } from "node:crypto";
import { unscanned } from "./allowed-files.js";
import type { Disk, DiskEntry } from "./disk.js";
import { glob, type Finding } from "./rules.js";

/*
 * Secrets in what was put on the disk by anything but a package: files of no package, and settings of one that were changed. The scanner is
 * secretlint (https://github.com/secretlint/secretlint) with its recommended rules.
 */

/** A secret stands in a small text file; a larger one is data. */
const mostBytes = 1024 * 1024;
/** Of all files together. As much that no package owns has to be looked at by somebody (`unscanned`), not passed over. */
const mostBytesTogether = 64 * 1024 * 1024;

/** What the packages on a disk own. */
export interface Owned {
  files: ReadonlySet<string>;
  /** MD5 of each of their settings as it came, by path. */
  conffiles: ReadonlyMap<string, string>;
}

/**
 * @param status /var/lib/dpkg/status: https://manpages.debian.org/stable/dpkg-dev/deb-control.5.en.html, field Conffiles
 * @param lists /var/lib/dpkg/info/*.list: paths, one a line
 */
export function readOwned(status: string, lists: string[]): Owned {
  const files = new Set(lists.flatMap((list) => list.split("\n")).map(merged));
  const conffiles = [...status.matchAll(/^ (\/\S+) ([0-9a-f]{32})(?: |$)/gm)];
  return { files, conffiles: new Map(conffiles.map(([, path, md5]) => [merged(path!), md5!])) };
}

/** Packages may still name a folder as it was before it was merged into /usr (https://www.freedesktop.org/wiki/Software/systemd/TheCaseForTheUsrMerge/). */
function merged(path: string): string {
  return /^\/(bin|sbin|lib\w*)\//.test(path) ? `/usr${path}` : path;
}

const passedOver = glob(unscanned.flatMap(({ paths }) => paths));

/** Files in which there could be a secret, as far as can be said without reading them. */
export function suspects<E extends DiskEntry>(tree: readonly E[], { files, conffiles }: Owned): E[] {
  return tree.filter(
    ({ path, kind, bytes }) =>
      kind === "file" &&
      bytes > 0 &&
      bytes <= mostBytes &&
      (conffiles.has(path) || !files.has(path)) &&
      !passedOver(path),
  );
}

/** Names files with a secret, and the rule that found it; never the secret. */
export async function findSecrets(disk: Disk, tree: readonly DiskEntry[], owned: Owned): Promise<Finding[]> {
  const files = suspects(tree, owned);
  const together = files.reduce((sum, { bytes }) => sum + bytes, 0);
  if (together > mostBytesTogether)
    return [
      {
        rule: "secret",
        path: "/",
        what: `cannot be ruled out: ${together} bytes in ${files.length} files of no package are too many to scan`,
      },
    ];
  const read = await disk.extract(files);
  const scan = await scanner();
  const findings: Finding[] = [];
  for (const file of files) {
    const content = await read(file);
    if (owned.conffiles.get(file.path) === createHash("md5").update(content).digest("hex")) continue;
    for (const what of await scan(content)) findings.push({ rule: "secret", path: file.path, what });
  }
  return findings;
}

/** Its modules are loaded when there is something to scan. */
async function scanner(): Promise<(content: Buffer) => Promise<Set<string>>> {
  const [{ lintSource }, preset] = await Promise.all([
    import("@secretlint/core"),
    import("@secretlint/secretlint-rule-preset-recommend"),
  ]);
  const config = {
    rules: [
      {
        id: "@secretlint/secretlint-rule-preset-recommend",
        rule: preset.creator,
        // Comments in a file do not switch the scanner off.
        rules: [{ id: "@secretlint/secretlint-rule-filter-comments", disabled: true }],
      },
    ],
  };
  return async (content) => {
    if (isBinary(content)) return new Set();
    const source = { content: content.toString(), filePath: "file", ext: "", contentType: "text" as const };
    const { messages } = await lintSource({ source, options: { config, maskSecrets: true } });
    return new Set(messages.map(({ messageId }) => messageId));
  };
}

/** As git tells: a NUL near the beginning. */
function isBinary(content: Buffer): boolean {
  return content.subarray(0, 8000).includes(0);
}
