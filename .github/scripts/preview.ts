/* What pull-request.yml runs: a preview of the production stack, and the text of the comment about it, also where it fails. */
import { billMark } from "../../release/compare/bill.js";
import { addSummary, codeBlock, main, runUrl, setOutput } from "./github.js";
import { passSignalOn, pulumi, stack } from "./pulumi.js";

async function preview(): Promise<number> {
  const args = ["preview", "--stack", stack, "--diff", "--suppress-progress"];
  const { exitCode, stdout, stderr } = await pulumi(args);
  const commit = process.env["HEAD_SHA"] ?? "";
  const heading = exitCode === 0 ? "What a merge would do" : "The preview failed: a merge would fail too";
  const comment = [
    `### ${heading}`,
    ...(exitCode === 0 ? [fleetList(stdout)] : []),
    `\`pulumi preview --stack ${stack} --diff\` of ${commit} ([log](${runUrl()})):`,
    codeBlock(`${stdout}${stderr}`),
  ].join("\n\n");
  setOutput("comment", comment);
  addSummary(comment);
  return exitCode;
}

/** What a merge does to the hosts: the lines of the bill (release/compare/bill.ts) in what Pulumi says, which it says twice. */
function fleetList(text: string): string {
  const said = text.split("\n").flatMap((line) => line.split(billMark).slice(1));
  const lines = [...new Set(said.map((line) => line.trimEnd()))];
  return lines.length === 0 ? "Hosts keep the image they have." : lines.map((line) => `- ${line}`).join("\n");
}

passSignalOn();
await main(preview);
