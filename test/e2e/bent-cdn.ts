import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import type { ReadableStream } from "node:stream/web";
import { pipeline } from "node:stream/promises";

/**
 * A CDN that serves one object otherwise than another one does: that one itself would keep what it has served for a year.
 * @param bend what becomes of the object; null: it is not there
 */
export async function bentCdn(
  url: string,
  key: string,
  bend: (object: Buffer) => Buffer | null,
): Promise<{ url: string; stop: () => void }> {
  const server = createServer((request, response) => {
    void (async () => {
      const answer = await fetch(`${url}${request.url!}`);
      const bent = request.url === `/${key}` ? bend(Buffer.from(await answer.arrayBuffer())) : undefined;
      if (bent !== undefined) return void response.writeHead(bent === null ? 404 : 200).end(bent ?? "");
      response.writeHead(answer.status);
      await pipeline(Readable.fromWeb(answer.body as ReadableStream), response);
    })().catch(() => response.destroy());
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
