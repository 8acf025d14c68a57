import { readFile } from "node:fs/promises";
import path from "node:path";
import semver from "semver";
import { z } from "zod";
import { UserError } from "../process/errors.js";
import type { BuildFacts } from "../store/records.js";

/*
 * Until when GitHub gives jobs to an image's runner. That becomes known after the image was published, so it is in no manifest: it is
 * computed, whenever it is needed, from the dates of the runner's releases that are known *now*.
 */

const dayMs = 24 * 60 * 60 * 1000;
/**
 * GitHub queues no more jobs for a runner that lacks a release of more than this many days ago, be it a major, minor or patch release:
 * https://docs.github.com/en/actions/reference/runners/self-hosted-runners#runner-software-updates-on-self-hosted-runners
 */
const graceDays = 30;
/** Less than this is warned about: time for a pull request, its build and its review. */
const warnDays = 7;

const version = z.string().regex(/^\d+\.\d+\.\d+$/);

/** `pins/runner-releases.json`: the releases of actions/runner, oldest first. */
export const runnerReleases = z.object({
  releases: z.array(
    z.object({
      version,
      releasedAt: z.iso.date(),
      /** The day on which GitHub says that this release's jobs end; null: it names none. */
      deprecatedAt: z.iso.date().nullable(),
    }),
  ),
});
export type RunnerRelease = z.infer<typeof runnerReleases>["releases"][number];

/** Where the file is in a checkout: outside `image/`, so that a date that is added builds no image. */
export const runnerReleasesFile = path.join("pins", "runner-releases.json");

type Runner = Pick<BuildFacts["runner"], "kind" | "version"> &
  Partial<Pick<BuildFacts["runner"], "releasedAt" | "supersededAt" | "deprecatedAt">>;

/** Until when an image with this runner can be used, as far as is known. */
export interface Usability {
  /** The first moment without jobs; null: none is known. */
  until: Date | null;
  /** Why, for people: "runner 2.338.0 is out since 2026-10-06". */
  because: string;
}

/** What is known of the runner's releases. */
export interface RunnerCalendar {
  usability: (runner: Runner) => Promise<Usability>;
  /** The day of the newest release, in ISO form: a clock that is behind it is wrong. Null: none is known. */
  newestRelease: string | null;
  /** What could not be asked, and why; one line each. */
  blind: string[];
}

/**
 * The earlier of two days: GitHub's own word about this release, and 30 days after the first newer one.
 * @param releases in any order
 */
export function usabilityOf(runner: Runner, releases: readonly RunnerRelease[]): Usability {
  if (runner.kind === "fixture")
    return { until: null, because: "the fixture runner asks GitHub for nothing" };
  const own = releases.find((release) => release.version === runner.version);
  // What manifests of the first images say themselves.
  const deprecations = [own?.deprecatedAt, runner.deprecatedAt].filter(
    (day) => day !== null && day !== undefined,
  );
  const newer = releases
    .filter((release) => isNewer(release.version, runner.version))
    .map((release) => ({ day: release.releasedAt, name: `runner ${release.version} is out since` }));
  if (runner.supersededAt) newer.push({ day: runner.supersededAt, name: "a newer runner is out since" });

  const limits = [
    ...deprecations.map((day) => ({
      until: new Date(day),
      because: `GitHub ends ${runner.version} on ${day}`,
    })),
    ...newer.map(({ day, name }) => ({
      until: new Date(Date.parse(day) + graceDays * dayMs),
      because: `${name} ${day}`,
    })),
  ].sort((a, b) => a.until.getTime() - b.until.getTime());
  return limits[0] ?? { until: null, because: `no runner newer than ${runner.version} is known yet` };
}

function isNewer(candidate: string, than: string): boolean {
  return semver.valid(than) !== null && semver.gt(candidate, than);
}

/** How an image stands at a moment: no more jobs, fewer than seven days of them left, or neither. */
export type Standing = "expired" | "ending" | "fine";

export function standing({ until }: Usability, now: Date): Standing {
  if (until === null) return "fine";
  if (now >= until) return "expired";
  return now.getTime() >= until.getTime() - warnDays * dayMs ? "ending" : "fine";
}

/** In one line: "usable until 2026-11-05 (runner 2.338.0 is out since 2026-10-06)". */
export function usabilityText(usability: Usability, now: Date): string {
  const { until, because } = usability;
  if (until === null) return `no end known (${because})`;
  const day = until.toISOString().slice(0, 10);
  const word = standing(usability, now) === "expired" ? "gets no more jobs since" : "usable until";
  return `${word} ${day} (${because})`;
}

/** Milliseconds that GitHub may take to answer. It is asked beside everything else, and does without. */
const requestTimeout = 5_000;

export interface CalendarSources {
  /** The checkout whose data counts: the current one, whatever commit an image was built from. */
  root: string;
  /** GITHUB_API_URL is set by GitHub on its machines, and only there GitHub is asked; GH_TOKEN and GITHUB_REPOSITORY are used if set. */
  environment: NodeJS.ProcessEnv;
}

/**
 * Reads the releases known in this checkout and, on GitHub's machines, those of GitHub: a release of today counts today, not when its
 * date was merged. Where GitHub does not answer, the checkout's data has to do.
 * @throws UserError where the checkout's data is missing or not valid
 */
export async function readCalendar({ root, environment }: CalendarSources): Promise<RunnerCalendar> {
  const api = environment.GITHUB_API_URL || null;
  const blind: string[] = [];
  const ask = async <T>(question: string, schema: z.ZodType<T>): Promise<T | null> => {
    try {
      return await askGitHub(`${api}${question}`, environment.GH_TOKEN, schema);
    } catch (error) {
      blind.push(
        `GitHub could not be asked (${question}): ${error instanceof Error ? error.message : String(error)}`,
      );
      return null;
    }
  };
  const [stored, published] = await Promise.all([
    readReleases(root),
    api === null ? [] : ask("/repos/actions/runner/releases?per_page=30", releasesAnswer),
  ]);
  const releases = merge(stored, (published ?? []).flatMap(releaseOf));

  /** GitHub's word on one version: it takes an administrator's token, so in most workflows there is none. */
  async function deprecation(of: string): Promise<string | null> {
    const repository = environment.GITHUB_REPOSITORY;
    if (api === null || !repository || !environment.GH_TOKEN || !version.safeParse(of).success) return null;
    const answer = await askGitHub(
      `${api}/repos/${repository}/actions/runners/deprecations/${of}`,
      environment.GH_TOKEN,
      deprecationAnswer,
    ).catch(() => null);
    return answer?.runtime_deprecates_at?.slice(0, 10) ?? null;
  }

  return { ...calendarOf(releases, deprecation), blind };
}

/**
 * @param deprecation GitHub's word on a version that is not in the releases' data: an ISO day, or null
 */
export function calendarOf(
  releases: readonly RunnerRelease[],
  deprecation: (version: string) => Promise<string | null> = () => Promise.resolve(null),
): RunnerCalendar {
  return {
    blind: [],
    newestRelease:
      releases
        .map(({ releasedAt }) => releasedAt)
        .sort()
        .at(-1) ?? null,
    usability: async (runner) => {
      const deprecatedAt = runner.kind === "github" ? await deprecation(runner.version) : null;
      return usabilityOf({ ...runner, deprecatedAt: deprecatedAt ?? runner.deprecatedAt ?? null }, releases);
    },
  };
}

async function readReleases(root: string): Promise<RunnerRelease[]> {
  const text = await readFile(path.join(root, runnerReleasesFile), "utf8").catch(() => {
    throw new UserError(
      `${runnerReleasesFile} is missing in ${root}, and with it the dates until when images can be used: git checkout -- ${runnerReleasesFile}`,
    );
  });
  try {
    return runnerReleases.parse(JSON.parse(text)).releases;
  } catch {
    throw new UserError(
      `${runnerReleasesFile} is not of its form, {"releases": [{"version": "2.338.0", "releasedAt": "2026-10-06", "deprecatedAt": null}]}: npm run pins writes it`,
    );
  }
}

/** Both lists, each version once: what was stored, with what is known since. */
export function merge(stored: readonly RunnerRelease[], newer: readonly RunnerRelease[]): RunnerRelease[] {
  const all = new Map(newer.map((release) => [release.version, release]));
  for (const release of stored) {
    const deprecatedAt = release.deprecatedAt ?? all.get(release.version)?.deprecatedAt ?? null;
    all.set(release.version, { ...release, deprecatedAt });
  }
  return [...all.values()].sort((a, b) => semver.compare(a.version, b.version));
}

/** https://docs.github.com/en/rest/releases/releases#list-releases */
export const releasesAnswer = z.array(
  z.object({
    tag_name: z.string(),
    draft: z.boolean(),
    prerelease: z.boolean(),
    published_at: z.iso.datetime().nullable(),
  }),
);

/** https://docs.github.com/en/rest/actions/self-hosted-runners#get-runner-version-end-of-life-schedule-for-a-repository */
const deprecationAnswer = z.object({ runtime_deprecates_at: z.iso.datetime().nullable() });

/** A release of GitHub's list that counts as one: neither a draft nor a prerelease. */
export function releaseOf(answer: z.infer<typeof releasesAnswer>[number]): RunnerRelease[] {
  const number = answer.tag_name.replace(/^v/, "");
  if (answer.draft || answer.prerelease || answer.published_at === null) return [];
  if (!version.safeParse(number).success) return [];
  return [{ version: number, releasedAt: answer.published_at.slice(0, 10), deprecatedAt: null }];
}

async function askGitHub<T>(url: string, token: string | undefined, schema: z.ZodType<T>): Promise<T> {
  const answer = await fetch(url, {
    headers: {
      accept: "application/vnd.github+json",
      ...(token ? { authorization: `Bearer ${token}` } : {}),
    },
    signal: AbortSignal.timeout(requestTimeout),
  });
  if (!answer.ok) throw new Error(`it answers ${answer.status}`);
  const parsed = schema.safeParse(await answer.json());
  if (!parsed.success) throw new Error("its answer is not of the documented form");
  return parsed.data;
}
