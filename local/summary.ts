import prettyBytes from "pretty-bytes";
import { UserError } from "../release/process/errors.js";
import { latestName } from "../release/store/channels.js";
import { keys, type Architecture } from "../release/store/keys.js";
import { usabilityText, type Usability } from "../release/pointer/runner-releases.js";
import { duration } from "../release/process/progress.js";
import { manifest, type Manifest } from "../release/store/records.js";

/** What `npm start` ends with. */
export interface Summary {
  /** The commit that is live. */
  latest: string;
  /** The commit it is pinned to; empty when it follows the newest build. */
  pinned: string;
  /** The commit that is live in each channel, by name. */
  channels: Record<string, string>;
  /** Base URL of the CDN. */
  url: string;
  images: { manifest: Manifest; usability: Usability }[];
  /** What was done and how long it took, in ms. */
  steps: { name: string; ms: number }[];
}

/** Reads the manifests of a commit through the CDN, as a VM host's operator would. @throws UserError when one is not served */
export async function readManifests(
  url: string,
  commit: string,
  architectures: readonly Architecture[],
): Promise<Manifest[]> {
  return Promise.all(
    architectures.map(async (arch) => {
      const address = `${url}/${keys.manifest(commit, arch)}`;
      const response = await fetch(address, { signal: AbortSignal.timeout(10_000) });
      if (!response.ok) throw new UserError(`${address} answers ${response.status}`);
      return manifest.parse(await response.json());
    }),
  );
}

export function renderSummary({ latest, pinned, channels, url, images, steps }: Summary, now: Date): string {
  const lines = images.flatMap(({ manifest: { arch, compressed, disk, build }, usability }) => [
    `  ${url}/${compressed.key}`,
    `    ${prettyBytes(compressed.bytes)}, unpacked ${prettyBytes(disk.bytes)}, virtual disk ${prettyBytes(build.virtualSize)}; base ${build.base.kind}, runner ${build.runner.kind} ${build.runner.version}`,
    `    ${usabilityText(usability, now)}`,
    `  ${url}/${keys.diskSha256(latest, arch)}`,
  ]);
  return [
    `live: ${latest}${pinned === "" ? " (the newest build)" : " (pinned)"}`,
    `  ${url}/ (the page for people; feed: ${url}/${keys.feed})`,
    `  ${url}/${keys.latest}`,
    ...lines,
    ...Object.entries(channels).flatMap(([name, commit]) => [
      `in the channel ${name}: ${commit}`,
      `  ${url}/${latestName(name)}`,
    ]),
    `time: ${steps.map(({ name, ms }) => `${name} ${duration(ms)}`).join(", ")}`,
    pinned === ""
      ? "roll back: npm run pulumi -- config set latest <commit>, then npm start (commits: npm run release -- status)"
      : "unpin: npm run pulumi -- config rm latest, then npm start",
    "",
  ].join("\n");
}
