import { setTimeout as sleep } from "node:timers/promises";
import { fetchReason, UserError } from "../process/errors.js";
import { channelUrl, inChannel, latestName } from "../store/channels.js";
import { keys, type Architecture } from "../store/keys.js";
import { agrees, latestText, moveText, parseLatest, readEntry, readHead, readPointer } from "./pointer.js";
import type { MoveNotes } from "./notes.js";
import { say, step } from "../process/progress.js";
import type { Pointer } from "../store/records.js";
import { cancellation } from "../process/run.js";
import { ConflictError, jsonText, type Store } from "../store/store.js";
import { prove, type ProofContext } from "./verify.js";

export interface PromoteRequest {
  commit: string;
  /** The number of this move. The stored one repeats a move, which changes nothing where it was finished. */
  seq: number;
  /** The stack whose pointer it is, "<project>/<stack>"; undefined: whose it was. */
  stack?: string | undefined;
  /** The channel whose pointer it is; undefined: everybody's. */
  channel?: string | undefined;
  /** Who and why, where it is a new move. */
  notes?: MoveNotes;
  architectures: readonly Architecture[];
  /** Base URL of the CDN, without a slash at its end. */
  url: string;
}

/** What `promote` prints. */
export interface PromoteResult extends Pointer {
  /** What its hosts poll below: of a channel with its name. */
  url: string;
}

/**
 * Makes a commit's image the one hosts get: proves it, claims the next entry of the log, writes `latest.json` and `latest`, and
 * waits until the CDN serves it, or another move is the newest. A killed move is finished by repeating it.
 * @param afterMove runs once the move is made, beside the waiting; must not fail
 * @throws UserError where the image is not complete, or another update moved the pointer
 */
export async function promote(
  bucket: Store,
  request: PromoteRequest,
  context: Omit<ProofContext, "now">,
  afterMove: () => Promise<void> = () => Promise.resolve(),
): Promise<PromoteResult> {
  const { commit, seq, channel, architectures } = request;
  const store = inChannel(bucket, channel);
  const url = channelUrl(request.url, channel);
  const { problems, warnings, unproven } = await prove(store, commit, architectures, {
    ...context,
    now: new Date(),
  });
  for (const warning of [...warnings, ...unproven]) say(`warning: ${commit}: ${warning}`);
  if (problems.length > 0) {
    // Repeating a move that is done changes nothing, and what is live is only warned about (plan.ts).
    const stored = await readPointer(store);
    if (stored.head?.seq !== seq || !agrees(stored, commit))
      throw new UserError(`${commit} cannot go live: ${problems.join("; ")}`);
    for (const problem of problems) say(`warning: the live image ${commit}: ${problem}`);
  }
  if (channel !== undefined)
    await step(`wait until ${url}/ serves its images`, () =>
      waitForImages(store, { commit, architectures, url, everybody: request.url }),
    );
  const entry = await claim(store, request);
  say(`move ${entry.seq}: ${latestName(channel)} now names ${commit}, before ${entry.previous ?? "nothing"}`);
  await settle(store);
  const after = afterMove();
  try {
    await step(`wait until ${url}/latest names it`, () => waitForCdn(store, url, entry));
  } finally {
    await after;
  }
  return { ...entry, url };
}

/**
 * The entry of the log for this move: the stored one, or a new one.
 * @throws UserError unless it is the newest
 */
export async function claim(
  store: Store,
  { commit, seq, stack, notes }: Pick<PromoteRequest, "commit" | "seq" | "stack" | "notes">,
): Promise<Pointer> {
  const stored = await readPointer(store);
  const newest = stored.head?.seq ?? 0;
  if (seq === newest && stored.head?.commit === commit) return stored.head;
  if (seq > newest + 1)
    throw new UserError(`move ${seq} would leave a gap, the newest is ${newest}: use --seq ${newest + 1}`);
  if (seq <= newest) throw movedMeanwhile(stored.head);

  const previous = stored.latest ?? stored.head?.commit ?? null;
  const owner = stack ?? stored.head?.stack;
  const entry: Pointer = {
    seq,
    commit,
    previous,
    promotedAt: new Date().toISOString(),
    ...(owner !== undefined && { stack: owner }),
    ...notes,
  };
  try {
    await store.create(keys.pointer(seq), jsonText(entry));
    return entry;
  } catch (error) {
    if (!(error instanceof ConflictError)) throw error;
    const theirs = await readEntry(store, seq);
    if (theirs?.commit !== commit) throw movedMeanwhile(theirs);
    return theirs;
  }
}

function movedMeanwhile(by: Pointer | null): UserError {
  return new UserError(
    `another update moved the pointer: ${by === null ? "to an unknown commit" : moveText(by)}; run pulumi up again`,
  );
}

/** Rounds of settle(): one is enough alone, each concurrent move can cost one more. */
const settleRounds = 100;

/**
 * Brings `latest.json` and `latest` to the newest entry of the log, whoever wrote it. The copies are read *before* the log and
 * replaced only in the version that was read: a writer who was delayed in between loses, and never puts an older move back.
 */
export async function settle(store: Store): Promise<void> {
  for (let round = 0; round < settleRounds; round++) {
    const [latestJson, latest] = await Promise.all([store.get(keys.latestJson), store.get(keys.latest)]);
    const head = await readHead(store);
    if (head === null) return;
    const written =
      (await copyTo(store, keys.latestJson, latestJson, jsonText(head))) &&
      (await copyTo(store, keys.latest, latest, latestText(head.commit)));
    // The same commit may be live twice, with the same ETag each time: only the log tells whether it still is the newest.
    if (written && (await readHead(store))?.seq === head.seq) return;
  }
  throw new UserError(
    `${keys.latest} in ${store.where} is being changed by others all the time: run pulumi up again`,
  );
}

async function copyTo(
  store: Store,
  key: string,
  stored: { text: string; etag: string } | null,
  text: string,
): Promise<boolean> {
  return stored?.text === text || store.replace(key, text, stored?.etag ?? null);
}

/** Milliseconds. A CDN that is there already may serve the old pointer for a minute, and some caches check twice. */
const cdnTimeout = 150_000;
const cdnInterval = 1_000;
const requestTimeout = 5_000;

async function waitForCdn(store: Store, url: string, { seq, commit }: Pointer): Promise<void> {
  const deadline = Date.now() + cdnTimeout;
  for (;;) {
    const served = await readServedLatest(url);
    if (served.commit === commit) return;
    // Nobody will be served a move that is not the newest any more.
    if ((await store.get(keys.pointer(seq + 1))) !== null) {
      const newest = await readHead(store);
      throw new UserError(
        `move ${seq} to ${commit} was overtaken: the newest is ${newest === null ? "unknown" : moveText(newest)}; where that is wrong, run pulumi up again`,
      );
    }
    cancellation.signal.throwIfAborted();
    if (Date.now() > deadline)
      throw new UserError(
        `${url}/latest still ${served.description} after ${cdnTimeout / 1000} s; the store names ${commit}: check the CDN and IMAGES_URL`,
      );
    await sleep(cdnInterval, undefined, { signal: cancellation.signal });
  }
}

/**
 * Waits until the CDN serves below a channel's URL the same images as below everybody's. Looked at before the move: hosts of the channel ask
 * for them as soon as `latest` names one, and any error ends a host's process.
 */
async function waitForImages(
  store: Store,
  { commit, architectures, url, everybody }: Omit<PromoteRequest, "seq"> & { everybody: string },
): Promise<void> {
  const deadline = Date.now() + cdnTimeout;
  for (const arch of architectures) {
    const key = keys.diskSha256(commit, arch);
    const stored = (await store.get(key))?.text;
    for (;;) {
      const seen = await readServed(`${url}/${key}`);
      if (seen.text === stored) break;
      cancellation.signal.throwIfAborted();
      if (Date.now() > deadline)
        throw new UserError(
          `${url}/${key} still ${seen.text === null ? seen.description : "is another one than the store's"} after ${cdnTimeout / 1000} s, and hosts of the channel ask there: the CDN has to serve ${url}/images/ as it serves ${everybody}/images/ (docs/contract.md, "Channels"); one whose settings were just changed takes minutes: run pulumi up again`,
        );
      await sleep(cdnInterval, undefined, { signal: cancellation.signal });
    }
  }
}

/** What the CDN serves as `latest`; commit is null where that is no commit. The description goes into sentences. */
export async function readServedLatest(url: string): Promise<{ commit: string | null; description: string }> {
  const { text, description } = await readServed(`${url}/latest`);
  if (text === null) return { commit: null, description };
  const commit = parseLatest(text);
  return {
    commit,
    description: commit === null ? "serves something that is no commit" : `names ${commit}`,
  };
}

/** A small object as the CDN serves it; null: it does not, and the description says what it does. */
async function readServed(address: string): Promise<{ text: string | null; description: string }> {
  try {
    const answer = await fetch(address, { signal: AbortSignal.timeout(requestTimeout) });
    const text = await answer.text();
    if (!answer.ok) return { text: null, description: `answers ${answer.status}` };
    return { text, description: "is served" };
  } catch (error) {
    return { text: null, description: `cannot be reached (${fetchReason(error)})` };
  }
}
