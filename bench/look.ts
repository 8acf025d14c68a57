/** What the program asks of the store before an update: bench/age.ts. Usage: tsx bench/look.ts <commit> */
import { planMove } from "../release/pointer/plan.js";
import { readCalendar } from "../release/pointer/runner-releases.js";
import { openStore } from "../release/store/store.js";

const root = process.cwd();
const [calendar, store] = await Promise.all([
  readCalendar({ root, environment: process.env }),
  openStore("images", process.env),
]);
await planMove(store, {
  newest: process.argv[2]!,
  pinned: undefined,
  architectures: ["x86_64"],
  calendar,
  trust: null,
  stack: "runner-images/bench",
});
