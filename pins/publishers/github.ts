import { z } from "zod";
import semver from "semver";
import { releaseOf, releasesAnswer } from "../../release/pointer/runner-releases.js";
import type { Publisher } from "../web.js";

const api = "https://api.github.com/repos";

/** https://docs.github.com/en/rest/releases/releases#list-releases; `digest` is GitHub's own, of what was uploaded. */
const releases = z
  .array(
    releasesAnswer.element.extend({
      body: z.string().nullable(),
      assets: z.array(
        z.object({
          name: z.string(),
          browser_download_url: z.httpUrl(),
          digest: z
            .string()
            .regex(/^sha256:[0-9a-f]{64}$/)
            .nullable(),
        }),
      ),
    }),
  )
  .min(1);

/** A release that counts: neither a draft nor a prerelease, and with a version of three numbers. */
export interface GitHubRelease {
  version: string;
  /** ISO day, UTC. */
  day: string;
  /** Its text. */
  notes: string;
  assets: { name: string; url: string; sha256: string | null }[];
}

/**
 * The newest 30 releases of a repository; newest version first. They come by date, so a fix of an old version may be at the top.
 * @param repository owner/name
 * @returns them, and where they are from
 */
export async function githubReleases(
  publisher: Publisher,
  repository: string,
): Promise<{ where: string; releases: [GitHubRelease, ...GitHubRelease[]] }> {
  const where = `${api}/${repository}/releases?per_page=30`;
  const found = (await publisher.json(where, releases)).flatMap((answer) =>
    releaseOf(answer).map(({ version, releasedAt }): GitHubRelease => {
      const assets = answer.assets.map(({ name, browser_download_url: url, digest }) => ({
        ...{ name, url },
        sha256: digest?.replace("sha256:", "") ?? null,
      }));
      return { version, day: releasedAt, notes: answer.body ?? "", assets };
    }),
  );
  const [newest, ...others] = found.sort((a, b) => semver.rcompare(a.version, b.version));
  if (newest === undefined) throw publisher.wrong(where, "a release that is neither draft nor prerelease");
  return { where, releases: [newest, ...others] };
}

/** @throws UserError where the release has no such file, or GitHub tells no hash of it */
export function asset(
  publisher: Publisher,
  where: string,
  { version, assets }: GitHubRelease,
  name: string,
): { url: string; sha256: string } {
  const found = assets.find((candidate) => candidate.name === name);
  if (!found?.sha256) throw publisher.wrong(where, `${name} with its digest in release ${version}`);
  return { url: found.url, sha256: found.sha256 };
}

/** https://docs.github.com/en/rest/commits/commits#get-a-commit */
const commit = z.object({
  sha: z.string().regex(/^[0-9a-f]{40}$/),
  commit: z.object({ committer: z.object({ date: z.iso.datetime() }) }),
});

/** The commit that a tag names. */
export async function githubTag(
  publisher: Publisher,
  repository: string,
  tag: string,
): Promise<{ where: string; commit: string; day: string }> {
  const where = `${api}/${repository}/commits/tags/${tag}`;
  const answer = await publisher.json(where, commit);
  return { where, commit: answer.sha, day: answer.commit.committer.date.slice(0, 10) };
}
