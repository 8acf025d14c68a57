import prettyBytes from "pretty-bytes";
import { readEntry, readLog, readPointer, type StoredPointer } from "./pointer.js";
import { duration } from "../process/progress.js";
import { readServedLatest } from "./promote.js";
import { inChannel } from "../store/channels.js";
import { architectures, keys, type Architecture } from "../store/keys.js";
import { manifest, type Pointer } from "../store/records.js";
import { getJson, type StoreReader } from "../store/store.js";
import { usabilityText, type RunnerCalendar } from "./runner-releases.js";

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
  /** What is live, of each architecture that has a manifest. */
  images: LiveImage[];
  /** The last moves, newest first. */
  history: Pointer[];
  /** What some hosts get in place of it, where the bucket was asked; empty: no channel, or not known. */
  channels: ChannelStatus[];
}

export interface ChannelStatus {
  name: string;
  /** What its `latest` names; null: nothing valid. */
  latest: string | null;
  /** ISO time since which it is live; null: edited by hand. */
  since: string | null;
}

export interface LiveImage {
  arch: Architecture;
  /** The runner's kind and version: "github 2.338.0". */
  runner: string;
  /** ISO time from which GitHub gives it no more jobs; null: no end is known. */
  usableUntil: string | null;
  /** Why. */
  because: string;
  /** What a host downloads, in bytes: the whole disk, or a delta from the image of a commit, those that went live last first. */
  download: { bytes: number; deltas: { from: string; bytes: number }[] };
}

export async function readStatus(
  store: StoreReader,
  given: Pick<Status, "url" | "pinned"> & {
    /** The channels that are told of besides, by name. */
    channels?: readonly string[];
  },
  calendar: RunnerCalendar,
): Promise<Status> {
  const { url, pinned, channels = [] } = given;
  const [{ head, latest }, log, served] = await Promise.all([
    readPointer(store),
    readLog(store, historyLength),
    url === null ? null : readServedLatest(url),
  ]);
  const newest = log.slice(-historyLength).reverse();
  const [history, images, others] = await Promise.all([
    Promise.all(newest.map((seq) => readEntry(store, seq))),
    latest === null ? [] : readLiveImages(store, latest, calendar),
    Promise.all(
      channels.map(async (name) => {
        const own = await readPointer(inChannel(store, name));
        return { name, latest: own.latest, since: sinceOf(own) };
      }),
    ),
  ]);
  return {
    url,
    latest,
    since: sinceOf({ head, latest }),
    served: served?.commit ?? null,
    pinned,
    images,
    history: history.filter((entry) => entry !== null),
    channels: others,
  };
}

function sinceOf({ head, latest }: Pick<StoredPointer, "head" | "latest">): string | null {
  return head !== null && head.commit === latest ? head.promotedAt : null;
}

async function readLiveImages(
  store: StoreReader,
  commit: string,
  calendar: RunnerCalendar,
): Promise<LiveImage[]> {
  const images = await Promise.all(
    architectures.map(async (arch) => {
      const found = await getJson(store, keys.manifest(commit, arch), manifest);
      if (found === null) return [];
      const { runner } = found.build;
      const { until, because } = await calendar.usability(runner);
      const name = `${runner.kind} ${runner.version}`;
      const deltas = (found.deltas ?? []).map(({ from, bytes }) => ({ from, bytes }));
      const download = { bytes: found.compressed.bytes, deltas };
      return [{ arch, runner: name, usableUntil: until?.toISOString() ?? null, because, download }];
    }),
  );
  return images.flat();
}

/** The same for people. */
export function statusText(status: Status, now: Date): string {
  const { url, latest, since, served, pinned, images, history, channels } = status;
  const age = (time: string | null) =>
    time === null ? "" : `, live since ${time} (${duration(now.getTime() - Date.parse(time))})`;
  const lines = [
    `latest   ${latest ?? "nothing promoted yet"}${age(since)}`,
    `pinned   ${pinnedText(pinned)}`,
    ...(url === null
      ? []
      : [`url      ${url}/latest${served === latest ? "" : ` still serves ${served ?? "no commit"}`}`]),
    ...images.map(
      ({ arch, runner, usableUntil, because }) =>
        `${arch.padEnd(8)} runner ${runner}: ${usabilityText({ until: usableUntil === null ? null : new Date(usableUntil), because }, now)}`,
    ),
    ...images.map(({ arch, download }) => `${arch.padEnd(8)} hosts download ${downloadText(download)}`),
    ...channels.map(
      (own) => `channel ${own.name}: ${own.latest ?? "latest names no commit"}${age(own.since)}`,
    ),
    ...(history.length === 0 ? [] : ["moves"]),
    ...history.map(({ seq, commit, promotedAt }) => `  ${String(seq).padStart(4)}  ${promotedAt}  ${commit}`),
  ];
  return lines.join("\n");
}

function downloadText({ bytes, deltas }: LiveImage["download"]): string {
  const ways = deltas.map((delta) => `${prettyBytes(delta.bytes)} with ${delta.from.slice(0, 12)} here`);
  return [prettyBytes(bytes), ...ways].join(", ");
}

function pinnedText(pinned: string | null): string {
  if (pinned === null) return "unknown here: pulumi config get latest";
  return pinned === "" ? "no, follows the newest build" : pinned;
}
