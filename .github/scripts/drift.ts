/* What drift.yml runs: whether the production stack still is as `main` says, and what its live image needs. */
import { configuredArchitectures } from "../../local/stack-file.js";
import { UserError } from "../../release/process/errors.js";
import { say } from "../../release/process/progress.js";
import { goingText } from "../../release/retention/rule.js";
import { readCalendar } from "../../release/pointer/runner-releases.js";
import { addSummary, codeBlock, main, runUrl, setOutput } from "./github.js";
import { readLive } from "./live.js";
import { passSignalOn, pulumi, stack } from "./pulumi.js";
import { planRemoval } from "./removal.js";
import { judgePreview, unreadable, upkeepDue, type Findings } from "./upkeep.js";

async function look(): Promise<Findings> {
  const args = ["preview", "--stack", stack, "--refresh", "--expect-no-changes", "--diff"];
  const { exitCode, stdout, stderr } = await pulumi([
    ...args,
    ...unreadable.flatMap((urns) => ["--exclude", urns]),
    "--suppress-progress",
  ]);
  const { drift, blind } = judgePreview(exitCode, `${stdout}${stderr}`);
  const due: string[] = [];
  const calendar = await readCalendar({ root: process.cwd(), environment: process.env });
  for (const line of calendar.blind) say(line);
  for (const arch of await configuredArchitectures(process.cwd(), stack)) {
    try {
      const { manifest } = await readLive(process.env["IMAGES_URL"] ?? "", arch);
      due.push(...upkeepDue(manifest, await calendar.usability(manifest.build.runner), new Date()));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      blind.push(`${arch}: ${error.message}`);
    }
  }
  try {
    const going = goingText((await planRemoval()).plan.verdicts);
    if (going !== null) due.push(`${going} can be removed: gh workflow run prune.yml`);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    blind.push(`what can be removed: ${error.message}`);
  }
  return { drift, due, blind };
}

/** The text; empty where all is well. */
function report({ drift, due, blind }: Findings): string {
  const parts = [
    ...(blind.length === 0 ? [] : ["### It could not be looked at everything", list(blind)]),
    ...(due.length === 0 ? [] : ["### Due", list(due)]),
    ...(drift === null
      ? []
      : [
          "### Drift",
          "What is deployed differs from `main`, or was changed by hand (a deploy that was just running shows here too: look again with `gh workflow run drift.yml`). A deploy puts back what its role may change; for the rest an administrator runs `pulumi up`.",
          codeBlock(drift),
        ]),
  ];
  return parts.length === 0 ? "" : [...parts, `Seen by [this run](${runUrl()}).`].join("\n\n");
}

function list(lines: string[]): string {
  return lines.map((line) => `- ${line}`).join("\n");
}

async function tell(): Promise<number> {
  const findings = await look();
  const text = report(findings);
  setOutput("report", text);
  addSummary(text === "" ? "All is as `main` says, and nothing is due." : text);
  for (const problem of [...findings.blind, ...findings.due]) say(`error: ${problem}`);
  // What is due or drifted is in the issue; red is only what could not be looked at.
  return findings.blind.length === 0 ? 0 : 1;
}

passSignalOn();
await main(tell);
