import { afterEach, describe, expect, it, vi } from "vitest";
import { showMove, writePage } from "../../../../release/page/write.js";
import { calendarOf } from "../../../../release/pointer/runner-releases.js";
import { keys } from "../../../../release/store/keys.js";
import { jsonText } from "../../../../release/store/store.js";
import { MemoryStore, publishInto } from "../memory-store.js";
import { commitOf, moveOf } from "./page-facts.js";

const request = { url: "https://images.example.com" };
const context = { calendar: calendarOf([]), trust: null };

/** Each move to an image of its own. */
function makeMoves(store: MemoryStore, newest: number, first = 1): void {
  for (let seq = first; seq <= newest; seq++) {
    publishInto(store, commitOf(seq), "x86_64");
    store.objects.set(keys.pointer(seq), jsonText(moveOf(seq)));
  }
  store.objects.set(keys.latestJson, jsonText(moveOf(newest)));
  store.objects.set(keys.latest, `${commitOf(newest)}\n`);
}

function storeWith(moves: number): MemoryStore {
  const store = new MemoryStore();
  if (moves > 0) makeMoves(store, moves);
  return store;
}

const write = (store: MemoryStore, all = false) => writePage(store, { ...request, all }, context);

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe("writing the page", () => {
  it("writes the moves, the feed, and the page about them last", async () => {
    const store = storeWith(2);
    const [moves, feed, page] = [keys.moves(1), keys.feed, keys.page];
    expect(await write(store)).toEqual({ url: request.url, seq: 2, written: [moves, feed, page] });
    expect(store.objects.get(page)).toContain(commitOf(2));
    expect(store.objects.get(page)).toContain(`runner-images:latest: ${commitOf(1)}`);
    // What it says is the same but for the time.
    expect((await write(store)).written).toEqual([page]);
  });

  it("says that nothing is live while nothing was promoted", async () => {
    const store = storeWith(0);
    expect(await write(store)).toEqual({ url: request.url, seq: 0, written: [keys.feed, keys.page] });
    expect(store.objects.get(keys.page)).toContain("no image was promoted");
  });

  it("finishes a page of moves once another follows, and writes it never again", async () => {
    const store = storeWith(50);
    await write(store);
    makeMoves(store, 51, 51);
    expect((await write(store)).written).toEqual([keys.moves(1), keys.moves(2), keys.feed, keys.page]);
    const finished = store.objects.get(keys.moves(1));
    makeMoves(store, 52, 52);
    expect((await write(store)).written).toEqual([keys.moves(2), keys.feed, keys.page]);
    expect(store.objects.get(keys.moves(1))).toBe(finished);
  });

  it("mends what a move did not write: the page before at once, all of them where it is asked to", async () => {
    const store = storeWith(120);
    expect((await write(store)).written).toEqual([keys.moves(2), keys.moves(3), keys.feed, keys.page]);
    expect((await write(store, true)).written).toEqual([keys.moves(1), keys.page]);
    expect(store.objects.get(keys.moves(1))).toContain(`id="move-1"`);
  });

  it("asks as much of a store with 10,000 moves as of one with 100", async () => {
    const asked = async (moves: number) => {
      const store = storeWith(moves);
      await write(store);
      makeMoves(store, moves + 1, moves + 1);
      const spies = [
        vi.spyOn(store, "get"),
        vi.spyOn(store, "head"),
        vi.spyOn(store, "list"),
        vi.spyOn(store, "replace"),
      ];
      await write(store);
      for (const [key, text] of store.objects)
        if (key.endsWith(".html")) expect(text.length).toBeLessThan(2 ** 20);
      return spies.map((spy) => spy.mock.calls.length);
    };
    expect(await asked(10_020)).toEqual(await asked(120));
  });

  it("shows the newer of two moves, whoever of their writers comes last", async () => {
    const store = storeWith(2);
    const replace = store.replace.bind(store);
    vi.spyOn(store, "replace").mockImplementationOnce((...given) => {
      makeMoves(store, 3, 3);
      return replace(...given);
    });
    expect(await write(store)).toMatchObject({ seq: 3 });
    for (const key of [keys.page, keys.feed, keys.moves(1)])
      expect(store.objects.get(key)).toContain(commitOf(3));
  });

  it("writes again where another writer was faster", async () => {
    const store = storeWith(1);
    vi.spyOn(store, "replace").mockImplementationOnce(() => Promise.resolve(false));
    expect(await write(store)).toMatchObject({ seq: 1 });
    expect(store.objects.get(keys.page)).toContain(commitOf(1));
  });

  it("offers no image that would be refused, and says why", async () => {
    const store = storeWith(4);
    store.objects.delete(keys.bootRecord(commitOf(3), "x86_64"));
    for (const key of await store.list(keys.imagesPrefix(commitOf(2)))) store.objects.delete(key);
    store.objects.set(keys.pruned(commitOf(2), new Date("2026-11-20T00:00:00Z")), "{}");
    store.objects.set(keys.manifest(commitOf(1), "x86_64"), "not a record");
    await write(store);
    const page = store.objects.get(keys.page)!;
    const offered = [...page.matchAll(/runner-images:latest: (\w+)</g)].map(([, commit]) => commit);
    expect(offered).toEqual([commitOf(4)]);
    expect(page).toMatch(/cannot go live again<\/strong>: x86_64: not boot-tested yet/);
    expect(page).toMatch(/cannot go live again<\/strong>: image a+2 was removed on 2026-11-20/);
    expect(page).toMatch(
      /cannot go live again<\/strong>: x86_64: images\/a+1\/ubuntu-x86_64\.json is not a valid manifest/,
    );
  });

  it("lists what was published and booted without ever being live, and nothing that was not booted", async () => {
    const store = storeWith(2);
    for (const number of [7, 8]) publishInto(store, commitOf(number), "x86_64");
    store.objects.delete(keys.bootRecord(commitOf(8), "x86_64"));
    await write(store);
    const [, others] = /<details class="note" id="others">(.*)<\/details>/s.exec(
      store.objects.get(keys.page)!,
    )!;
    const offered = [...others!.matchAll(/runner-images:latest: (\w+)</g)].map(([, commit]) => commit);
    expect(offered).toEqual([commitOf(7)]);
  });

  it("shows a channel's move, also where that is made while the page is written", async () => {
    const store = storeWith(2);
    const channelMove = (seq: number) => {
      store.objects.set(`canary/${keys.pointer(seq)}`, jsonText(moveOf(seq)));
      store.objects.set(`canary/${keys.latestJson}`, jsonText(moveOf(seq)));
      store.objects.set(`canary/${keys.latest}`, `${commitOf(seq)}\n`);
    };
    channelMove(1);
    const replace = store.replace.bind(store);
    vi.spyOn(store, "replace").mockImplementation((key, ...given) => {
      if (key === keys.page) channelMove(2);
      return replace(key, ...given);
    });
    await write(store);
    expect(store.objects.get(keys.page)).toContain(`href="canary/${keys.pointer(2)}"`);
  });

  it("compares with the image that was live before, also where a move was repeated", async () => {
    const store = storeWith(2);
    const again = moveOf(3, { commit: commitOf(2), previous: commitOf(2) });
    store.objects.set(keys.pointer(3), jsonText(again));
    store.objects.set(keys.latestJson, jsonText(again));
    await write(store);
    expect(store.objects.get(keys.page)).toContain(`release -- diff ${commitOf(1)} ${commitOf(2)}`);
  });
});

describe("the page of a move", () => {
  const said = () => vi.spyOn(process.stderr, "write").mockImplementation(() => true);

  it("is one warning where it cannot be written, and no error", async () => {
    const store = storeWith(1);
    vi.spyOn(store, "replace").mockRejectedValue(new Error("denied\n    at somewhere"));
    const lines = said();
    await showMove(store, request, context);
    expect(lines.mock.calls.map(([line]) => line)).toEqual([
      "warning: the page https://images.example.com/ does not show this move (denied); the next move mends that, and so does the release command page\n",
    ]);
  });

  it("is given up where the store does not answer", async () => {
    vi.useFakeTimers();
    const store = storeWith(1);
    vi.spyOn(store, "get").mockReturnValue(new Promise(() => undefined));
    const lines = said();
    const shown = showMove(store, request, context);
    await vi.advanceTimersByTimeAsync(61_000);
    await shown;
    expect(lines.mock.calls[0]?.[0]).toMatch(/^warning: .* \(it takes more than 60 s\);/);
  });

  it("is nothing to speak of where it is written", async () => {
    const store = storeWith(1);
    const lines = said();
    await showMove(store, request, context);
    expect(lines).not.toHaveBeenCalled();
    expect(store.objects.has(keys.page)).toBe(true);
  });
});
