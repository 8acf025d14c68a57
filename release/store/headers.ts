/** HTTP headers that are stored with an object and reach the hosts through the CDN. Never a Content-Encoding. */
export interface ObjectHeaders {
  ContentType: string;
  CacheControl: string;
}

const oneMinute = "max-age=60";
const forEver = "max-age=31536000, immutable";

/** The headers of the object at `key` (docs/contract.md). Only the pointer ever changes, so only it is short-lived. */
export function objectHeaders(key: string): ObjectHeaders {
  // Of a channel too: its name stands before it, in a folder of its own.
  const mutable = /^([^/]+\/)?latest(\.json)?$/.test(key);
  return { ContentType: contentType(key), CacheControl: mutable ? oneMinute : forEver };
}

function contentType(key: string): string {
  if (key.endsWith(".json")) return "application/json";
  if (key.endsWith(".zst")) return "application/zstd";
  return "text/plain";
}
