import type { Trust } from "../attest/signer.js";
import { UserError } from "../process/errors.js";
import { inChannel } from "../store/channels.js";
import { keys, type Architecture } from "../store/keys.js";
import type { BucketReader } from "../store/store.js";
import { everybody, type Channel } from "./channels.js";
import { agrees, moveText, nextSeq, readPointer, type StoredPointer } from "./pointer.js";
import type { RunnerCalendar } from "./runner-releases.js";
import { prove } from "./verify.js";

/** Where a `latest` is to point, decided before anything is changed. */
export interface Move {
  commit: string;
  /** The number of the move: the stored one where the store already agrees. */
  seq: number;
  /** True where `commit` is still to be built and boot-tested: the move has to wait for that. */
  needsBuild: boolean;
  /** The commit that hosts get now; null: none yet. */
  from: string | null;
  /** True where there is nothing to move: hosts get `commit` already, and the log says so. */
  isLive: boolean;
  /** True where nothing was ever promoted, and nothing of `newest` published. */
  isFirst: boolean;
  /** What is wrong with an image that stays live all the same. One line each. */
  warnings: string[];
}

/** All pointers of a stack. */
export interface Moves {
  /** Everybody's. */
  latest: Move;
  channels: (Move & { channel: string })[];
  /** Why everybody does not get the newest image yet, and when they will; null: they do, or are pinned. */
  waits: string | null;
}

/** What is asked of each target. */
interface Question {
  newest: string;
  architectures: readonly Architecture[];
  calendar: RunnerCalendar;
  trust: Trust | null;
  /** The stack that plans, "<project>/<stack>". */
  stack: string;
  now: Date;
}

/** What a `latest` is to name, and who says so: the config, what was built last, or that nothing newer may come yet. */
interface Target {
  commit: string;
  by: "pin" | "newest" | "wait";
  /** The channel; undefined: everybody's. */
  channel: string | undefined;
}

/**
 * Reads the stored pointers and proves the target of each move, so that a bad rollback fails in the preview.
 *
 * An image that is live already is not refused but warned about: to fail would block every other change, and leave it live.
 * @throws UserError naming what each pinned commit lacks, the other stack whose bucket it is, or what lies where a channel's pointer would
 */
export async function planMoves(
  store: BucketReader,
  given: Omit<Question, "now"> & {
    pinned: string | undefined;
    channels?: readonly Channel[];
    now?: Date;
  },
): Promise<Moves> {
  const { newest, pinned, channels = [], now = new Date() } = given;
  const question = { ...given, now };
  const [stored, own] = await Promise.all([
    readPointer(store),
    Promise.all(channels.map(({ name }) => readChannel(store, name))),
  ]);
  const gate = channels.findIndex(({ promote }) => promote.kind !== "never");
  const { commit, waits } =
    gate === -1 || pinned !== undefined
      ? { commit: newest, waits: null }
      : everybody(newest, stored.head?.commit ?? null, channels[gate]!, own[gate]!, now);
  const targets: Target[] = [
    pinned === undefined
      ? { commit, by: waits === null ? "newest" : "wait", channel: undefined }
      : { commit: pinned, by: "pin", channel: undefined },
    ...channels.map(({ name, pinned: to }): Target => ({
      commit: to ?? newest,
      by: to === undefined ? "newest" : "pin",
      channel: name,
    })),
  ];
  const planned = await Promise.allSettled(
    targets.map((target, index) => planMove(store, index === 0 ? stored : own[index - 1]!, target, question)),
  );
  const [latest, ...others] = allOf(planned);
  return {
    latest: latest!,
    channels: others.map((move, index) => ({ ...move, channel: channels[index]!.name })),
    waits,
  };
}

/** What all have come to. @throws UserError with every refusal, a line each */
function allOf<T>(results: PromiseSettledResult<T>[]): T[] {
  const refusals: string[] = [];
  const values = results.flatMap((result) => {
    if (result.status === "fulfilled") return [result.value];
    if (!(result.reason instanceof UserError)) throw result.reason as Error;
    refusals.push(result.reason.message);
    return [];
  });
  if (refusals.length > 0) throw new UserError(refusals.join("\n"));
  return values;
}

async function planMove(
  store: BucketReader,
  stored: StoredPointer,
  { commit, by, channel }: Target,
  { newest, architectures, calendar, trust, stack, now }: Question,
): Promise<Move> {
  requireOwn(stored, stack, inChannel(store, channel).where, channel);
  const { problems, lasting, warnings, unproven } = await prove(store, commit, architectures, {
    calendar,
    trust,
    now,
  });
  const isLive = agrees(stored, commit);
  const key = configKey(channel);
  const set = `pulumi config set ${key.argument} <commit>`;
  if (by === "pin" && problems.length > 0 && !isLive) {
    throw new UserError(
      `config runner-images:${key.path} names ${commit}, which cannot go live: ${problems.join("; ")}; pin another commit: ${set}, or unpin: pulumi config rm ${key.argument}`,
    );
  }
  if (by === "wait" && problems.length > 0 && !isLive) {
    throw new UserError(
      `everybody keeps the image ${commit}, which cannot go live again: ${problems.join("; ")}; pin another commit: ${set}`,
    );
  }
  if (by === "newest" && lasting.length > 0 && !isLive) {
    throw new UserError(
      `the newest image ${commit} cannot go live, and building it again would not help: ${lasting.join("; ")}; commit a change of image/, or pin another commit: ${set}`,
    );
  }
  return {
    commit,
    from: stored.latest,
    isLive,
    seq: nextSeq(stored, commit),
    needsBuild: by === "newest" && problems.length > 0,
    isFirst: stored.head === null && (await store.list(keys.imagesPrefix(newest))).length === 0,
    // What is live is told nothing that would be told every day.
    warnings: [...(isLive ? problems : unproven), ...warnings].map(
      (line) => `the ${isLive ? "live " : ""}image ${commit}: ${line}`,
    ),
  };
}

/** Where the config says what a `latest` is pinned to, and as `pulumi config` wants it named. */
function configKey(channel: string | undefined): { path: string; argument: string } {
  if (channel === undefined) return { path: "latest", argument: "latest" };
  const path = `channels.${channel}.latest`;
  return { path, argument: `--path ${path}` };
}

/**
 * The pointer of a channel. Where nothing was promoted in it yet, what lies below its name is looked at.
 * @throws UserError where the bucket has something else below its name
 */
async function readChannel(store: BucketReader, name: string): Promise<StoredPointer> {
  const own = inChannel(store, name);
  if ((await own.list(keys.latest)).length > 0) return readPointer(own);
  const found = await own.list("");
  if (found.length === 0) return { head: null, latestJson: null, latest: null };
  const other = found.find((key) => !key.startsWith(keys.pointerPrefix));
  if (other !== undefined)
    throw new UserError(
      `config runner-images:channels names the channel ${name}, but ${store.where} holds ${name}/${other}, which is no channel's: call it otherwise, or take that away`,
    );
  return readPointer(own);
}

/** A pointer is one stack's: two would each undo the other's moves, update by update. @throws UserError */
function requireOwn(
  { head }: StoredPointer,
  stack: string,
  where: string,
  channel: string | undefined,
): void {
  if (head?.stack === undefined || head.stack === stack) return;
  const inIt = channel === undefined ? "" : ` --channel ${channel}`;
  throw new UserError(
    `${where} is another stack's, whose newest is ${moveText(head)}, and this is ${stack}: give this stack a bucket of its own (pulumi config set bucket <name>), or hand that one over to it: npm run release -- promote --commit ${head.commit} --stack ${stack}${inIt}`,
  );
}
