/**
 * A rollback as hosts see it: from the changed line of config to the other commit at the CDN, which is polled all the while, and how much of it
 * the CDN's memory of the pointer is. Engine, S3 server and CDN are real, with the local platform's times; the images are the engine tests'.
 */
import { setTimeout as delay } from "node:timers/promises";
import { say } from "../release/process/progress.js";
import { keys } from "../release/store/keys.js";
import type { Pointer } from "../release/store/records.js";
import { World } from "../test/engine/world.js";
import { report } from "./result.js";

const rounds = 7;
const pollMs = 50;
/** docs/operations.md says 5; it is looked for every `pollMs`, and on a busy machine later. */
const promisedSeconds = 6;

const world = await World.create("local", {});
try {
  const first = world.imageCommit;
  await world.up();
  const second = await world.changeImage();
  await world.up();

  const total: number[] = [];
  const made: number[] = [];
  const seen: number[] = [];
  for (let round = 1; round <= rounds; round++) {
    const target = round % 2 === 1 ? first : second;
    const start = Date.now();
    await world.pin(target);
    const [served] = await Promise.all([servedAt(target), world.up()]);
    const pointer = JSON.parse(new TextDecoder().decode(await world.bytes(keys.latestJson))) as Pointer;
    const moved = Date.parse(pointer.promotedAt);
    total.push((served - start) / 1000);
    made.push((moved - start) / 1000);
    seen.push((served - moved) / 1000);
    say(`round ${round} of ${rounds}: moved after ${made.at(-1)} s, served after ${total.at(-1)} s`);
  }
  const [whole, untilMoved, untilServed] = [
    "line changed → served by the CDN",
    "line changed → move in the log",
    "move in the log → served by the CDN",
  ];
  await report({
    name: "move",
    title: "A rollback",
    about: `From the changed line of config (\`latest\`) by an update to the commit that the CDN serves, asked every ${pollMs} ms. The local CDN remembers the pointer for up to 5 seconds, as CloudFront does.`,
    comparisons: [
      {
        title: "a rollback",
        sides: [
          { name: whole, rounds: { seconds: total } },
          { name: untilMoved, rounds: { seconds: made } },
          { name: untilServed, rounds: { seconds: seen } },
        ],
        promises: [
          { quantity: "seconds", of: untilServed, by: whole, atMost: null },
          { quantity: "seconds", of: untilServed, by: null, atMost: promisedSeconds },
        ],
      },
    ],
    notes: [
      "Nearly all of the time from the move to its being served is the pointer's time to live; what a shorter one costs: [operations](operations.md#how-soon-a-move-is-seen). CloudFront itself, with its many places, was not measured, and neither were hosts, which poll when they like.",
    ],
  });
} finally {
  await world.remove();
}

/** @returns when the CDN served that commit first, in ms since 1970 */
async function servedAt(commit: string): Promise<number> {
  while ((await world.served(keys.latest)) !== `${commit}\n`) await delay(pollMs);
  return Date.now();
}
