/* What pull-request.yml runs: a preview of the production stack, and the text of the comment about it, also where it fails. */
import { addSummary, codeBlock, main, runUrl, setOutput } from "./github.js";
import { passSignalOn, pulumi, stack } from "./pulumi.js";

async function preview(): Promise<number> {
  const args = ["preview", "--stack", stack, "--diff", "--suppress-progress"];
  const { exitCode, stdout, stderr } = await pulumi(args);
  const commit = process.env["HEAD_SHA"] ?? "";
  const heading = exitCode === 0 ? "What a merge would do" : "The preview failed: a merge would fail too";
  const comment = `### ${heading}

\`pulumi preview --stack ${stack} --diff\` of ${commit} ([log](${runUrl()})):

${codeBlock(`${stdout}${stderr}`)}`;
  setOutput("comment", comment);
  addSummary(comment);
  return exitCode;
}

passSignalOn();
await main(preview);
