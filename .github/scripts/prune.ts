/*
 * What prune.yml runs: shows which images nothing holds any more, and, where ONLY names those that a reviewer has seen, removes them.
 */
import { prune } from "../../release/retention/prune.js";
import { planText } from "../../release/retention/rule.js";
import { addSummary, codeBlock, main, setOutput } from "./github.js";
import { planRemoval } from "./removal.js";

/** Linux takes 128 KiB in one variable of an environment, and a commit is 41 bytes of it. */
const atOnce = 1_000;

async function show(): Promise<number> {
  const { verdicts } = (await planRemoval()).plan;
  const going = verdicts.flatMap(({ image, stays }) => (stays ? [] : [image.commit]));
  setOutput("going", going.slice(-atOnce).join(" "));
  addSummary(codeBlock(planText(verdicts)));
  if (going.length > atOnce)
    addSummary(`This run removes the ${atOnce} oldest of them; the next one goes on.`);
  return 0;
}

async function remove(only: string[]): Promise<number> {
  const { store, request, plan } = await planRemoval();
  const { removed, spared } = await prune(store, plan, { ...request, only });
  const list = (commits: string[]) => commits.join(", ") || "nothing";
  addSummary(`Removed: ${list(removed)}. Spared, since it is held meanwhile: ${list(spared)}.`);
  return 0;
}

const { ONLY: only } = process.env;
await main(() => (only === undefined ? show() : remove(only.split(" "))));
