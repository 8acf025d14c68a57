/**
 * `npm run bench [-- <bench>…]`: measures, keeps what came out, and writes docs/benchmarks.md, its plots and the README's part anew from all
 * that is kept; fails where a promise is broken or a bench died. With `--report` it only writes.
 */
import path from "node:path";
import { checkout, platformPaths } from "../local/paths.js";
import { setUp } from "../local/setup.js";
import { describeError } from "../release/process/errors.js";
import { say } from "../release/process/progress.js";
import { writeDocuments } from "./document.js";
import { benches, runBenches } from "./keep.js";

const asked = process.argv.slice(2);
const unknown = asked.find((name) => ![...benches, "--report"].includes(name));
if (unknown !== undefined) {
  say(`error: unknown bench ${unknown} (allowed: ${benches.join(", ")}, or --report)`);
  process.exit(2);
}
const names = benches.filter((name) => asked.length === 0 || asked.includes(name));
try {
  // Engine, plugin and servers, of which each bench expects that they are there.
  if (names.length > 0) await setUp(platformPaths(), { retryVendor: false });
} catch (error) {
  say(describeError(error));
  process.exit(1);
}
const wrong = await runBenches(names, path.join(checkout, "docs", "benchmarks"));
await writeDocuments(checkout);
say("");
for (const line of wrong) say(`error: ${line}`);
process.exitCode = wrong.length === 0 ? 0 : 1;
