/** The update of `npm start`, alone, on a world's repository: what the kill tests kill. */
import { platformPaths, checkout } from "../../local/paths.js";
import { findEngine } from "../../local/tools/engine.js";
import { update } from "../../local/update.js";
import { program } from "../../program.js";
import { describeError } from "../../release/process/errors.js";
import { say } from "../../release/process/progress.js";
import { cancellation } from "../../release/process/run.js";

const root = process.argv[2]!;
const paths = platformPaths(root, checkout);
for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => cancellation.abort());
try {
  await update((await findEngine(paths))!, () => program(root), paths, process.env as Record<string, string>);
} catch (error) {
  say(describeError(error));
  process.exitCode = 1;
}
