import { printable } from "../process/progress.js";
import { inEachChannel } from "../store/channels.js";
import { commitPattern, keys } from "../store/keys.js";
import { pointer, type Pointer } from "../store/records.js";
import { getJson, parseJson, type ListedStore, type StoreReader } from "../store/store.js";

/**
 * The stored pointer: the log `pointer/<seq>.json` decides, `latest.json` and `latest` are its copies for hosts. They
 * differ from it after a killed move, or when somebody edited them by hand.
 */
export interface StoredPointer {
  /** The newest entry of the log; null: nothing was promoted yet. */
  head: Pointer | null;
  /** Null: missing or not valid. */
  latestJson: Pointer | null;
  /** The commit hosts get. Null: missing or not a commit. */
  latest: string | null;
}

const entryPattern = /^pointer\/(\d{8})\.json$/;

/**
 * Up to this number, `latest.json` is believed where the log ends, so that a log of years is read as fast as one of days. Believed higher
 * up, a forged entry, which nobody can delete, would have used up the numbers.
 */
const highestBelieved = 90_000_000;

/**
 * The numbers of the last moves, oldest first: `count` of them, where there are as many, or more. They have no gap: an entry behind one was
 * not made by a move, and would otherwise be the newest for good, since nobody can delete it.
 */
export async function readLog(store: StoreReader, count: number): Promise<number[]> {
  return readLogFrom(store, count, await readCopy(store));
}

async function readLogFrom(store: StoreReader, count: number, copy: Pointer | null): Promise<number[]> {
  if (copy !== null && copy.seq <= highestBelieved) {
    const first = Math.max(1, copy.seq - count + 1);
    const numbers = await readRun(store, first);
    if (numbers.at(-1)! >= copy.seq) return numbers;
  }
  // Killed before there was a copy, or the copy was edited by hand.
  return readRun(store, 1);
}

/** The numbers from `first` on, up to the first gap. */
async function readRun(store: StoreReader, first: number): Promise<number[]> {
  const found = await store.list(keys.pointerPrefix, first === 1 ? undefined : keys.pointer(first - 1));
  const numbers = found.flatMap((key) => entryPattern.exec(key)?.[1] ?? []).map(Number);
  const gap = numbers.findIndex((number, index) => number !== first + index);
  return gap === -1 ? numbers : numbers.slice(0, gap);
}

/** `latest.json`; null: missing or not valid. */
async function readCopy(store: StoreReader): Promise<Pointer | null> {
  const stored = await store.get(keys.latestJson);
  return stored === null ? null : parseJson(stored.text, pointer);
}

/** One move of the log. @throws UserError where it is not valid */
export async function readEntry(store: StoreReader, seq: number): Promise<Pointer | null> {
  return getJson(store, keys.pointer(seq), pointer);
}

/** The newest move of the log. */
export async function readHead(store: StoreReader): Promise<Pointer | null> {
  return readHeadFrom(store, await readCopy(store));
}

async function readHeadFrom(store: StoreReader, copy: Pointer | null): Promise<Pointer | null> {
  const newest = (await readLogFrom(store, 1, copy)).at(-1);
  return newest === undefined ? null : readEntry(store, newest);
}

/** So many of the last moves are looked through for images that went live. */
const movesLookedAt = 30;

/** The images that hosts had last, everybody's and those of each channel: at most so many commits, each once. */
export async function readLiveLast(store: ListedStore, count: number): Promise<string[]> {
  if (count === 0) return [];
  const [everybodys, channels] = await Promise.all([readCommits(store), inEachChannel(store, readCommits)]);
  return inTurn([everybodys, ...channels]).slice(0, count);
}

/** The commits of the last moves of one pointer, newest first, each once. */
async function readCommits(store: StoreReader): Promise<string[]> {
  const log = await readLog(store, movesLookedAt);
  const moves = await Promise.all(log.slice(-movesLookedAt).map((seq) => readEntry(store, seq)));
  return [...new Set(moves.flatMap((move) => move?.commit ?? []).reverse())];
}

/** First what is first in each list, then what is second, and so on; each once. */
function inTurn(lists: readonly string[][]): string[] {
  const longest = Math.max(...lists.map(({ length }) => length));
  const turns = Array.from({ length: longest }, (_, index) => lists.flatMap((list) => list[index] ?? []));
  return [...new Set(turns.flat())];
}

/** Where the stored pointer is now. */
export async function readPointer(store: StoreReader): Promise<StoredPointer> {
  const [latestJson, latest] = await Promise.all([readCopy(store), store.get(keys.latest)]);
  const head = await readHeadFrom(store, latestJson);
  return { head, latestJson, latest: latest === null ? null : parseLatest(latest.text) };
}

/** The content of `latest`: the commit and a newline. */
export function latestText(commit: string): string {
  return `${commit}\n`;
}

/** The commit in the content of `latest`; null where it is anything else than hosts accept. */
export function parseLatest(text: string): string | null {
  const commit = text.endsWith("\n") ? text.slice(0, -1) : text;
  return commitPattern.test(commit) ? commit : null;
}

/** Whether log, `latest.json` and `latest` all name the desired commit, so that there is nothing to move. */
export function agrees(stored: StoredPointer, desired: string): boolean {
  const { head, latestJson, latest } = stored;
  return head !== null && head.commit === desired && isSameMove(head, latestJson) && latest === desired;
}

/**
 * The number to move with: the stored one where nothing is to move, one more where something is.
 * @param stack that the pointer is handed over to; undefined: it stays with whose it is
 */
export function nextSeq(stored: StoredPointer, desired: string, stack?: string): number {
  const seq = stored.head?.seq ?? 0;
  const handsOver = stack !== undefined && stack !== stored.head?.stack;
  return agrees(stored, desired) && !handsOver ? seq : seq + 1;
}

/** A move for messages: "move 7 to <commit> (stack runner-images/prod, 2026-11-26T10:00:00.000Z)". */
export function moveText({ seq, commit, stack, promotedAt }: Pointer): string {
  const by = stack === undefined ? "" : `stack ${printable(stack)}, `;
  return `move ${seq} to ${commit} (${by}${promotedAt})`;
}

function isSameMove(head: Pointer, copy: Pointer | null): boolean {
  return copy !== null && copy.seq === head.seq && copy.commit === head.commit;
}
