import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { claim, settle } from "../../../../release/pointer/promote.js";
import { publicStore } from "../../../../release/store/public-store.js";
import { readStatus } from "../../../../release/pointer/status.js";
import { calendarOf } from "../../../../release/pointer/runner-releases.js";
import { MemoryStore } from "../memory-store.js";

const commit = (seq: number) => String(seq % 10).repeat(40);
let store: MemoryStore;
let server: Server;
let url: string;

/** A CDN: serves keys, lists nothing. */
beforeAll(async () => {
  store = new MemoryStore();
  server = createServer((request, response) => {
    const content = store.objects.get(request.url!.slice(1));
    if (request.url!.startsWith("/broken")) response.writeHead(500).end();
    else if (content === undefined) response.writeHead(404).end("not found\n");
    else response.end(content);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => server.close());

describe("the status without credentials, through the CDN", () => {
  it("says that nothing was promoted yet", async () => {
    expect(await readStatus(publicStore(url), { url, pinned: null }, calendarOf([]))).toMatchObject({
      latest: null,
      history: [],
    });
  });

  it("has the same moves as the bucket", async () => {
    for (let seq = 1; seq <= 12; seq++) await claim(store, { seq, commit: commit(seq) });
    await settle(store);
    const ours = await readStatus(publicStore(url), { url, pinned: null }, calendarOf([]));
    expect(ours).toEqual(await readStatus(store, { url, pinned: null }, calendarOf([])));
    expect(ours.history.map(({ seq }) => seq)).toEqual([12, 11, 10, 9, 8, 7, 6, 5, 4, 3]);
  });

  it.each([
    ["is not there", "http://127.0.0.1:1", /cannot be reached \(.+\): is the URL right\?/],
    ["is broken", "broken", /answers 500: is the URL right\?/],
  ])("says in one line that the CDN %s", async (_, place, message) => {
    const base = place.startsWith("http") ? place : `${url}/${place}`;
    await expect(readStatus(publicStore(base), { url: null, pinned: null }, calendarOf([]))).rejects.toThrow(
      message,
    );
  });
});
