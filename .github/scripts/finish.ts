/* The one required check: what became of every job, on the page of the run. */
import { say } from "../../release/process/progress.js";
import { addSummary, cell } from "./github.js";
import { judge, type NeededJob } from "./verdict.js";

const needs = JSON.parse(process.env["NEEDS"] ?? "{}") as Record<string, NeededJob>;
const judged = judge(needs, {
  event: process.env["GITHUB_EVENT_NAME"] ?? "",
  isFork: process.env["IS_FORK"] === "true",
  isDependabot: process.env["IS_DEPENDABOT"] === "true",
  hasPreviewRole: process.env["HAS_PREVIEW_ROLE"] === "true",
});
addSummary(
  [
    "| job | |",
    "| --- | --- |",
    ...judged.map(({ job, passed, why }) => `| ${cell(job)} | ${passed ? "" : "❌ "}${cell(why)} |`),
    "",
  ].join("\n"),
);
for (const { job, passed, why } of judged) say(`${passed ? "ok" : "error"}: ${job}: ${why}`);
process.exitCode = judged.length > 0 && judged.every(({ passed }) => passed) ? 0 : 1;
