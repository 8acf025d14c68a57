import prettyBytes from "pretty-bytes";
import type { Move } from "../pointer/plan.js";
import { readEntry, readLog } from "../pointer/pointer.js";
import { usabilityText, type RunnerCalendar } from "../pointer/runner-releases.js";
import { duration } from "../process/progress.js";
import type { Architecture } from "../store/keys.js";
import type { Manifest } from "../store/records.js";
import type { StoreReader } from "../store/store.js";
import { contentsLines, diffImages, isSame, type ContentsDiff } from "./diff.js";
import { readFacts, type ImageFacts } from "./facts.js";

/*
 * The bill of a change: in five lines, what an update that moves `latest` does to the hosts. It stands in a preview, on the command
 * line and in the comment of a pull request.
 */

/** What the lines of a bill begin with in a preview, so that they can be told from the rest of it. */
export const billMark = "fleet: ";

/** What a move does, decided before anything is changed. */
export interface PlannedMove {
  /** The commit that hosts get now; null: none yet. */
  from: string | null;
  to: string;
  /** Whether the move waits for an image that is still to be built, or to be booted. */
  needsBuild: boolean;
  /** When hosts got the target last, as the log of moves says; null: never. */
  wasLive: Date | null;
}

/** Seconds that a moved pointer takes to reach every host that polls it: as long as caches keep it (release/store/headers.ts). */
const pointerSeconds = 60;
/**
 * US dollars for a gigabyte (10^9 bytes) and month in S3 Standard, us-east-1, the first 50 TB: https://aws.amazon.com/s3/pricing/
 */
const dollarsPerGigabyteMonth = 0.023;

/** Packages and tools that are named; the others are counted. */
const namesShown = 6;
const dayMs = 24 * 60 * 60 * 1000;

/** How many of the last moves are looked through for the target: one that went live before those is told as new. */
const movesLookedAt = 30;

/**
 * The bill of a planned move, from what is stored.
 * @returns five lines; none where hosts keep what they have
 */
export async function billOf(
  store: StoreReader,
  { commit, from, isLive, needsBuild }: Move,
  given: { architectures: readonly Architecture[]; calendar: RunnerCalendar; now: Date },
): Promise<string[]> {
  if (isLive || commit === from) return [];
  const { architectures, calendar, now } = given;
  const [before, after, wasLive] = await Promise.all([
    from === null ? [] : readFacts(store, from, calendar, architectures),
    needsBuild ? [] : readFacts(store, commit, calendar, architectures),
    lastLive(store, commit),
  ]);
  return bill({ from, to: commit, needsBuild, wasLive }, before, after, now);
}

/** The same of a channel's hosts, who are few: one line; null: they keep what they have. */
export function channelBill(
  channel: string,
  { commit, from, isLive, needsBuild }: Pick<Move, "commit" | "from" | "isLive" | "needsBuild">,
): string | null {
  if (isLive || commit === from) return null;
  return `channel ${channel}: ${moveTitle({ from, to: commit, needsBuild })}`;
}

/** When hosts got a commit last; null: never, as far as the last moves tell. */
async function lastLive(store: StoreReader, commit: string): Promise<Date | null> {
  const log = await readLog(store, movesLookedAt);
  const moves = await Promise.all(log.slice(-movesLookedAt).map((seq) => readEntry(store, seq)));
  const last = moves.findLast((move) => move?.commit === commit);
  return last === undefined || last === null ? null : new Date(last.promotedAt);
}

/**
 * @param before what is stored of the image that is live
 * @param after what is stored of the target; empty where it is still to be built
 * @returns exactly five lines
 */
export function bill(move: PlannedMove, before: ImageFacts[], after: ImageFacts[], now: Date): string[] {
  return [
    title(move, after, now),
    contents(move, before, after),
    `each host downloads ${download(move, before, after)}, and has it ${arrival(move, before)}`,
    usable(before, after, now),
    storage(move, before),
  ];
}

function title({ from, to, needsBuild, wasLive }: PlannedMove, after: ImageFacts[], now: Date): string {
  if (wasLive !== null) {
    const age = Math.floor((now.getTime() - Math.min(...after.map(published))) / dayMs);
    return `rollback: ${imageText(from, to)}, which was published ${days(age)} ago and went live last on ${wasLive.toISOString().slice(0, 10)}`;
  }
  return moveTitle({ from, to, needsBuild });
}

function imageText(from: string | null, to: string): string {
  return `image ${from === null ? "" : `${short(from)} → `}${short(to)}`;
}

function moveTitle({ from, to, needsBuild }: Omit<PlannedMove, "wasLive">): string {
  const image = imageText(from, to);
  return `${from === null ? "the first " : ""}${image}, ${needsBuild ? "which this update still has to build and to boot" : "which is built and booted"}`;
}

function published({ manifest }: ImageFacts): number {
  return Date.parse(manifest.publishedAt);
}

function contents({ from, wasLive }: PlannedMove, before: ImageFacts[], after: ImageFacts[]): string {
  const subject = "packages and tools";
  if (from === null) return `${subject}: nothing to compare with`;
  if (after.length === 0) return `${subject}: known once it is built`;
  const common = before.filter(({ arch }) => after.some((other) => other.arch === arch));
  if (common.length === 0) return `${subject}: nothing to compare with, no architecture is in both`;
  const diffs = diffImages(before, after, ["before", "after"]);
  const told = diffs.map(({ arch, contents }) => ({ arch, text: summary(contents, wasLive !== null) }));
  // Most changes are the same on every architecture, and then are told once.
  if (new Set(told.map(({ text }) => text)).size === 1) return `${subject}: ${told[0]!.text}`;
  return `${subject}: ${told.map(({ arch, text }) => `${arch}: ${text}`).join("; ")}`;
}

/** "1 added, 2 changed: + file 5.46, ~ curl 8.14 → 8.15, …"; of a rollback "1 comes back, …" */
function summary(found: ContentsDiff | null, isRollback: boolean): string {
  if (found === null) return "not known, an image has no bill of materials";
  if (isSame(found)) return "the same";
  const { added, removed, changed } = found;
  const counts = [
    [added.length, isRollback ? "back" : "added"],
    [removed.length, isRollback ? "gone" : "removed"],
    [changed.length, isRollback ? "back to another version" : "changed"],
  ] as const;
  const lines = contentsLines(found);
  const more = lines.length > namesShown ? [`and ${lines.length - namesShown} more`] : [];
  return `${counts
    .filter(([count]) => count > 0)
    .map(([count, what]) => `${count} ${what}`)
    .join(", ")} (${[...lines.slice(0, namesShown), ...more].join(", ")})`;
}

/** Not every host knows of deltas: those of rust-lang/gha-self-hosted take the whole disk. */
function download({ from }: PlannedMove, before: ImageFacts[], after: ImageFacts[]): string {
  const known = after.length > 0 ? after : before;
  if (known.length === 0) return "an image of yet unknown size";
  const sizes = known.map(({ arch, manifest }) => `${prettyBytes(manifest.compressed.bytes)} (${arch})`);
  if (after.length === 0)
    return `about as much as now, ${sizes.join(" or ")}, or a delta as large as what it changes`;
  const deltas = after.flatMap(({ arch, manifest }) => {
    const delta = manifest.deltas?.find((one) => one.from === from);
    return delta === undefined ? [] : [`${prettyBytes(delta.bytes)} (${arch})`];
  });
  return `${sizes.join(" or ")}${deltas.length === 0 ? "" : `, by a delta ${deltas.join(" or ")}`}`;
}

/** As long as it took the last time: the slowest architecture decides. */
function arrival({ needsBuild }: PlannedMove, before: ImageFacts[]): string {
  const polled = `within ${pointerSeconds} s of the move`;
  if (!needsBuild) return `${polled}, which waits for no build`;
  const last = Math.max(
    ...before.map(({ manifest, boot }) => manifest.build.seconds + (boot?.timings.poweredOff ?? 0)),
  );
  return `${polled}, after the build${last > 0 ? ` (the last one took ${duration(last * 1000)} with its boot test)` : ""}`;
}

function usable(before: ImageFacts[], after: ImageFacts[], now: Date): string {
  const told = (facts: ImageFacts[]) => [
    ...new Set(
      facts.map(
        ({ usability, manifest }) =>
          `runner ${manifest.build.runner.version}, ${usabilityText(usability, now)}`,
      ),
    ),
  ];
  if (after.length === 0)
    return `until when it can be used: known once it is built${before.length === 0 ? "" : ` (now: ${told(before).join("; ")})`}`;
  return `until when it can be used: ${told(after).join("; ")}`;
}

function storage({ needsBuild }: PlannedMove, before: ImageFacts[]): string {
  if (!needsBuild) return "storage: nothing is added";
  const bytes = before.reduce((sum, { manifest }) => sum + storedBytes(manifest), 0);
  if (bytes === 0) return "storage: one image more";
  const dollars = (bytes / 1e9) * dollarsPerGigabyteMonth;
  return `storage: about ${prettyBytes(bytes)} more, ${dollars.toFixed(3)} US dollars a month in S3 Standard`;
}

/** Its disk and its deltas: the rest is next to nothing. */
function storedBytes({ compressed, deltas = [] }: Manifest): number {
  return deltas.reduce((total, { bytes }) => total + bytes, compressed.bytes);
}

function short(commit: string): string {
  return commit.slice(0, 12);
}

function days(count: number): string {
  return count === 1 ? "1 day" : `${count} days`;
}
