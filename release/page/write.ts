import { isDeepStrictEqual } from "node:util";
import { UserError } from "../process/errors.js";
import { readEntry, readHead } from "../pointer/pointer.js";
import { say } from "../process/progress.js";
import type { ProofContext } from "../pointer/verify.js";
import { keys } from "../store/keys.js";
import type { Pointer } from "../store/records.js";
import type { ListedStore, Store } from "../store/store.js";
import { readChannels, readMoves, readPageFacts } from "./facts.js";
import { feed } from "./feed.js";
import { frontPage } from "./front.js";
import { isFinished, movesOfPage, movesPage, pageOfMove } from "./moves.js";

export interface PageRequest {
  /** Base URL of the CDN, without a slash at its end. */
  url: string;
  /** Whether the pages of all moves are written again; otherwise the last ones only, as a move does. */
  all?: boolean;
}

/** What `release page` prints. */
export interface WrittenPage {
  url: string;
  /** The newest move that it shows; 0: none was made yet. */
  seq: number;
  /** The objects that were written, in that order. */
  written: string[];
}

/** Rounds of writePage(): one is enough alone, each concurrent move costs one more. */
const rounds = 10;
/** Milliseconds for the page of a move: it is made while the CDN is waited for, and nothing waits for it. */
const patience = 60_000;

/**
 * Writes the page, its feed, and the pages of moves that are not finished, from what is stored. What it costs does not grow with the log.
 * The front page comes last, so that its addresses lead somewhere. Whoever finds that another move was made meanwhile writes it again,
 * so that of two writers none leaves an older state.
 * @throws UserError where a record is not valid, or the store refuses
 */
export async function writePage(
  store: Store & ListedStore,
  { url, all = false }: PageRequest,
  context: Omit<ProofContext, "now">,
): Promise<WrittenPage> {
  const written = new Set<string>();
  const write = async (key: string, text: string): Promise<boolean> => {
    const stored = await store.get(key);
    if (stored?.text === text) return true;
    written.add(key);
    return store.replace(key, text, stored?.etag ?? null);
  };
  for (let round = 0; round < rounds; round++) {
    const [moves, channels] = await Promise.all([readMoves(store), readChannels(store)]);
    const seq = moves[0]?.seq ?? 0;
    const facts = await readPageFacts(store, { moves, channels }, { ...context, now: new Date(), url });
    const pages = await unfinishedPages(store, moves, all);
    const done =
      (await inOrder(pages, async (page) => write(keys.moves(page), await textOf(store, page, moves)))) &&
      (await write(keys.feed, feed(facts))) &&
      (await write(keys.page, frontPage(facts)));
    if (!done) continue;
    const [head, channelsNow] = await Promise.all([readHead(store), readChannels(store)]);
    if ((head?.seq ?? 0) === seq && isDeepStrictEqual(channels, channelsNow))
      return { url, seq, written: [...written] };
  }
  throw new UserError(`${keys.page} in ${store.where} is being changed by others all the time: try again`);
}

/** @returns whether all succeeded; the first that does not is the last */
async function inOrder<T>(items: T[], work: (item: T) => Promise<boolean>): Promise<boolean> {
  for (const item of items) if (!(await work(item))) return false;
  return true;
}

/** The last page, the one before where it is not finished, and with `all` every one. */
async function unfinishedPages(store: Store, [newest]: Pointer[], all: boolean): Promise<number[]> {
  if (newest === undefined) return [];
  const last = pageOfMove(newest.seq);
  if (all) return Array.from({ length: last }, (_, index) => index + 1);
  const before = last - 1;
  if (before === 0) return [last];
  const stored = await store.get(keys.moves(before));
  return stored !== null && isFinished(before, stored.text) ? [last] : [before, last];
}

/** @param moves the last ones, newest first, which need not be read again */
async function textOf(store: Store, page: number, moves: Pointer[]): Promise<string> {
  const newest = moves[0]!.seq;
  const { first, last } = movesOfPage(page);
  const numbers = Array.from({ length: Math.min(last, newest) - first + 1 }, (_, index) => first + index);
  const known = new Map(moves.map((move) => [move.seq, move]));
  const own = await Promise.all(numbers.map(async (seq) => known.get(seq) ?? (await readEntry(store, seq))));
  return movesPage(page, own.filter((move) => move !== null).reverse(), newest);
}

/**
 * The same after a move, which is made and stays made whatever becomes of its page: trouble is one line, and never an error.
 */
export async function showMove(...given: Parameters<typeof writePage>): Promise<void> {
  const [, { url }] = given;
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new UserError(`it takes more than ${patience / 1000} s`)), patience);
  });
  try {
    await Promise.race([writePage(...given), late]);
  } catch (error) {
    const [why] = (error as Error).message.split("\n");
    say(
      `warning: the page ${url}/ does not show this move (${why}); the next move mends that, and so does the release command page`,
    );
  } finally {
    clearTimeout(timer);
  }
}
