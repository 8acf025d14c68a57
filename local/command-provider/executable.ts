import { createRequire } from "node:module";
import path from "node:path";
import { pathToFileURL } from "node:url";

/**
 * The text of the stand-in's executable, for `pulumi plugin install resource command 1.2.1 --file <it>`.
 * Pulumi copies this one file and nothing beside it, so every path in it is absolute.
 * @param root the checkout, an absolute path
 */
export function standInExecutable(root: string): string {
  const tsx = createRequire(path.join(root, "package.json")).resolve("tsx/esm");
  const main = path.join(root, "local/command-provider/main.ts");
  const words = [process.execPath, "--import", pathToFileURL(tsx).href, main].map(shellQuote);
  return `#!/bin/sh\nexec ${words.join(" ")} "$@"\n`;
}

function shellQuote(word: string): string {
  return `'${word.replaceAll("'", `'\\''`)}'`;
}
