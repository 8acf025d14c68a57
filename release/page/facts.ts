import { proveOrigin, type Origin } from "../attest/origin.js";
import { diffImages, type ImageDiff } from "../compare/diff.js";
import { readFacts, type ImageFacts } from "../compare/facts.js";
import { readEntry, readHead, readLog } from "../pointer/pointer.js";
import type { Usability } from "../pointer/runner-releases.js";
import { prove, type ProofContext } from "../pointer/verify.js";
import { inEachChannel } from "../store/channels.js";
import { newestFirst, objectsByCommit, storedImage, type StoredImage } from "../store/images.js";
import { keys, type Architecture } from "../store/keys.js";
import { manifest, type CommitNote, type Pointer } from "../store/records.js";
import { parseJson, type BucketReader, type ListedObject, type ListedStore } from "../store/store.js";

/*
 * What the page says, as one value: read here, from stored records alone, and turned into text by functions that read nothing.
 */

export interface PageFacts {
  /** Base URL of the CDN, without a slash at its end. */
  url: string;
  /** What is not in a record (until when a runner is given jobs, say) is as it was known then. */
  writtenAt: Date;
  /** Null: nothing was promoted yet. */
  live: LiveImage | null;
  /** The last moves, newest first. */
  moves: Pointer[];
  /** The images that those moves made live, the one that is live first; each once. */
  images: KnownImage[];
  /** All others that were published and passed their boot, newest first; null: there are too many images to look through them. */
  others: StoredImage[] | null;
  channels: LiveChannel[];
}

/** What the hosts of a channel get. */
export interface LiveChannel {
  name: string;
  /** Its newest move. */
  move: Pointer;
}

/** What hosts get. */
export interface LiveImage {
  move: Pointer;
  /** The image that was live before; null: none. */
  before: string | null;
  architectures: LiveArchitecture[];
}

export interface LiveArchitecture {
  image: ImageFacts;
  /** Against the image before, where that has this architecture. */
  diff: ImageDiff | null;
  /** Who built it; null: nobody was asked. */
  origin: Origin | null;
}

/** An image that was live once. */
export interface KnownImage {
  commit: string;
  /** The last move to it. */
  move: Pointer;
  /** What the last move that knew it said of its commit. */
  note: CommitNote | null;
  isLive: boolean;
  /** Why it may not go live again, a line each; none: it may. */
  problems: string[];
  /** Until when its runner is given jobs, of the architecture for which that ends first; null: not known. */
  usability: Usability | null;
}

/** How many moves are read: those of the feed, and of a page of moves. It bounds what a page costs, however long the log is. */
export const movesRead = 50;
/** In how many of them the page looks for images to go back to, and how many of those it proves at most. */
const movesWithImages = 30;
const imagesShown = 20;
/** Images that are proven at once: each takes some requests and its bill of materials. */
const atOnce = 4;

/** The last moves, newest first. */
export async function readMoves(store: BucketReader): Promise<Pointer[]> {
  const numbers = (await readLog(store, movesRead)).slice(-movesRead);
  const moves = await Promise.all(numbers.map((seq) => readEntry(store, seq)));
  return moves.filter((move) => move !== null).reverse();
}

/** What the hosts of each channel get. */
export async function readChannels(store: ListedStore): Promise<LiveChannel[]> {
  const heads = await inEachChannel(store, async (own, name) => ({ name, move: await readHead(own) }));
  return heads.flatMap(({ name, move }) => (move === null ? [] : [{ name, move }]));
}

/**
 * @param moves the last ones, newest first
 * @throws UserError where a record is not valid
 */
export async function readPageFacts(
  store: ListedStore,
  { moves, channels }: Pick<PageFacts, "moves" | "channels">,
  { url, ...context }: ProofContext & { url: string },
): Promise<PageFacts> {
  const [newest] = moves;
  const nothing = { url, writtenAt: context.now, live: null, moves, images: [], others: [], channels };
  if (newest === undefined) return nothing;
  const [live, stored] = await Promise.all([
    readLive(store, newest, moves, context),
    store.listFewObjects(keys.imagesRoot),
  ]);
  // What a stack's images have to have, as its newest move proved it.
  const architectures = live.architectures.map(({ image }) => image.arch);
  const images = await readImages(store, moves, { ...context, architectures });
  return { ...nothing, live, images, others: stored === null ? null : othersIn(stored, images) };
}

/** The images beside those that are known from their moves, as far as a listing tells that they could go live. */
function othersIn(listed: readonly ListedObject[], known: readonly KnownImage[]): StoredImage[] {
  const stored = [...objectsByCommit(listed)].map(([commit, objects]) => storedImage(commit, objects));
  return newestFirst(stored).filter(
    ({ commit, isProven }) => isProven && !known.some((image) => image.commit === commit),
  );
}

async function readLive(
  store: BucketReader,
  move: Pointer,
  moves: Pointer[],
  { calendar, trust, now }: ProofContext,
): Promise<LiveImage> {
  const { commit } = move;
  // A pointer that was handed over, or mended, names what it named.
  const before = moves.find((other) => other.commit !== commit)?.commit ?? move.previous;
  const other = before === commit ? null : before;
  const [images, older] = await Promise.all([
    readFacts(store, commit, calendar),
    other === null ? [] : readFacts(store, other, calendar),
  ]);
  const architectures = await Promise.all(
    images.map(async (image): Promise<LiveArchitecture> => {
      const { arch } = image;
      const subject = { commit, arch, sha256: image.manifest.disk.sha256 };
      const pair = older.filter((one) => one.arch === arch);
      const [diff] = pair.length === 0 ? [] : diffImages(pair, [image], [other!, commit]);
      const origin = trust === null ? null : await proveOrigin(store, subject, trust, now);
      return { image, diff: diff ?? null, origin };
    }),
  );
  return { move, before: other, architectures };
}

async function readImages(
  store: BucketReader,
  moves: Pointer[],
  given: ProofContext & { architectures: readonly Architecture[] },
): Promise<KnownImage[]> {
  const commits = [...new Set(moves.slice(0, movesWithImages).map(({ commit }) => commit))];
  const waiting = commits.slice(0, imagesShown).entries();
  const images: KnownImage[] = [];
  const work = async () => {
    for (const [index, commit] of waiting) images[index] = await readImage(store, commit, moves, given);
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return images;
}

async function readImage(
  store: BucketReader,
  commit: string,
  moves: Pointer[],
  { architectures, ...context }: ProofContext & { architectures: readonly Architecture[] },
): Promise<KnownImage> {
  const [{ problems }, ...usabilities] = await Promise.all([
    prove(store, commit, architectures, context),
    ...architectures.map((arch) => usabilityOf(store, commit, arch, context)),
  ]);
  const known = usabilities.filter((usability) => usability !== null);
  const end = ({ until }: Usability) => until?.getTime() ?? Infinity;
  return {
    commit,
    move: moves.find((move) => move.commit === commit)!,
    note: moves.find((move) => move.commit === commit && move.image !== undefined)?.image ?? null,
    isLive: commit === moves[0]!.commit,
    problems,
    usability: known.sort((a, b) => end(a) - end(b))[0] ?? null,
  };
}

async function usabilityOf(
  store: BucketReader,
  commit: string,
  arch: Architecture,
  { calendar }: ProofContext,
): Promise<Usability | null> {
  const stored = await store.get(keys.manifest(commit, arch));
  const found = stored === null ? null : parseJson(stored.text, manifest);
  return found === null ? null : calendar.usability(found.build.runner);
}
