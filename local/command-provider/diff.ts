import { isDeepStrictEqual } from "node:util";
import { isPlainObject, type Properties, type Value } from "./values.js";

export type Change = "ADD" | "DELETE" | "UPDATE";

/**
 * Which properties differ, by path ("environment.COMMIT", "triggers[0]"): the detailed diff of the official plugin
 * (pulumi/pulumi, sdk/go/common/resource/properties_diff.go).
 */
export function diffProperties(olds: Properties, news: Properties): Map<string, Change> {
  const changes = new Map<string, Change>();
  compareMembers(olds, news, nameIn, "", changes);
  return changes;
}

type PathOf = (parent: string, key: string) => string;

function compareMembers(
  olds: Properties,
  news: Properties,
  pathOf: PathOf,
  parent: string,
  changes: Map<string, Change>,
): void {
  for (const key of Object.keys({ ...olds, ...news }))
    compare(olds[key] ?? null, news[key] ?? null, pathOf(parent, key), changes);
}

function compare(old: Value, now: Value, path: string, changes: Map<string, Change>): void {
  if (isPlainObject(old) && isPlainObject(now)) return compareMembers(old, now, nameIn, path, changes);
  if (Array.isArray(old) && Array.isArray(now))
    return compareMembers(
      Object.fromEntries(old.entries()),
      Object.fromEntries(now.entries()),
      indexIn,
      path,
      changes,
    );
  if (isDeepStrictEqual(old, now)) return;
  changes.set(path, old === null ? "ADD" : now === null ? "DELETE" : "UPDATE");
}

const indexIn: PathOf = (parent, index) => `${parent}[${index}]`;

const nameIn: PathOf = (parent, name) => {
  if (!/^[A-Za-z_$][\w$]*$/.test(name)) return `${parent}["${name.replaceAll('"', '\\"')}"]`;
  return parent === "" ? name : `${parent}.${name}`;
};
