import { describe, expect, it } from "vitest";
import { keys } from "../../../../release/store/keys.js";
import { claim, settle } from "../../../../release/pointer/promote.js";
import { readStatus, statusText } from "../../../../release/pointer/status.js";
import { calendarOf } from "../../../../release/pointer/runner-releases.js";
import { jsonText } from "../../../../release/store/store.js";
import { manifestOf, MemoryStore, sha256 } from "../memory-store.js";

const commit = (seq: number) => String(seq % 10).repeat(40);

async function storeWithMoves(count: number): Promise<MemoryStore> {
  const store = new MemoryStore();
  for (let seq = 1; seq <= count; seq++) await claim(store, { seq, commit: commit(seq) });
  await settle(store);
  return store;
}

describe("the status", () => {
  it("has the last ten moves, newest first", async () => {
    const { history, latest } = await readStatus(
      await storeWithMoves(12),
      { url: null, pinned: null },
      calendarOf([]),
    );
    expect(latest).toBe(commit(12));
    expect(history.map((move) => move.seq)).toEqual([12, 11, 10, 9, 8, 7, 6, 5, 4, 3]);
  });

  it("is empty, not an error, before the first move", async () => {
    const status = await readStatus(new MemoryStore(), { url: null, pinned: "" }, calendarOf([]));
    expect(status).toEqual({
      url: null,
      latest: null,
      since: null,
      served: null,
      pinned: "",
      images: [],
      history: [],
      channels: [],
    });
    expect(statusText(status, new Date())).toContain("nothing promoted yet");
  });

  it("says what hosts download, whole and by a delta from each image that there is one from", async () => {
    const store = await storeWithMoves(2);
    const delta = { from: commit(1), base: { bytes: 1, sha256 }, key: "a delta", bytes: 240_000, sha256 };
    const record = { ...manifestOf(commit(2), "x86_64"), deltas: [delta] };
    store.objects.set(keys.manifest(commit(2), "x86_64"), jsonText(record));
    const status = await readStatus(store, { url: null, pinned: null }, calendarOf([]));
    expect(status.images[0]!.download).toEqual({ bytes: 17, deltas: [{ from: commit(1), bytes: 240_000 }] });
    expect(statusText(status, new Date())).toMatch(/^x86_64 +hosts download 17 B, 240 kB with 1{12} here$/m);
  });

  it("does not say since when where latest was changed by hand", async () => {
    const store = await storeWithMoves(1);
    expect((await readStatus(store, { url: null, pinned: null }, calendarOf([]))).since).not.toBeNull();
    store.objects.set(keys.latest, `${"f".repeat(40)}\n`);
    expect((await readStatus(store, { url: null, pinned: null }, calendarOf([]))).since).toBeNull();
  });

  it.each([
    ["unknown here", null, /pinned +unknown here/],
    ["not pinned", "", /pinned +no, follows the newest build/],
    ["pinned", commit(3), new RegExp(`pinned +${commit(3)}`)],
  ])("tells %s apart", async (_, pinned, line) => {
    const status = await readStatus(await storeWithMoves(1), { url: null, pinned }, calendarOf([]));
    expect(statusText(status, new Date())).toMatch(line);
  });
});
