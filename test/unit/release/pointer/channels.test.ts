import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { calendarOf } from "../../../../release/pointer/runner-releases.js";
import {
  everybody,
  parsePromotion,
  type Channel,
  type Promotion,
} from "../../../../release/pointer/channels.js";
import { planMoves } from "../../../../release/pointer/plan.js";
import type { StoredPointer } from "../../../../release/pointer/pointer.js";
import { claim, settle } from "../../../../release/pointer/promote.js";
import type { Pointer } from "../../../../release/store/records.js";
import { inChannel } from "../../../../release/store/channels.js";
import { keys } from "../../../../release/store/keys.js";
import { MemoryStore, publishInto } from "../memory-store.js";

const [old, live, newest] = ["0", "1", "2"].map((digit) => digit.repeat(40)) as [string, string, string];
const day: Promotion = { kind: "after", ms: 86_400_000, text: "24h" };
const canary: Channel = { name: "canary", pinned: undefined, promote: day };
const promotedAt = "2026-11-25T12:00:00.000Z";
const due = new Date("2026-11-26T12:00:00.000Z");
const justBefore = new Date(due.getTime() - 1);

/** A channel whose newest move named that commit, then, and whose copies agree unless they are given. */
function pointed(commit: string, copies: Partial<StoredPointer> = {}): StoredPointer {
  const head: Pointer = { seq: 7, commit, previous: null, promotedAt };
  return { head, latestJson: head, latest: commit, ...copies };
}
const nothing: StoredPointer = { head: null, latestJson: null, latest: null };

describe("everybody, beside a channel that gets new images first,", () => {
  it.each<[string, string | null, Channel, StoredPointer, Date, string, RegExp | null]>([
    ["gets the first image at once", null, canary, nothing, due, newest, null],
    ["has it already", newest, canary, nothing, justBefore, newest, null],
    ["waits where the channel never had an image", live, canary, nothing, due, live, /which it has not yet$/],
    [
      "waits for an image that is still to be built",
      live,
      canary,
      pointed(live),
      due,
      live,
      /goes to them 24h after it went live in the channel canary, which it has not yet$/,
    ],
    [
      "waits until its time is up",
      live,
      canary,
      pointed(newest),
      justBefore,
      live,
      /^everybody keeps 1{40}: 2{40} goes to them at 2026-11-26T12:00:00\.000Z, 24h after/,
    ],
    ["gets it when its time is up, to the millisecond", live, canary, pointed(newest), due, newest, null],
    [
      "does not get an image that was overtaken before somebody looked: what came after it may be its mend",
      live,
      canary,
      pointed(old),
      new Date("2027-01-01T00:00:00Z"),
      live,
      /which it has not yet$/,
    ],
    [
      "does not believe a channel whose latest was edited by hand",
      live,
      canary,
      pointed(newest, { latest: old }),
      due,
      live,
      /which it has not yet$/,
    ],
    [
      "nor one whose move was killed before its hosts could get it",
      live,
      canary,
      pointed(newest, { latestJson: null, latest: null }),
      due,
      live,
      /which it has not yet$/,
    ],
    [
      "does not believe a clock that is before the move",
      live,
      canary,
      pointed(newest),
      new Date("2026-11-20T00:00:00Z"),
      live,
      /goes to them at 2026-11-26T12/,
    ],
    [
      "keeps theirs where the channel is pinned, be it to the newest",
      live,
      { ...canary, pinned: newest },
      pointed(newest),
      due,
      live,
      /the channel canary is pinned to 2{40}, so 2{40} goes no further$/,
    ],
    [
      "keeps theirs where it goes by merge",
      live,
      { ...canary, promote: { kind: "by merge" } },
      pointed(newest),
      due,
      live,
      /by a merge alone: pulumi config set latest 2{40}$/,
    ],
    [
      "does not wait for a channel from which nothing ever goes to them",
      live,
      { ...canary, promote: { kind: "never" } },
      nothing,
      due,
      newest,
      null,
    ],
  ])("%s", (_, has, channel, stored, now, commit, waits) => {
    const found = everybody(newest, has, channel, stored, now);
    expect(found.commit).toBe(commit);
    if (waits === null) expect(found.waits).toBeNull();
    else expect(found.waits).toMatch(waits);
  });

  it("says from when on it would be due, where it is a matter of time", () => {
    expect(everybody(newest, live, canary, pointed(newest), justBefore).until).toEqual(due);
    expect(everybody(newest, live, { ...canary, pinned: old }, pointed(newest), justBefore).until).toBeNull();
  });

  it("never gets anything but what they have and the newest, and that never before its time", () => {
    fc.assert(
      fc.property(fc.integer({ min: -1e9, max: 1e9 }), fc.constantFrom(old, live, newest), (ms, named) => {
        const now = new Date(Date.parse(promotedAt) + ms);
        const { commit } = everybody(newest, live, canary, pointed(named), now);
        expect(commit).toBe(named === newest && ms >= day.ms ? newest : live);
      }),
    );
  });
});

describe("how long a channel has an image before everybody", () => {
  it.each([
    ["after 24h", { kind: "after", ms: 86_400_000, text: "24h" }],
    ["after 5s", { kind: "after", ms: 5_000, text: "5s" }],
    ["after 90m", { kind: "after", ms: 5_400_000, text: "90m" }],
    ["after 90d", { kind: "after", ms: 7_776_000_000, text: "90d" }],
    ["by merge", { kind: "by merge" }],
  ])("is read from %j", (text, promotion) => {
    expect(parsePromotion(text)).toEqual(promotion);
  });

  it.each(["", "24h", "after", "after 24", "after 0h", "after -1h", "after 1.5h", "after 24 h", "after 91d"])(
    "is not read from %j",
    (text) => {
      expect(parsePromotion(text)).toBeNull();
    },
  );
});

describe("a channel in a bucket", () => {
  const arch = "x86_64";
  const question = {
    ...{ newest, pinned: undefined, stack: "images/prod" },
    ...{ architectures: [arch] as const, calendar: calendarOf([]), trust: null },
  };
  const move = async (
    store: MemoryStore,
    channel: string | undefined,
    seq: number,
    commit: string,
    stack?: string,
  ) => {
    const own = inChannel(store, channel);
    await claim(own, { seq, commit, stack });
    await settle(own);
  };

  it("has a pointer and a log of its own below its name, and everybody's images", async () => {
    const store = new MemoryStore();
    publishInto(store, newest, arch);
    await move(store, undefined, 1, old);
    const before = new Map(store.objects);
    await move(store, "canary", 1, newest);
    await move(store, "canary", 2, old);
    expect([...store.objects.keys()].filter((key) => !before.has(key))).toEqual([
      "canary/pointer/00000001.json",
      "canary/latest.json",
      "canary/latest",
      "canary/pointer/00000002.json",
    ]);
    for (const [key, text] of before) expect(store.objects.get(key)).toBe(text);
    const own = inChannel(store, "canary");
    expect(await own.list(keys.imagesPrefix(newest))).toEqual(await store.list(keys.imagesPrefix(newest)));
    expect(await own.head(keys.disk(newest, arch))).toEqual(await store.head(keys.disk(newest, arch)));
    expect(await own.list(keys.pointerPrefix, keys.pointer(1))).toEqual([keys.pointer(2)]);
  });

  it("is not asked for before it has begun: the roles of CI may not read it until an administrator has applied that", async () => {
    const store = new MemoryStore();
    publishInto(store, newest, arch);
    const get = store.get.bind(store);
    store.get = (key) =>
      key.startsWith("canary/") ? Promise.reject(new Error(`asked for ${key}`)) : get(key);
    const { channels } = await planMoves(store, { ...question, channels: [canary] });
    expect(channels).toMatchObject([
      { channel: "canary", commit: newest, seq: 1, from: null, isLive: false },
    ]);
  });

  it("is finished where its first move was killed before there was a latest", async () => {
    const store = new MemoryStore();
    publishInto(store, newest, arch);
    await claim(inChannel(store, "canary"), { seq: 1, commit: newest });
    const { channels } = await planMoves(store, { ...question, channels: [canary] });
    expect(channels).toMatchObject([{ seq: 2, isLive: false }]);
  });

  it("is one stack's, whoever's everybody's pointer is", async () => {
    const store = new MemoryStore();
    publishInto(store, newest, arch);
    await move(store, "canary", 1, newest, "images/other");
    await expect(planMoves(store, { ...question, channels: [canary] })).rejects.toThrow(
      /^channel canary of bucket "memory" is another stack's, .* --stack images\/prod --channel canary$/,
    );
  });

  it("is proven like everybody's pointer, each with a line of its own", async () => {
    const store = new MemoryStore();
    publishInto(store, newest, arch);
    publishInto(store, old, arch);
    const both = ["x86_64", "aarch64"] as const;
    const channels = [
      { ...canary, pinned: old },
      { name: "early", pinned: newest, promote: { kind: "never" as const } },
    ];
    await expect(planMoves(store, { ...question, architectures: both, channels })).rejects.toThrow(
      /^config runner-images:channels\.canary\.latest names 0{40}, which cannot go live: aarch64: not published for this architecture; .*\nconfig runner-images:channels\.early\.latest names 2{40}, which cannot go live: aarch64: not published/,
    );
  });

  it("holds up nobody who is pinned", async () => {
    const store = new MemoryStore();
    for (const commit of [old, live, newest]) publishInto(store, commit, arch);
    await move(store, undefined, 1, live);
    await move(store, "canary", 1, newest);
    const { latest, waits } = await planMoves(store, { ...question, pinned: old, channels: [canary] });
    expect([latest.commit, waits]).toEqual([old, null]);
  });

  it("refuses to put back an image that everybody keeps and that cannot go live any more", async () => {
    const store = new MemoryStore();
    for (const commit of [live, newest]) publishInto(store, commit, arch);
    await move(store, undefined, 1, live);
    store.objects.set(keys.latest, `${old}\n`);
    store.objects.delete(keys.disk(live, arch));
    await expect(planMoves(store, { ...question, channels: [canary] })).rejects.toThrow(
      /^everybody keeps the image 1{40}, which cannot go live again: .* is missing; pin another commit: pulumi config set latest <commit>$/,
    );
  });
});
