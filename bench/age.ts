/**
 * A bucket of years against a new one: `status`, a whole preview and a whole update with nothing to do, by the number of commits published and
 * moves made. Engine, S3 server and CDN are real, the images are the engine tests'. Promise: with 10,000 at most 1.2 times the time with ten.
 */
import { say } from "../release/process/progress.js";
import { keys } from "../release/store/keys.js";
import type { Pointer } from "../release/store/records.js";
import { jsonText, openStore } from "../release/store/store.js";
import { World } from "../test/engine/world.js";
import { imageObjects } from "../test/unit/release/memory-store.js";
import { inTurns, report } from "./result.js";

const rounds = 5;
const promised = 1.2;
const ages = [1, 10, 100, 10_000];

const commitOf = (seq: number) => String(seq).padStart(40, "0");

/** Every commit was published, and went live once; the last of them by an update. */
async function grow(world: World, moves: number): Promise<void> {
  const store = await openStore("runner-images", world.environment);
  const entry = (seq: number): Pointer => ({
    seq,
    commit: commitOf(seq),
    previous: seq === 1 ? null : commitOf(seq - 1),
    promotedAt: new Date(Date.UTC(2026, 0, 1) + seq * 60 * 60 * 1000).toISOString(),
  });
  const writers = 16;
  const write = async (first: number) => {
    for (let seq = first; seq < moves; seq += writers) {
      for (const [key, text] of imageObjects(commitOf(seq), "x86_64")) await store.create(key, text);
      await store.create(keys.pointer(seq), jsonText(entry(seq)));
      if (seq % 1000 === 0) say(`${seq} of ${moves} commits`);
    }
  };
  await Promise.all(Array.from({ length: writers }, (_, index) => write(index + 1)));
  if (moves > 1) {
    await store.replace(keys.latestJson, jsonText(entry(moves - 1)), null);
    await store.replace(keys.latest, `${commitOf(moves - 1)}\n`, null);
  }
  await world.up();
}

const operations: Record<string, (world: World) => Promise<unknown>> = {
  "`release status`": (world) => world.release("status", {}, "--json"),
  "a preview": (world) => world.preview(),
  "an update with nothing to do": (world) => world.up(),
};
const sideName = (age: number) => `${age.toLocaleString("en")} published and moved`;

const worlds = new Map<number, World>();
try {
  for (const age of ages) {
    worlds.set(age, await World.create());
    await grow(worlds.get(age)!, age);
  }
  const comparisons = [];
  for (const [title, operate] of Object.entries(operations)) {
    say(title);
    const contestants = [...worlds].map(([age, world]) => [sideName(age), () => operate(world)] as const);
    const measured = await inTurns(rounds, Object.fromEntries(contestants));
    comparisons.push({
      title,
      sides: ages.map((age) => ({ name: sideName(age), rounds: measured[sideName(age)]! })),
      promises: [
        { quantity: "seconds" as const, of: sideName(10_000), by: sideName(10), atMost: promised },
        { quantity: "cpuSeconds" as const, of: sideName(10_000), by: sideName(10), atMost: null },
      ],
    });
  }
  await report({
    name: "age",
    title: "A bucket's age",
    about:
      "The same with few and with many commits published and moves made. `status` is a command of its own; preview and update run in the bench's own process, without its start.",
    comparisons,
    notes: [
      "Images and guests are the engine tests' fakes, which changes nothing here: neither is read or started.",
    ],
  });
} finally {
  for (const world of worlds.values()) await world.remove();
}
