import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { claim, settle } from "../../../../release/pointer/promote.js";
import {
  planPrune,
  planPruneQuickly,
  prune,
  removalOrder,
  type PruneRequest,
} from "../../../../release/retention/prune.js";
import { inChannel } from "../../../../release/store/channels.js";
import { keys } from "../../../../release/store/keys.js";
import { pruneRecord } from "../../../../release/store/records.js";
import { parseJson, type PrunableStore } from "../../../../release/store/store.js";
import { imageObjects, MemoryStore, today } from "../memory-store.js";

const now = today;
const dayMs = 24 * 60 * 60 * 1000;
const commitOf = (index: number) => index.toString(16).padStart(40, "0");

/** A bucket in memory that images can be removed from, and that can be killed. */
class PrunableMemoryStore extends MemoryStore implements PrunableStore {
  /** Asked before each removal. */
  beforeRemoval: (key: string) => Promise<void> | void = () => undefined;

  async remove(key: string): Promise<void> {
    await this.beforeRemoval(key);
    this.objects.delete(key);
  }

  /** An image of so many days ago; without a boot record it is not proven. */
  add(commit: string, age: number, isProven = true): void {
    for (const [key, text] of imageObjects(commit, "x86_64")) {
      if (!isProven && key === keys.bootRecord(commit, "x86_64")) continue;
      this.objects.set(key, text);
      this.modified.set(key, new Date(now.getTime() - age * dayMs));
    }
  }

  async move(commit: string, channel?: string): Promise<void> {
    const own = inChannel(this, channel);
    const newest = (await own.list(keys.pointerPrefix)).length;
    await claim(own, { commit, seq: newest + 1 });
    await settle(own);
  }

  images(): string[] {
    const commits = [...this.objects.keys()].flatMap((key) => /^images\/(\w+)\//.exec(key)?.[1] ?? []);
    return [...new Set(commits)].sort();
  }
}

function request(given: Partial<PruneRequest> = {}): PruneRequest {
  return { retention: { images: 1, days: 1, moves: 1 }, pinned: [], newest: commitOf(0), now, ...given };
}

async function pruneNow(store: PrunableMemoryStore, given: PruneRequest = request()) {
  return prune(store, await planPrune(store, given), given);
}

// Each removal is said, and there are thousands.
beforeEach(() => void vi.spyOn(process.stderr, "write").mockReturnValue(true));
afterEach(() => vi.restoreAllMocks());

describe("prune", () => {
  it("removes what nothing holds, and leaves a record of each image that says what was there", async () => {
    const store = new PrunableMemoryStore();
    for (const index of [1, 2, 3]) store.add(commitOf(index), index * 10);
    const gone = (await store.listObjects(keys.imagesPrefix(commitOf(3)))).map(({ key, bytes }) => ({
      key,
      bytes,
    }));
    await store.move(commitOf(2));
    expect(await pruneNow(store)).toEqual({ removed: [commitOf(3)], spared: [] });
    expect(store.images()).toEqual([commitOf(1), commitOf(2)]);
    const record = parseJson(store.objects.get(keys.pruned(commitOf(3), now))!, pruneRecord);
    expect(record).toMatchObject({ commit: commitOf(3), objects: gone });
    expect(record!.why).toMatch(/^30 days old; 2 newer ones are proven/);
  });

  it("is decided at a glance the same, and not at all where there is too much to look at", async () => {
    const store = new PrunableMemoryStore();
    for (const index of [1, 2, 3]) store.add(commitOf(index), index * 10);
    expect(await planPruneQuickly(store, request())).toEqual(await planPrune(store, request()));
    for (let index = 0; index < 2_000; index++) store.objects.set(`${keys.imagesRoot}more/${index}`, "x");
    expect(await planPruneQuickly(store, request())).toBeNull();
  });

  it("leaves alone what is no image of this project", async () => {
    const store = new PrunableMemoryStore();
    store.objects.set("images/notes.txt", "x");
    store.modified.set("images/notes.txt", new Date(0));
    expect(await pruneNow(store)).toEqual({ removed: [], spared: [] });
    expect(store.objects.has("images/notes.txt")).toBe(true);
  });

  it("counts no image as proven of which an architecture was not booted", async () => {
    const store = new PrunableMemoryStore();
    store.add(commitOf(1), 10);
    store.objects.set(keys.disk(commitOf(1), "aarch64"), "begun");
    store.modified.set(keys.disk(commitOf(1), "aarch64"), new Date(now.getTime() - 10 * dayMs));
    store.add(commitOf(2), 20);
    expect((await pruneNow(store)).removed).toEqual([commitOf(1)]);
  });

  it("spares what a move names after the look", async () => {
    const store = new PrunableMemoryStore();
    for (const index of [1, 2, 3]) store.add(commitOf(index), index * 10);
    const given = request();
    const plan = await planPrune(store, given);
    await store.move(commitOf(3));
    expect(await prune(store, plan, given)).toEqual({ removed: [commitOf(2)], spared: [commitOf(3)] });
  });

  it("leaves, where it is killed, no image but whole ones, and is finished by the next run", async () => {
    const { length } = imageObjects(commitOf(2), "x86_64");
    for (let killed = 0; killed < length; killed++) {
      const store = new PrunableMemoryStore();
      for (const index of [1, 2]) store.add(commitOf(index), index * 10);
      await store.move(commitOf(1));
      let removed = 0;
      store.beforeRemoval = () => {
        if (removed++ === killed) throw new Error("killed");
      };
      await expect(pruneNow(store)).rejects.toThrow("killed");
      expect(store.objects.has(keys.manifest(commitOf(2), "x86_64")), String(killed)).toBe(killed === 0);
      store.beforeRemoval = () => undefined;
      await pruneNow(store, request({ now: new Date(now.getTime() + 1) }));
      expect(store.images(), String(killed)).toEqual([commitOf(1)]);
    }
  });

  it("takes two at once for one", async () => {
    const store = new PrunableMemoryStore();
    for (const index of [1, 2, 3]) store.add(commitOf(index), index * 10);
    await store.move(commitOf(1));
    await Promise.all([pruneNow(store), pruneNow(store, request({ now: new Date(now.getTime() + 1) }))]);
    expect(store.images()).toEqual([commitOf(1)]);
  });

  it("removes manifests first and disks last", () => {
    const objects = imageObjects(commitOf(1), "x86_64").map(([key]) => ({ key, bytes: 1, modifiedAt: now }));
    const order = removalOrder(commitOf(1), objects);
    expect(order[0]).toBe(keys.manifest(commitOf(1), "x86_64"));
    expect(order.at(-1)).toBe(keys.disk(commitOf(1), "x86_64"));
  });

  it("loses, in a thousand histories, none that is live, pinned, recently moved, young or among the newest proven", async () => {
    const history = fc.record({
      ages: fc.array(fc.record({ days: fc.nat(400), isProven: fc.boolean() }), {
        minLength: 1,
        maxLength: 12,
      }),
      moves: fc.array(fc.nat(11), { maxLength: 8 }),
      channelMoves: fc.array(fc.nat(11), { maxLength: 4 }),
      pins: fc.array(fc.nat(11), { maxLength: 2 }),
      newest: fc.nat(11),
      meanwhile: fc.option(fc.nat(11)),
      retention: fc.record({
        images: fc.integer({ min: 1, max: 4 }),
        days: fc.integer({ min: 1, max: 120 }),
        moves: fc.integer({ min: 1, max: 4 }),
      }),
    });
    await fc.assert(
      fc.asyncProperty(history, async ({ ages, moves, channelMoves, pins, newest, meanwhile, retention }) => {
        const store = new PrunableMemoryStore();
        ages.forEach(({ days, isProven }, index) => store.add(commitOf(index), days, isProven));
        const existing = (index: number) => index < ages.length;
        const moved = moves.filter(existing);
        for (const index of moved) await store.move(commitOf(index));
        const channelled = channelMoves.filter(existing);
        for (const index of channelled) await store.move(commitOf(index), "canary");
        const given = request({ retention, pinned: pins.map(commitOf), newest: commitOf(newest) });
        const plan = await planPrune(store, given);
        if (meanwhile !== null && existing(meanwhile)) {
          await store.move(commitOf(meanwhile));
          moved.push(meanwhile);
        }
        await prune(store, plan, given);

        // Said once more, in other words than the rule's.
        const proven = ages
          .map(({ days, isProven }, index) => ({ days, isProven, index }))
          .filter(({ isProven }) => isProven)
          .sort((a, b) => a.days - b.days || a.index - b.index)
          .slice(0, retention.images);
        const held = new Set([
          ...[...pins, newest].filter(existing),
          ...moved.slice(-retention.moves),
          ...channelled.slice(-retention.moves),
          ...proven.map(({ index }) => index),
          ...ages.flatMap(({ days }, index) => (days < retention.days ? [index] : [])),
        ]);
        const left = new Set(store.images());
        for (const index of held) expect(left).toContain(commitOf(index));
        // And no more than that, but for what the oldest of those moves came from, and what was among the last before the one meanwhile.
        const more = new Set([
          ...moved.slice(-retention.moves - 2),
          ...channelled.slice(-retention.moves - 1),
        ]);
        ages.forEach((_, index) => {
          if (!held.has(index) && !more.has(index)) expect(left).not.toContain(commitOf(index));
        });
      }),
      { numRuns: 1_000 },
    );
  });
});
