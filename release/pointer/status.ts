import { readEntry, readLog, readPointer } from "./pointer.js";
import { duration } from "../process/progress.js";
import { readServedLatest } from "./promote.js";
import type { Pointer } from "../store/records.js";
import type { StoreReader } from "../store/store.js";

/** How many moves `status` shows. */
const historyLength = 10;

/** What `status --json` prints. */
export interface Status {
  /** Base URL of the CDN; null: not given. */
  url: string | null;
  /** The commit that is live: what `latest` in the store names. */
  latest: string | null;
  /** ISO time since which it is live; null where nothing is, or `latest` was edited by hand. */
  since: string | null;
  /** What the CDN names now; null: not asked, or it names no commit. */
  served: string | null;
  /** The stack's config value, empty where it pins nothing; null: not known here. */
  pinned: string | null;
  /** The last moves, newest first. */
  history: Pointer[];
}

export async function readStatus(store: StoreReader, given: Pick<Status, "url" | "pinned">): Promise<Status> {
  const { url, pinned } = given;
  const [{ head, latest }, log, served] = await Promise.all([
    readPointer(store),
    readLog(store),
    url === null ? null : readServedLatest(url),
  ]);
  const newest = log.slice(-historyLength).reverse();
  const history = await Promise.all(newest.map((seq) => readEntry(store, seq)));
  return {
    url,
    latest,
    since: head !== null && head.commit === latest ? head.promotedAt : null,
    served: served?.commit ?? null,
    pinned,
    history: history.filter((entry) => entry !== null),
  };
}

/** The same for people. */
export function statusText(status: Status, now: Date): string {
  const { url, latest, since, served, pinned, history } = status;
  const age = since === null ? "" : `, live since ${since} (${duration(now.getTime() - Date.parse(since))})`;
  const lines = [
    `latest   ${latest ?? "nothing promoted yet"}${age}`,
    `pinned   ${pinnedText(pinned)}`,
    ...(url === null
      ? []
      : [`url      ${url}/latest${served === latest ? "" : ` still serves ${served ?? "no commit"}`}`]),
    ...(history.length === 0 ? [] : ["moves"]),
    ...history.map(({ seq, commit, promotedAt }) => `  ${String(seq).padStart(4)}  ${promotedAt}  ${commit}`),
  ];
  return lines.join("\n");
}

function pinnedText(pinned: string | null): string {
  if (pinned === null) return "unknown here: pulumi config get latest";
  return pinned === "" ? "no, follows the newest build" : pinned;
}
