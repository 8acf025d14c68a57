import type { Publisher } from "../web.js";

/**
 * The sha256 of a file in a list as sha256sum writes it: "<hash>  <name>", or " *<name>" for binary mode.
 * @throws UserError where it is not in there exactly once
 */
export function hashIn(publisher: Publisher, where: string, list: string, name: string): string {
  const found = list.split("\n").flatMap((line) => {
    const [, hash, file] = /^([0-9a-f]{64}) [ *](.+)$/.exec(line.trimEnd()) ?? [];
    return file === name ? [hash!] : [];
  });
  if (found.length !== 1) throw publisher.wrong(where, `one line with the sha256 of ${name}`);
  return found[0]!;
}
