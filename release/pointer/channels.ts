import { agrees, type StoredPointer } from "./pointer.js";

/*
 * When an image that some hosts have in a channel goes to all the others: the rule, as plain functions. It asks no clock and no store.
 */

/** How what a channel has goes to everybody: by itself, after it was there for so long (in ms), by a pin alone, or nobody waits for it. */
export type Promotion =
  { kind: "after"; ms: number; text: string } | { kind: "by merge" } | { kind: "never" };

/** A channel as the stack's config has it. */
export interface Channel {
  name: string;
  /** The commit that it is pinned to; undefined: it follows the newest build. */
  pinned: string | undefined;
  promote: Promotion;
}

export const promotionForm =
  'must be "after <number><s, m, h or d>", like "after 24h" (at most 90d), "by merge", or "never"';

const units: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const longest = 90 * units["d"]!;

/** @returns null where it is none of "after <number><unit>", "by merge" and "never" */
export function parsePromotion(text: string): Promotion | null {
  if (text === "by merge" || text === "never") return { kind: text };
  const [, count, unit] = /^after ([1-9]\d{0,6})([smhd])$/.exec(text) ?? [];
  const ms = Number(count) * (units[unit ?? ""] ?? NaN);
  return ms <= longest ? { kind: "after", ms, text: `${count}${unit}` } : null;
}

/** What everybody's `latest` is to name, where it is not pinned. */
export interface Everybody {
  commit: string;
  /** Null: it is the newest image; else why not yet, in one line. */
  waits: string | null;
  /** From when on it would be; null: it is not a matter of time. */
  until: Date | null;
}

/**
 * What everybody gets of a stack in which a channel gets new images first: the newest one, once it has been live in the channel for its time
 * without a break, and until then what they have. An image that the channel has left is never caught up on: what came after it may be its
 * mend. A pinned channel is stopped, so nothing comes from it.
 * @param live the commit of everybody's newest move; null: there was none, so there is nothing that could be kept
 * @param stored the channel's pointer
 */
export function everybody(
  newest: string,
  live: string | null,
  { name, pinned, promote }: Channel,
  stored: StoredPointer,
  now: Date,
): Everybody {
  if (live === null || live === newest || promote.kind === "never")
    return { commit: newest, waits: null, until: null };
  const stays = (why: string, until: Date | null = null): Everybody => ({
    commit: live,
    waits: `everybody keeps ${live}: ${why}`,
    until,
  });
  if (pinned !== undefined)
    return stays(`the channel ${name} is pinned to ${pinned}, so ${newest} goes no further`);
  if (promote.kind === "by merge")
    return stays(`${newest} goes to them by a merge alone: pulumi config set latest ${newest}`);
  const rule = `${promote.text} after it went live in the channel ${name}`;
  if (!agrees(stored, newest)) return stays(`${newest} goes to them ${rule}, which it has not yet`);
  const until = new Date(Date.parse(stored.head!.promotedAt) + promote.ms);
  if (now < until) return stays(`${newest} goes to them at ${until.toISOString()}, ${rule}`, until);
  return { commit: newest, waits: null, until: null };
}
