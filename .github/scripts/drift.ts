/* What drift.yml runs: whether the production stack still is as `main` says, and what its live image needs. */
import { configuredArchitectures } from "../../local/stack-file.js";
import { UserError } from "../../release/process/errors.js";
import { say } from "../../release/process/progress.js";
import { goingLines, goingText } from "../../release/retention/rule.js";
import { readCalendar } from "../../release/pointer/runner-releases.js";
import { addSummary, codeBlock, main, runUrl, setOutput } from "./github.js";
import { readDue } from "./due.js";
import { readLive } from "./live.js";
import { passSignalOn, pulumi, stack } from "./pulumi.js";
import { planRemoval } from "./removal.js";
import { everybodysPointer, judgePreview, unreadable, upkeepDue, type Findings } from "./upkeep.js";

/** Images that can be removed, of which the issue says why; the others are counted. */
const removalsShown = 30;

async function look(): Promise<Findings> {
  const due: string[] = [];
  const blind: string[] = [];
  const promotion = await seen("what is due in a channel", blind, () =>
    readDue(process.cwd(), process.env["IMAGES_URL"] ?? "", new Date()),
  );
  if (promotion?.isDue) due.push(`${promotion.why}: gh workflow run channels.yml`);
  const args = ["preview", "--stack", stack, "--refresh", "--expect-no-changes", "--diff"];
  const { exitCode, stdout, stderr } = await pulumi([
    ...args,
    ...unreadable.flatMap((urns) => ["--exclude", urns]),
    // That everybody's pointer is to move is no drift then.
    ...(promotion?.isDue ? ["--exclude", everybodysPointer] : []),
    "--suppress-progress",
  ]);
  const judged = judgePreview(exitCode, `${stdout}${stderr}`);
  blind.push(...judged.blind);
  const calendar = await readCalendar({ root: process.cwd(), environment: process.env });
  for (const line of calendar.blind) say(line);
  for (const arch of await configuredArchitectures(process.cwd(), stack)) {
    await seen(arch, blind, async () => {
      const { manifest } = await readLive(process.env["IMAGES_URL"] ?? "", arch);
      due.push(...upkeepDue(manifest, await calendar.usability(manifest.build.runner), new Date()));
    });
  }
  const removal = await seen("what can be removed", blind, async () => {
    const { verdicts } = (await planRemoval()).plan;
    const going = goingText(verdicts);
    if (going !== null) due.push(`${going} can be removed: gh workflow run prune.yml`);
    return goingLines(verdicts, removalsShown);
  });
  return { drift: judged.drift, due, blind, removal: removal ?? [] };
}

/** What a look has found; undefined: it could not be looked at, and `blind` says why. */
async function seen<T>(what: string, blind: string[], work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    blind.push(`${what}: ${error.message}`);
    return undefined;
  }
}

/** The text; empty where all is well. */
function report({ drift, due, blind, removal }: Findings): string {
  const parts = [
    ...(blind.length === 0 ? [] : ["### It could not be looked at everything", list(blind)]),
    ...(due.length === 0 ? [] : ["### Due", list(due)]),
    ...(removal.length === 0
      ? []
      : ["### What nothing holds any more, and why", codeBlock(removal.join("\n"))]),
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
