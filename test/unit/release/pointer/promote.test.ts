import { describe, expect, it, vi } from "vitest";
import { keys } from "../../../../release/store/keys.js";
import { agrees, readPointer } from "../../../../release/pointer/pointer.js";
import { claim, promote, settle } from "../../../../release/pointer/promote.js";
import { calendarOf } from "../../../../release/pointer/runner-releases.js";
import type { Pointer } from "../../../../release/store/records.js";
import { MemoryStore, publishInto } from "../memory-store.js";

const a = "a".repeat(40);
const b = "b".repeat(40);

async function move(store: MemoryStore, seq: number, commit: string): Promise<Pointer> {
  const entry = await claim(store, { seq, commit });
  await settle(store);
  return entry;
}

describe("a move of the pointer", () => {
  it("appends to the log and brings both copies along", async () => {
    const store = new MemoryStore();
    await move(store, 1, a);
    await move(store, 2, b);
    expect(store.objects.get(keys.latest)).toBe(`${b}\n`);
    expect(store.objects.get(keys.latestJson)).toBe(store.objects.get(keys.pointer(2)));
    expect(agrees(await readPointer(store), b)).toBe(true);
  });

  it("records what latest named before, also where that was set by hand", async () => {
    const store = new MemoryStore();
    expect((await move(store, 1, a)).previous).toBeNull();
    expect((await move(store, 2, b)).previous).toBe(a);
    const byHand = "9".repeat(40);
    store.objects.set(keys.latest, `${byHand}\n`);
    expect((await move(store, 3, b)).previous).toBe(byHand);
  });

  it("writes nothing when it is repeated", async () => {
    const store = new MemoryStore();
    await move(store, 1, a);
    const create = vi.spyOn(store, "create");
    const replace = vi.spyOn(store, "replace");
    await move(store, 1, a);
    expect(create).not.toHaveBeenCalled();
    expect(replace).not.toHaveBeenCalled();
  });

  it("is finished by its repetition where it was killed after the claim", async () => {
    const store = new MemoryStore();
    await move(store, 1, a);
    await claim(store, { seq: 2, commit: b });
    expect(store.objects.get(keys.latest)).toBe(`${a}\n`);
    await move(store, 2, b);
    expect(agrees(await readPointer(store), b)).toBe(true);
    expect(await store.list(keys.pointerPrefix)).toHaveLength(2);
  });

  it.each([
    ["whose number another commit has", 2, a, /another update moved the pointer to b{40} \(move 2\)/],
    ["that would take an older one's number", 1, b, /another update moved the pointer/],
    ["that repeats an older one", 1, a, /another update moved the pointer/],
    ["that would leave a gap", 4, a, /leave a gap, the newest is 2: use --seq 3/],
  ])("is refused with nothing changed %s", async (_, seq, commit, message) => {
    const store = new MemoryStore();
    await move(store, 1, a);
    await move(store, 2, b);
    const before = new Map(store.objects);
    await expect(claim(store, { seq, commit })).rejects.toThrow(message);
    expect(store.objects).toEqual(before);
  });

  it("never puts an older move back on top, however long it was delayed before it writes", async () => {
    const store = new MemoryStore();
    await move(store, 1, a);
    await claim(store, { seq: 2, commit: b });
    // Just before this move's first write, the move after it runs from beginning to end.
    const replace = store.replace.bind(store);
    const accepted: boolean[] = [];
    store.replace = async (key, text, etag) => {
      store.replace = replace;
      await move(store, 3, a);
      accepted.push(await replace(key, text, etag));
      return accepted[0]!;
    };
    await settle(store);
    expect(accepted).toEqual([false]);
    expect(agrees(await readPointer(store), a)).toBe(true);
  });

  it("is refused for an image that is not proven, before anything is written", async () => {
    const store = new MemoryStore();
    publishInto(store, a, "x86_64");
    const before = new Map(store.objects);
    const request = {
      commit: a,
      seq: 1,
      architectures: ["x86_64", "aarch64"] as const,
      url: "http://127.0.0.1:9",
    };
    await expect(promote(store, request, { calendar: calendarOf([]), trust: null })).rejects.toThrow(
      /cannot go live: aarch64: not published/,
    );
    expect(store.objects).toEqual(before);
  });

  it("leaves foreign pointers alone in a store without a log", async () => {
    const store = new MemoryStore();
    store.objects.set(keys.latest, `${a}\n`);
    await settle(store);
    expect([...store.objects]).toEqual([[keys.latest, `${a}\n`]]);
  });
});
