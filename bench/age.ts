/**
 * A bucket of years against a new one: what an update and a person ask of the store, by the number of commits published and moves made.
 * Promise: at most 1.2 times the time (median), the program's start included.
 */
import path from "node:path";
import { execa } from "execa";
import { say } from "../release/process/progress.js";
import { keys } from "../release/store/keys.js";
import type { Pointer } from "../release/store/records.js";
import { jsonText, openStore, type S3Store } from "../release/store/store.js";
import { TestS3 } from "../test/engine/s3.js";
import { imageObjects } from "../test/unit/release/memory-store.js";
import { report } from "./result.js";

const rounds = 5;
const promised = 1.2;
const ages = [10, 10_000];
const arch = "x86_64";

const commitOf = (seq: number) => String(seq).padStart(40, "0");

/** Every commit was published, and went live once. */
async function grow(store: S3Store, moves: number): Promise<void> {
  const entry = (seq: number): Pointer => ({
    seq,
    commit: commitOf(seq),
    previous: seq === 1 ? null : commitOf(seq - 1),
    promotedAt: new Date(Date.UTC(2026, 0, 1) + seq * 8 * 60 * 60 * 1000).toISOString(),
  });
  const writers = 16;
  const write = async (first: number) => {
    for (let seq = first; seq <= moves; seq += writers) {
      for (const [key, text] of imageObjects(commitOf(seq), arch)) await store.create(key, text);
      await store.create(keys.pointer(seq), jsonText(entry(seq)));
      if (seq % 1000 === 0) say(`${seq} of ${moves} commits`);
    }
  };
  await Promise.all(Array.from({ length: writers }, (_, index) => write(index + 1)));
  await store.replace(keys.latestJson, jsonText(entry(moves)), null);
  await store.replace(keys.latest, `${commitOf(moves)}\n`, null);
}

const contestants: Record<string, (moves: number) => string[]> = {
  status: () => ["release/cli.ts", "status", "--json"],
  "what a preview asks": (moves) => ["bench/look.ts", commitOf(moves)],
};

const servers = await Promise.all(ages.map(() => TestS3.start()));
try {
  const times: Record<string, number[][]> = {};
  for (const [index, age] of ages.entries()) {
    await grow(await openStore("images", servers[index]!.environment), age);
  }
  for (let round = 1; round <= rounds; round++) {
    for (const [name, command] of Object.entries(contestants))
      for (const [index, age] of ages.entries()) {
        const start = performance.now();
        await execa("node", ["--import", "tsx", ...command(age)], {
          cwd: path.resolve(import.meta.dirname, ".."),
          env: servers[index]!.environment,
        });
        ((times[name] ??= [])[index] ??= []).push((performance.now() - start) / 1000);
      }
    say(`round ${round} of ${rounds}`);
  }
  const sideName = (age: number) => `${age} commits and moves`;
  const [young, old] = [ages[0]!, ages.at(-1)!];
  await report({
    name: "age",
    title: "A bucket's age",
    about: "What an update and a person ask of the store, by the number of commits published and moves made.",
    comparisons: Object.entries(times).map(([title, of]) => ({
      title,
      sides: of.map((seconds, index) => ({ name: sideName(ages[index]!), rounds: { seconds } })),
      promises: [{ quantity: "seconds", of: sideName(old), by: sideName(young), atMost: promised }],
    })),
    notes: [],
  });
} finally {
  for (const server of servers) await server.stop();
}
