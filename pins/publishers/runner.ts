import semver from "semver";
import { merge, runnerReleasesFile } from "../../release/pointer/runner-releases.js";
import { architectures } from "../../release/store/keys.js";
import { isNewer, unchanged, type Finding } from "../finding.js";
import { inputsFile, type Pinned } from "../pinned.js";
import { setDownload, setJson, setReleases } from "../rewrite.js";
import type { Publisher } from "../web.js";
import { asset, githubReleases } from "./github.js";

const theirName = { x86_64: "x64", aarch64: "arm64" };

/**
 * GitHub's runner, and the days of its releases. The hash is said twice, by GitHub for what was uploaded (`digest`) and by the runner's
 * own build in the notes (https://github.com/actions/runner/blob/main/releaseNote.md); both have to agree. It has no signature.
 */
export async function findRunner(publisher: Publisher, { inputs, releases }: Pinned): Promise<Finding> {
  const { where, releases: published } = await githubReleases(publisher, "actions/runner");
  const [newest] = published;
  const { runner } = inputs;
  const newer = isNewer(publisher, where, newest.version, runner.version);
  const downloads = architectures.map((arch) => {
    const name = `actions-runner-linux-${theirName[arch]}-${newest.version}.tar.gz`;
    const download = asset(publisher, where, newest, name);
    const mark = `linux-${theirName[arch]}`;
    const noted = new RegExp(`BEGIN SHA ${mark} -->([^<]*)<!-- END SHA ${mark} `).exec(newest.notes)?.[1];
    if (noted !== download.sha256)
      throw publisher.wrong(
        where,
        `${name} to have the sha256 of its notes, ${noted ?? "which have none"}, not ${download.sha256}`,
        "do not use it",
      );
    if (!newer) unchanged(publisher, where, download.sha256, runner[arch].sha256);
    return { arch, download };
  });

  // Images with a runner from before the oldest known one are long gone.
  const known = published.filter(({ version }) => releases.every((old) => !semver.lt(version, old.version)));
  const merged = merge(
    releases,
    known.map(({ version, day }) => ({ version, releasedAt: day, deprecatedAt: null })),
  );
  return {
    what: publisher.what,
    pinned: { name: runner.version, day: runner.releasedAt },
    newest: { name: newest.version, day: newest.day },
    edits: [
      ...(merged.length > releases.length ? [setReleases(runnerReleasesFile, merged)] : []),
      ...(newer
        ? [
            setJson(inputsFile, ["runner", "version"], newest.version),
            setJson(inputsFile, ["runner", "releasedAt"], newest.day),
            ...downloads.flatMap(({ arch, download }) => setDownload(inputsFile, ["runner", arch], download)),
          ]
        : []),
    ],
  };
}
