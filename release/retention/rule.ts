import prettyBytes from "pretty-bytes";
import { newestFirst, type StoredImage } from "../store/images.js";

/*
 * Which images stay: the rule of retention, as plain functions. An image stays as long as anything holds it.
 */

/** What holds images that nobody names any more. */
export interface Retention {
  /** So many of the newest proven ones stay. */
  images: number;
  /** What is younger stays, whatever it is: it may be being published. In days. */
  days: number;
  /** What one of so many last moves names stays. */
  moves: number;
}

/** The same as `live` and `moved`, of a channel's hosts. */
export interface NamedInChannel {
  channel: string;
  live: readonly string[];
  moved: readonly string[];
}

/** The commits that somebody names. */
export interface Named {
  /** What hosts get, and what the newest move names, which may be on its way to them. */
  live: readonly string[];
  /** What stacks are pinned to. */
  pinned: readonly string[];
  /** What `image/` is named after: a stack that follows it would build it again. */
  newest: string;
  /** What the last moves name, as many as the retention says. */
  moved: readonly string[];
  channels: readonly NamedInChannel[];
}

export interface Verdict {
  image: StoredImage;
  stays: boolean;
  /** One line. */
  why: string;
}

const dayMs = 24 * 60 * 60 * 1000;

/** @returns a verdict for each image, newest first */
export function judge(
  images: readonly StoredImage[],
  named: Named,
  retention: Retention,
  now: Date,
): Verdict[] {
  const sorted = newestFirst(images);
  const proven = sorted.filter(({ isProven }) => isProven);
  return sorted.map((image) => {
    const age = (now.getTime() - image.storedAt.getTime()) / dayMs;
    const newer = proven.indexOf(image);
    const held = hold(image.commit, named);
    if (held !== null) return { image, stays: true, why: held };
    if (age < retention.days)
      return { image, stays: true, why: `${days(age)} old, and ${retention.days} days are kept` };
    if (image.isProven && newer < retention.images)
      return { image, stays: true, why: `one of the ${retention.images} newest that are proven` };
    const unnamed = `not live, not pinned, in none of the last ${retention.moves} moves`;
    const rank = image.isProven
      ? `${newer} newer ones are proven, and ${retention.images} are kept`
      : "never finished, or not booted";
    return { image, stays: false, why: `${days(age)} old; ${rank}; ${unnamed}` };
  });
}

/** Why an image stays whatever its age; null: nobody names it. */
export function hold(commit: string, { live, pinned, newest, moved, channels }: Named): string | null {
  const naming = (how: "live" | "moved") => channels.find((own) => own[how].includes(commit))?.channel;
  if (live.includes(commit)) return "live";
  if (naming("live") !== undefined) return `live in the channel ${naming("live")}`;
  if (pinned.includes(commit)) return "pinned";
  if (commit === newest) return "what image/ holds now";
  if (moved.includes(commit)) return "named by one of the last moves";
  if (naming("moved") !== undefined)
    return `named by one of the last moves of the channel ${naming("moved")}`;
  return null;
}

/** What goes, in a few words; null: nothing does. */
export function goingText(verdicts: readonly Verdict[]): string | null {
  const going = verdicts.filter(({ stays }) => !stays);
  const bytes = going.reduce((total, { image }) => total + image.bytes, 0);
  if (going.length === 0) return null;
  return `${going.length === 1 ? "1 image" : `${going.length} images`} (${prettyBytes(bytes)}) that nothing holds any more`;
}

/** What goes, a line for each with its proof, newest first: so many of them, and how many more there are. */
export function goingLines(verdicts: readonly Verdict[], limit: number): string[] {
  const lines = verdicts.filter(({ stays }) => !stays).map(verdictLine);
  const more = lines.length - limit;
  return more > 0 ? [...lines.slice(0, limit), `and ${more} more, which release prune lists`] : lines;
}

/** A plan for people: a line for each image, newest first, and the sum. */
export function planText(verdicts: readonly Verdict[]): string {
  const lines = verdicts.map(verdictLine);
  const sum = (stays: boolean) => {
    const those = verdicts.filter((verdict) => verdict.stays === stays);
    const bytes = those.reduce((total, { image }) => total + image.bytes, 0);
    return `${those.length} ${stays ? "stay" : "go"} (${prettyBytes(bytes)})`;
  };
  return [...lines, `${sum(false)}, ${sum(true)}`].join("\n");
}

function verdictLine({ image, stays, why }: Verdict): string {
  return `${stays ? "stays" : "goes "}  ${image.commit}  ${prettyBytes(image.bytes).padStart(8)}  ${why}`;
}

function days(count: number): string {
  const whole = Math.floor(count);
  return whole === 1 ? "1 day" : `${whole} days`;
}
