/** `npm run bench [publish] [noop] [boot] [age]`: prints the tables of the README, and fails where one of its promises is broken. */
import path from "node:path";
import { execa } from "execa";
import { say } from "../release/process/progress.js";

const benches = ["publish", "noop", "boot", "age"];
const asked = process.argv.slice(2);
const unknown = asked.find((name) => !benches.includes(name));
if (unknown !== undefined) {
  say(`error: unknown bench ${unknown} (allowed: ${benches.join(", ")})`);
  process.exit(2);
}
for (const name of benches.filter((bench) => asked.length === 0 || asked.includes(bench))) {
  const file = path.join(import.meta.dirname, `${name}.ts`);
  const { exitCode } = await execa("node", ["--import", "tsx", file], { stdio: "inherit", reject: false });
  if (exitCode !== 0) process.exitCode = 1;
}
