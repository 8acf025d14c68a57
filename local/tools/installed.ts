import path from "node:path";
import { isExecutable, searchPath } from "../which.js";

/** Every program of this name on PATH, the one a shell would run first: that one may not work where the next does. */
export async function installed(command: string): Promise<string[]> {
  const found: string[] = [];
  for (const folder of searchPath().split(":")) {
    const file = path.join(folder, command);
    if (await isExecutable(file)) found.push(file);
  }
  return found;
}
