import { keys } from "./keys.js";
import { pointer } from "./records.js";
import { getJson, type StoredText, type StoreReader } from "./store.js";
import { fetchReason, UserError } from "../process/errors.js";

/** Milliseconds that an answer may take. */
const requestTimeout = 20_000;

/**
 * The bucket as anybody sees it: through the CDN, without credentials, and up to a minute late.
 * @param url base URL of the CDN, without a slash at its end
 */
export function publicStore(url: string): StoreReader {
  const store: StoreReader = {
    where: url,
    get: (key) => get(`${url}/${key}`),
    async list(prefix, after = "") {
      if (prefix !== keys.pointerPrefix) throw new Error(`${prefix} cannot be listed through a CDN`);
      // Nothing can be listed there, but the newest move says how many there were.
      const newest = await getJson(store, keys.latestJson, pointer);
      const all = Array.from({ length: newest?.seq ?? 0 }, (_, index) => keys.pointer(index + 1));
      return all.filter((key) => key > after);
    },
  };
  return store;
}

async function get(address: string): Promise<StoredText | null> {
  const answer = await fetch(address, { signal: AbortSignal.timeout(requestTimeout) }).catch(
    (error: unknown) => {
      throw new UserError(`${address} cannot be reached (${fetchReason(error)}): is the URL right?`, {
        kind: "unreachable",
      });
    },
  );
  if (answer.status === 404) return null;
  if (!answer.ok)
    throw new UserError(`${address} answers ${answer.status}: is the URL right?`, {
      kind: answer.status >= 500 ? "unreachable" : "failed",
    });
  return { text: await answer.text(), etag: answer.headers.get("etag") ?? "" };
}
