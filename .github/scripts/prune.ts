/*
 * What prune.yml runs: shows which images nothing holds any more, and, where ONLY names those that a reviewer has seen, removes them.
 * What is kept, and what is pinned, is said by the stack's file on `main`.
 */
import { execa } from "execa";
import { z } from "zod";
import { configuredPin, retentionEnvironment } from "../../local/stack-file.js";
import { planText } from "../../release/retention/rule.js";
import { addSummary, codeBlock, main, setOutput } from "./github.js";
import { stack } from "./pulumi.js";

const answer = z.object({
  verdicts: z.array(
    z.object({
      image: z.object({
        commit: z.string(),
        bytes: z.number(),
        storedAt: z.coerce.date(),
        isProven: z.boolean(),
      }),
      stays: z.boolean(),
      why: z.string(),
    }),
  ),
  removed: z.array(z.string()).optional(),
  spared: z.array(z.string()).optional(),
});

/** Linux takes 128 KiB in one variable of an environment, and a commit is 41 bytes of it. */
const atOnce = 1_000;

/** @returns the exit code */
async function prune(): Promise<number> {
  const root = process.cwd();
  const removes = process.env["ONLY"] !== undefined;
  const environment = {
    ...(await retentionEnvironment(root, stack)),
    PINNED: await configuredPin(root, stack),
  };
  const args = ["--import", "tsx", "release/cli.ts", "prune", "--json", ...(removes ? ["--delete"] : [])];
  const { exitCode, stdout } = await execa(process.execPath, args, {
    env: environment,
    stderr: "inherit",
    reject: false,
  });
  if (exitCode !== 0) return exitCode ?? 1;
  const { verdicts, removed = [], spared = [] } = answer.parse(JSON.parse(stdout));
  if (removes) {
    addSummary(
      `Removed: ${removed.join(", ") || "nothing"}. Spared, since it is held meanwhile: ${spared.join(", ") || "nothing"}.`,
    );
    return 0;
  }
  const going = verdicts.flatMap(({ image, stays }) => (stays ? [] : [image.commit]));
  setOutput("going", going.slice(-atOnce).join(" "));
  addSummary(codeBlock(planText(verdicts)));
  if (going.length > atOnce)
    addSummary(`This run removes the ${atOnce} oldest of them; the next one goes on.`);
  return 0;
}

await main(prune);
