import type { Trust } from "../attest/signer.js";
import { keys, type Architecture } from "../store/keys.js";
import { agrees, moveText, nextSeq, readPointer, type StoredPointer } from "./pointer.js";
import type { BucketReader } from "../store/store.js";
import { UserError } from "../process/errors.js";
import type { RunnerCalendar } from "./runner-releases.js";
import { prove } from "./verify.js";

/** Where `latest` is to point, decided before anything is changed. */
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

/**
 * Reads the stored pointer and proves the target of the move, so that a bad rollback fails in the preview.
 *
 * An image that is live already is not refused but warned about: to fail would block every other change, and leave it live.
 * @throws UserError naming what the pinned commit lacks, or the other stack whose bucket it is
 */
export async function planMove(
  store: BucketReader,
  given: {
    newest: string;
    pinned: string | undefined;
    architectures: readonly Architecture[];
    calendar: RunnerCalendar;
    trust: Trust | null;
    /** The stack that plans, "<project>/<stack>". */
    stack: string;
    now?: Date;
  },
): Promise<Move> {
  const { newest, pinned, architectures, calendar, trust, stack, now = new Date() } = given;
  const commit = pinned ?? newest;
  const [stored, { problems, lasting, warnings, unproven }] = await Promise.all([
    readPointer(store),
    prove(store, commit, architectures, { calendar, trust, now }),
  ]);
  requireOwn(stored, stack, store.where);
  const isLive = agrees(stored, commit);
  if (pinned !== undefined && problems.length > 0 && !isLive) {
    throw new UserError(
      `config runner-images:latest names ${commit}, which cannot go live: ${problems.join("; ")}; pin another commit: pulumi config set latest <commit>, or unpin: pulumi config rm latest`,
    );
  }
  if (pinned === undefined && lasting.length > 0 && !isLive) {
    throw new UserError(
      `the newest image ${commit} cannot go live, and building it again would not help: ${lasting.join("; ")}; commit a change of image/, or pin another commit: pulumi config set latest <commit>`,
    );
  }
  return {
    commit,
    from: stored.latest,
    isLive,
    seq: nextSeq(stored, commit),
    needsBuild: pinned === undefined && problems.length > 0,
    isFirst: stored.head === null && (await store.list(keys.imagesPrefix(newest))).length === 0,
    // What is live is told nothing that would be told every day.
    warnings: [...(isLive ? problems : unproven), ...warnings].map(
      (line) => `the ${isLive ? "live " : ""}image ${commit}: ${line}`,
    ),
  };
}

/** One bucket has one pointer: two stacks would each undo the other's moves, update by update. @throws UserError */
function requireOwn({ head }: StoredPointer, stack: string, where: string): void {
  if (head?.stack === undefined || head.stack === stack) return;
  throw new UserError(
    `${where} is another stack's, whose newest is ${moveText(head)}, and this is ${stack}: give this stack a bucket of its own (pulumi config set bucket <name>), or hand that one over to it: npm run release -- promote --commit ${head.commit} --stack ${stack}`,
  );
}
