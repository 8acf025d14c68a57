import { keys } from "./keys.js";
import type { StoreReader } from "./store.js";

/**
 * Why an image that was removed does not come again under its name; null: it never was. What is below `images/` never changes, and caches
 * keep it for a year: of another build of the same commit, hosts would get one object and another of the one that was removed.
 */
export async function removedText(store: Pick<StoreReader, "list">, commit: string): Promise<string | null> {
  const records = await store.list(keys.prunedPrefix(commit));
  const [, year, month, day] = /\/(\d{4})(\d{2})(\d{2})T\d+Z\.json$/.exec(records.at(-1) ?? "") ?? [];
  if (year === undefined) return null;
  return `image ${commit} was removed on ${year}-${month}-${day}, and its name is used up, since caches keep what they got of it`;
}
