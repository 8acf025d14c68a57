import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { keys } from "../../../../release/store/keys.js";
import { agrees, nextSeq, readPointer } from "../../../../release/pointer/pointer.js";
import { claim, promote, settle } from "../../../../release/pointer/promote.js";
import { planMoves } from "../../../../release/pointer/plan.js";
import { calendarOf } from "../../../../release/pointer/runner-releases.js";
import type { Pointer } from "../../../../release/store/records.js";
import { MemoryStore, publishInto } from "../memory-store.js";

const a = "a".repeat(40);
const b = "b".repeat(40);

async function move(store: MemoryStore, seq: number, commit: string, stack?: string): Promise<Pointer> {
  const entry = await claim(store, { seq, commit, stack });
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
    ["whose number another commit has", 2, a, /another update moved the pointer: move 2 to b{40} \(/],
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

  describe("that waits for a CDN", () => {
    const calendar = calendarOf([]);
    let store: MemoryStore;
    let url: string;
    let server: Server;
    /** What the CDN serves. */
    let served: () => string;

    beforeEach(async () => {
      store = new MemoryStore();
      for (const commit of [a, b]) publishInto(store, commit, "x86_64");
      server = createServer((_, response) => void response.end(served()));
      await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
      url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    });
    afterEach(() => {
      server.closeAllConnections();
      server.close();
    });

    const request = (commit: string, seq: number, stack?: string) => ({
      ...{ commit, seq, stack, url },
      architectures: ["x86_64"] as const,
    });
    const context = { calendar, trust: null };

    it("ends as soon as another is the newest, and says which won: its number, commit and stack", async () => {
      const old = `${"0".repeat(40)}\n`;
      let asked = 0;
      served = () => {
        // The CDN never serves the first move.
        if (++asked === 1) void move(store, 2, b, "images/other");
        return old;
      };
      await expect(promote(store, request(a, 1, "images/prod"), context)).rejects.toThrow(
        /^move 1 to a{40} was overtaken: the newest is move 2 to b{40} \(stack images\/other, \d{4}-.*Z\); where that/,
      );
      expect(asked).toBeLessThan(4);
    });

    it("ends well where what it waited for was served, though another is the newest by then", async () => {
      served = () => {
        void move(store, 2, b);
        return `${a}\n`;
      };
      expect(await promote(store, request(a, 1), context)).toMatchObject({ seq: 1, commit: a });
    });

    it("shows what it did once it is made, and beside the waiting", async () => {
      const events: string[] = [];
      served = () => {
        events.push("asked");
        return `${a}\n`;
      };
      const notes = { image: { commit: a, author: "Ada", subject: "image: add ripgrep" } };
      const moved = await promote(store, { ...request(a, 1), notes }, context, async () => {
        events.push(`latest names ${store.objects.get(keys.latest)?.trim()}`);
        await vi.waitFor(() => expect(events).toContain("asked"));
        events.push("shown");
      });
      expect(events).toEqual([`latest names ${a}`, "asked", "shown"]);
      expect(moved).toMatchObject(notes);
      expect(JSON.parse(store.objects.get(keys.latestJson)!)).toMatchObject(notes);
    });

    describe("in a channel", () => {
      const inCanary = (commit: string, seq: number) => ({ ...request(commit, seq), channel: "canary" });
      const imageKey = `canary/${keys.diskSha256(a, "x86_64")}`;
      /** What the CDN answers, by path; anything else is not there. */
      let answers: Record<string, () => string>;
      beforeEach(() => {
        server.removeAllListeners("request");
        server.on("request", (asked: IncomingMessage, response: ServerResponse) => {
          const answer = answers[asked.url!.slice(1)]?.();
          response.writeHead(answer === undefined ? 404 : 200).end(answer);
        });
      });

      it("moves that pointer alone, and waits until the CDN serves it and its images below the channel's name", async () => {
        answers = {
          [imageKey]: () => store.objects.get(keys.diskSha256(a, "x86_64"))!,
          "canary/latest": () => store.objects.get("canary/latest") ?? "",
        };
        const result = await promote(store, inCanary(a, 1), context);
        expect(result).toMatchObject({ seq: 1, commit: a, url: `${url}/canary` });
        expect(await readPointer(store)).toEqual({ head: null, latestJson: null, latest: null });
        expect(store.objects.get("canary/latest")).toBe(`${a}\n`);
      });

      it.each<[string, Record<string, () => string>, RegExp]>([
        ["serves none of its images", {}, /\.sha256 still answers 404 after 150 s, and hosts/],
        [
          "serves other ones",
          { [imageKey]: () => `${"0".repeat(64)}\n` },
          /\.sha256 still is another one than the store's after 150 s, and hosts/,
        ],
      ])("is refused, with nothing written, where the CDN %s there", async (_, given, message) => {
        answers = given;
        const before = new Map(store.objects);
        // A clock on which a minute passes each time somebody looks.
        let clock = Date.now();
        vi.spyOn(Date, "now").mockImplementation(() => (clock += 60_000));
        await expect(promote(store, inCanary(a, 1), context)).rejects.toThrow(message);
        vi.restoreAllMocks();
        expect(store.objects).toEqual(before);
      });
    });

    it("is repeated where its image is live, whatever is wrong with it by now", async () => {
      served = () => `${a}\n`;
      const first = await promote(store, request(a, 1), context);
      store.objects.delete(keys.bootRecord(a, "x86_64"));
      expect(await promote(store, request(a, 1), context)).toEqual(first);
      await expect(promote(store, request(a, 2), context)).rejects.toThrow(
        /cannot go live: .*not boot-tested/,
      );
    });
  });

  it("names the stack whose pointer it is, which stays so where nobody says another", async () => {
    const store = new MemoryStore();
    expect(await move(store, 1, a)).not.toHaveProperty("stack");
    expect((await move(store, 2, b, "images/prod")).stack).toBe("images/prod");
    expect((await move(store, 3, a)).stack).toBe("images/prod");
    const stored = await readPointer(store);
    expect([
      nextSeq(stored, a),
      nextSeq(stored, a, "images/prod"),
      nextSeq(stored, a, "images/other"),
    ]).toEqual([3, 3, 4]);
  });

  it("is planned by the stack whose pointer it is, and by no other", async () => {
    const store = new MemoryStore();
    publishInto(store, a, "x86_64");
    const plan = (stack: string) =>
      planMoves(store, {
        ...{ newest: a, pinned: undefined, stack },
        ...{ architectures: ["x86_64"], calendar: calendarOf([]), trust: null },
      });
    // Nobody's, and so anybody's.
    await move(store, 1, a);
    expect(await plan("images/other")).toMatchObject({ latest: { isLive: true, seq: 1 } });
    await move(store, 2, a, "images/prod");
    expect(await plan("images/prod")).toMatchObject({ latest: { isLive: true, seq: 2 } });
    await expect(plan("images/other")).rejects.toThrow(
      /^bucket "memory" is another stack's, whose newest is move 2 to a{40} \(stack images\/prod, .*\), and this is images\/other: .* --commit a{40} --stack images\/other$/,
    );
  });

  it("leaves foreign pointers alone in a store without a log", async () => {
    const store = new MemoryStore();
    store.objects.set(keys.latest, `${a}\n`);
    await settle(store);
    expect([...store.objects]).toEqual([[keys.latest, `${a}\n`]]);
  });
});
