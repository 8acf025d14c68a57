import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { keys } from "../../../../release/store/keys.js";
import {
  agrees,
  latestText,
  nextSeq,
  parseLatest,
  readLiveLast,
  readLog,
  readPointer,
  type StoredPointer,
} from "../../../../release/pointer/pointer.js";
import type { Pointer } from "../../../../release/store/records.js";
import { jsonText } from "../../../../release/store/store.js";
import { MemoryStore } from "../memory-store.js";

const a = "a".repeat(40);
const b = "b".repeat(40);
const move = (seq: number, commit: string): Pointer => ({
  seq,
  commit,
  previous: null,
  promotedAt: "2026-11-01T00:00:00Z",
});
const settled = (seq: number, commit: string): StoredPointer => ({
  head: move(seq, commit),
  latestJson: move(seq, commit),
  latest: commit,
});
const nothing: StoredPointer = { head: null, latestJson: null, latest: null };

describe("the number of a move", () => {
  it.each<[string, StoredPointer, string, number]>([
    ["is 1 in an empty store", nothing, a, 1],
    ["stays where log and copies agree", settled(3, a), a, 3],
    ["counts on where another commit is desired", settled(3, a), b, 4],
    ["counts on where latest was edited by hand", { ...settled(3, a), latest: b }, a, 4],
    ["counts on where latest was deleted", { ...settled(3, a), latest: null }, a, 4],
    ["counts on where latest.json is of an older move", { ...settled(3, a), latestJson: move(2, a) }, a, 4],
    ["counts on where latest.json is missing", { ...settled(3, a), latestJson: null }, a, 4],
    ["counts on after a move that was killed half-way", { ...settled(3, a), head: move(4, b) }, b, 5],
    ["is 1 where there is a pointer without a log", { ...nothing, latest: a }, a, 1],
  ])("%s", (_, stored, desired, seq) => {
    expect(nextSeq(stored, desired)).toBe(seq);
  });

  const commits = fc.constantFrom(a, b, "c".repeat(40));
  const moves = fc
    .record({ seq: fc.integer({ min: 1, max: 9 }), commit: commits })
    .map((m) => move(m.seq, m.commit));
  const stored = fc.record({
    head: fc.option(moves),
    latestJson: fc.option(moves),
    latest: fc.option(commits),
  });

  it("is the stored one exactly where all three agree, and one more everywhere else", () => {
    fc.assert(
      fc.property(stored, commits, (pointer, desired) => {
        const seq = nextSeq(pointer, desired);
        const head = pointer.head?.seq ?? 0;
        expect(seq).toBe(agrees(pointer, desired) ? head : head + 1);
        if (seq === head) {
          expect(pointer.latest).toBe(desired);
          expect(pointer.head?.commit).toBe(desired);
          expect(pointer.latestJson?.seq).toBe(head);
        }
      }),
    );
  });

  it("moves to a second commit, and stays there at the next look", () => {
    fc.assert(
      fc.property(stored, commits, (pointer, desired) => {
        const seq = nextSeq(pointer, desired);
        expect(nextSeq(settled(seq, desired), desired)).toBe(seq);
      }),
    );
  });
});

describe("latest", () => {
  it("is a commit and a newline", () => {
    expect(latestText(a)).toBe(`${a}\n`);
  });

  it("reads back what it writes", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[0-9a-f]{40}$/), (commit) => {
        expect(parseLatest(latestText(commit))).toBe(commit);
      }),
    );
  });

  it.each(["", "\n", a.toUpperCase(), `${a} \n`, `${a}\n\n`, `${a.slice(1)}\n`, `${a}\r\n`])(
    "is no commit where it holds %j",
    (text) => {
      expect(parseLatest(text)).toBeNull();
    },
  );
});

describe("the stored pointer", () => {
  it("is empty in an empty bucket", async () => {
    expect(await readPointer(new MemoryStore())).toEqual(nothing);
  });

  it("has the newest entry of the log as its head, whatever the number of digits", async () => {
    const store = new MemoryStore();
    for (let seq = 1; seq <= 100; seq++) store.objects.set(keys.pointer(seq), jsonText(move(seq, a)));
    expect((await readPointer(store)).head?.seq).toBe(100);
  });

  it("passes over an entry behind a gap, which no move made and nobody could delete", async () => {
    const store = new MemoryStore();
    for (const seq of [1, 2, 99_999_999]) store.objects.set(keys.pointer(seq), jsonText(move(seq, a)));
    const stored = await readPointer(store);
    expect(stored.head?.seq).toBe(2);
    expect(nextSeq(stored, b)).toBe(3);
  });

  it("looks at the end of the log alone, from what the copy names", async () => {
    const store = new MemoryStore();
    for (let seq = 1; seq <= 5000; seq++) store.objects.set(keys.pointer(seq), jsonText(move(seq, a)));
    store.objects.set(keys.latestJson, jsonText(move(4999, a)));
    const listed = vi.spyOn(store, "list");
    expect((await readPointer(store)).head?.seq).toBe(5000);
    expect(await readLog(store, 3)).toEqual([4997, 4998, 4999, 5000]);
    expect(listed.mock.calls).toEqual([
      [keys.pointerPrefix, keys.pointer(4998)],
      [keys.pointerPrefix, keys.pointer(4996)],
    ]);
  });

  it.each([
    ["is behind by many moves", 1, 3],
    ["names a move that is not in the log", 7, 3],
    ["names an entry that leaves no numbers, and was forged like it", 99_999_999, 3],
  ])("finds the newest move where the copy %s", async (_, named, newest) => {
    const store = new MemoryStore();
    for (const seq of [1, 2, 3, 99_999_999]) store.objects.set(keys.pointer(seq), jsonText(move(seq, a)));
    store.objects.set(keys.latestJson, jsonText(move(named, a)));
    expect((await readPointer(store)).head?.seq).toBe(newest);
  });

  it("passes over what is no entry of the log", async () => {
    const store = new MemoryStore();
    store.objects.set(keys.pointer(1), jsonText(move(1, a)));
    store.objects.set("pointer/README", "x");
    store.objects.set("pointer/99999999.json.bak", "x");
    expect((await readPointer(store)).head?.seq).toBe(1);
  });

  it("counts a spoilt copy as missing, so that the next move repairs it", async () => {
    const store = new MemoryStore();
    store.objects.set(keys.pointer(1), jsonText(move(1, a)));
    store.objects.set(keys.latestJson, "{");
    store.objects.set(keys.latest, "main\n");
    const stored = await readPointer(store);
    expect(stored).toEqual({ head: move(1, a), latestJson: null, latest: null });
    expect(nextSeq(stored, a)).toBe(2);
  });

  it("refuses a spoilt entry of the log by name", async () => {
    const store = new MemoryStore();
    store.objects.set(keys.pointer(1), "{}");
    await expect(readPointer(store)).rejects.toThrow(/pointer\/00000001\.json .* not a valid record/);
  });
});

/** Moves to images that are named by letters, everybody's or those of a channel. */
function logInto(store: MemoryStore, moves: string, folder = ""): void {
  const log = [...moves].map((letter, index) => move(index + 1, letter.repeat(40)));
  for (const entry of log) store.objects.set(folder + keys.pointer(entry.seq), jsonText(entry));
  if (log.length === 0) return;
  store.objects.set(folder + keys.latestJson, jsonText(log.at(-1)));
  store.objects.set(folder + keys.latest, latestText(log.at(-1)!.commit));
}

describe("the images that went live last", () => {
  it.each<[string, string, number, string]>([
    ["are newest first", "abc", 3, "cba"],
    ["are as many as are asked for", "abcd", 2, "dc"],
    ["count once, by their last move", "abab", 3, "ba"],
    ["are those there are", "a", 3, "a"],
    ["are none where none is asked for", "abc", 0, ""],
    ["are none where nothing went live", "", 3, ""],
  ])("%s", async (_, moves, count, expected) => {
    const store = new MemoryStore();
    logInto(store, moves);
    expect((await readLiveLast(store, count)).map((commit) => commit[0]).join("")).toBe(expected);
  });

  it.each([
    ["everybody's and a channel's in turn", { "": "abc", "canary/": "bde" }, 4, "cebd"],
    ["of a channel that is ahead as of everybody", { "": "a", "canary/": "abc" }, 3, "acb"],
    ["of a channel alone, where everybody has none yet", { "canary/": "ab" }, 3, "ba"],
    ["of each channel its newest before the second of any", { "": "ab", "x/": "cd", "y/": "ef" }, 4, "bdfa"],
  ])("are %s", async (_, logs, count, expected) => {
    const store = new MemoryStore();
    for (const [folder, moves] of Object.entries(logs)) logInto(store, moves, folder);
    expect((await readLiveLast(store, count)).map((commit) => commit[0]).join("")).toBe(expected);
  });

  it("are those of the others where a channel's log cannot be read, and that is said", async () => {
    const store = new MemoryStore();
    logInto(store, "ab");
    logInto(store, "cd", "canary/");
    store.objects.set(`canary/${keys.pointer(2)}`, "{");
    const said = vi.spyOn(process.stderr, "write").mockReturnValue(true);
    expect(await readLiveLast(store, 3)).toEqual(["b", "a"].map((letter) => letter.repeat(40)));
    expect(said.mock.calls.map(([line]) => line)).toEqual([
      expect.stringMatching(
        /^warning: the channel canary is left out: pointer\/00000002\.json in channel canary/,
      ),
    ]);
    said.mockRestore();
  });
});
