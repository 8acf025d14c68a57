import semver from "semver";
import type { Edit } from "./rewrite.js";
import type { Publisher } from "./web.js";

/** A version, and the day it was made: in ISO form, UTC. Null: its publisher does not tell. */
export interface Dated {
  name: string;
  day: string | null;
}

/** What looking up one pin brought: what is pinned, the newest there is, and how the files come to say so. */
export interface Finding {
  what: string;
  pinned: Dated;
  newest: Dated;
  edits: Edit[];
}

/**
 * Holds the newest version of a publisher against the pinned one.
 * @returns whether it is newer
 * @throws UserError where it is older: then the answer is stale, or something was withdrawn, and a person has to look
 */
export function isNewer(publisher: Publisher, where: string, newest: string, pinned: string): boolean {
  if (semver.lt(newest, pinned)) throw older(publisher, where, newest, pinned);
  return semver.gt(newest, pinned);
}

export function older(publisher: Publisher, where: string, newest: string, pinned: string): Error {
  return publisher.wrong(
    where,
    `${pinned}, which is pinned, or newer, not ${newest}`,
    "try again later; if it was withdrawn, pin the older one by hand",
  );
}

/** Holds what a publisher says now of a pinned version against the pin. @throws UserError where it is something else */
export function unchanged(publisher: Publisher, where: string, now: string, pinned: string): void {
  if (now !== pinned)
    throw publisher.wrong(
      where,
      `${pinned}, as pinned, not ${now}`,
      "the same version is something else now: find out why before anything is pinned",
    );
}
