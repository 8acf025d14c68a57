import { keys } from "./keys.js";

/** HTTP headers that are stored with an object and reach the hosts through the CDN. Never a Content-Encoding. */
export interface ObjectHeaders {
  ContentType: string;
  CacheControl: string;
}

const oneMinute = "max-age=60";
const forEver = "max-age=31536000, immutable";

/** The page about the pointer, which changes with it. */
const pages = new Set<string>([keys.page, keys.feed]);

/** The headers of the object at `key` (docs/contract.md). What changes, the pointer and the page about it, is short-lived. */
export function objectHeaders(key: string): ObjectHeaders {
  // Of a channel too: its name stands before it, in a folder of its own.
  const isShortLived =
    /^([^/]+\/)?latest(\.json)?$/.test(key) || pages.has(key) || key.startsWith(keys.movesPrefix);
  return { ContentType: contentType(key), CacheControl: isShortLived ? oneMinute : forEver };
}

/**
 * What the CDN says of everything it serves, since it says one thing of all: no page of this origin runs a script, asks another for anything,
 * or is shown inside of another. It says no hash of the style, which each page does by itself (release/page/layout.ts): the two would
 * differ from a merge to the next move. Both policies hold where there are two, and `frame-ancestors` counts in a header only:
 * https://www.w3.org/TR/CSP3/#multiple-policies, https://www.w3.org/TR/CSP3/#directive-frame-ancestors
 */
export const contentSecurityPolicy =
  "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

function contentType(key: string): string {
  if (key.endsWith(".json")) return "application/json";
  if (key.endsWith(".html")) return "text/html; charset=utf-8";
  if (key.endsWith(".atom")) return "application/atom+xml";
  if (key.endsWith(".zst")) return "application/zstd";
  return "text/plain";
}
