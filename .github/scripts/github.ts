import { randomUUID } from "node:crypto";
import { appendFileSync } from "node:fs";
import path from "node:path";
import { describeError } from "../../release/process/errors.js";
import { say } from "../../release/process/progress.js";

/** A comment or an issue takes 65,536 characters, and an environment variable 128 KiB. */
const longest = 60_000;

/** Where take-boot-records.ts lays what deploy.ts has stored. */
export const bootRecords = path.resolve("build", "boot-records");

/** Hands a text to later steps and jobs. */
export function setOutput(name: string, value: string): void {
  // Nobody can guess the delimiter, so no text can end early and set another output.
  const end = randomUUID();
  append("GITHUB_OUTPUT", `${name}<<${end}\n${value}\n${end}\n`);
}

/** Adds to the page of this run. */
export function addSummary(markdown: string): void {
  append("GITHUB_STEP_SUMMARY", `${markdown}\n`);
}

function append(variable: "GITHUB_OUTPUT" | "GITHUB_STEP_SUMMARY", text: string): void {
  const file = process.env[variable];
  // By hand, outside of a workflow, there is none.
  if (file !== undefined && file !== "") appendFileSync(file, text);
}

/** A text as a block of code, whatever is in it, its middle left out where it is too long for a comment. */
export function codeBlock(text: string): string {
  const fence = "`".repeat(Math.max(3, ...[...text.matchAll(/`+/g)].map(([run]) => run.length + 1)));
  return `${fence}\n${shortened(text.trimEnd())}\n${fence}`;
}

/** At most 60,000 bytes: the beginning and, since results and errors come last, the end. */
export function shortened(text: string, bytes = longest): string {
  const all = Buffer.from(text);
  if (all.length <= bytes) return text;
  const half = Math.floor(bytes / 2);
  const [start, end] = [all.subarray(0, half), all.subarray(all.length - half)].map((part) =>
    part.toString(),
  );
  return `${start}\n… ${all.length - 2 * half} bytes left out; all of it is in the log …\n${end}`;
}

/** A cell of a table, of text that may hold anything. */
export function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll(/\s+/g, " ").trim();
}

/** Where this run can be seen. */
export function runUrl(): string {
  const { env } = process;
  return `${env["GITHUB_SERVER_URL"]}/${env["GITHUB_REPOSITORY"]}/actions/runs/${env["GITHUB_RUN_ID"]}`;
}

/** Runs what a workflow's step is there for, which returns the exit code; an error is one line, a bug keeps its stack. */
export async function main(work: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await work();
  } catch (error) {
    say(describeError(error));
    process.exitCode = 1;
  }
}
