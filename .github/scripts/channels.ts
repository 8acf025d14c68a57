/* What channels.yml runs first: whether an image was in a channel for its time, and everybody is to get it. */
import { say } from "../../release/process/progress.js";
import { readDue } from "./due.js";
import { addSummary, main, setOutput } from "./github.js";

async function channels(): Promise<number> {
  const { isDue, why } = await readDue(process.cwd(), process.env["IMAGES_URL"] ?? "", new Date());
  setOutput("due", String(isDue));
  say(why);
  addSummary(why);
  return 0;
}

await main(channels);
