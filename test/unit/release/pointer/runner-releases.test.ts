import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  merge,
  readCalendar,
  runnerReleases,
  standing,
  usabilityOf,
  usabilityText,
  type RunnerRelease,
} from "../../../../release/pointer/runner-releases.js";
import { checkout } from "../../../../local/paths.js";

const release = (version: string, releasedAt: string, deprecatedAt: string | null = null): RunnerRelease => ({
  version,
  releasedAt,
  deprecatedAt,
});
const runner = { kind: "github" as const, version: "2.337.0", releasedAt: "2026-08-26" };

describe("until when an image can be used", () => {
  const own = release("2.337.0", "2026-08-26");
  it.each<[string, object, RunnerRelease[], string | null]>([
    ["unknown while no newer release is known", {}, [own], null],
    ["unknown for a version nobody has heard of", { version: "9.0.0" }, [own], null],
    ["30 days after a newer release", {}, [own, release("2.338.0", "2026-10-06")], "2026-11-05"],
    ["30 days after a newer patch", {}, [own, release("2.337.1", "2026-10-06")], "2026-11-05"],
    [
      "counted from the first of several newer ones",
      {},
      [release("2.339.0", "2026-11-01"), release("2.338.0", "2026-10-06")],
      "2026-11-05",
    ],
    ["not touched by older releases", {}, [release("2.336.0", "2026-07-01"), own], null],
    [
      "compared by number, not by letter",
      { version: "2.99.0" },
      [release("2.100.0", "2026-10-06")],
      "2026-11-05",
    ],
    ["what GitHub says of it", {}, [release("2.337.0", "2026-08-26", "2026-10-15")], "2026-10-15"],
    [
      "the earlier of both",
      {},
      [release("2.337.0", "2026-08-26", "2026-12-01"), release("2.338.0", "2026-10-06")],
      "2026-11-05",
    ],
    ["also what the first manifests say themselves", { supersededAt: "2026-10-06" }, [], "2026-11-05"],
    ["also their deprecation", { deprecatedAt: "2026-10-15" }, [], "2026-10-15"],
    ["without end for the fixture", { kind: "fixture" }, [release("2.338.0", "2026-10-06")], null],
  ])("is %s", (_, changes, releases, day) => {
    const { until } = usabilityOf({ ...runner, ...changes }, releases);
    expect(until?.toISOString().slice(0, 10) ?? null).toBe(day);
  });

  it.each([
    ["fine", "2026-10-28T23:59:59Z", "usable until 2026-11-05 (why)"],
    ["ending", "2026-10-29T00:00:00Z", "usable until 2026-11-05 (why)"],
    ["ending", "2026-11-04T23:59:59Z", "usable until 2026-11-05 (why)"],
    ["expired", "2026-11-05T00:00:00Z", "gets no more jobs since 2026-11-05 (why)"],
  ])("is %s at %s, and says so", (expected, time, text) => {
    const usability = { until: new Date("2026-11-05"), because: "why" };
    expect(standing(usability, new Date(time))).toBe(expected);
    expect(usabilityText(usability, new Date(time))).toBe(text);
  });

  it("is said where it is not known", () => {
    const text = usabilityText(usabilityOf(runner, []), new Date());
    expect(text).toBe("no end known (no runner newer than 2.337.0 is known yet)");
  });
});

describe("the data of this checkout", () => {
  it("has every release once, oldest first", async () => {
    const text = await readFile(path.join(checkout, "pins/runner-releases.json"), "utf8");
    const { releases } = runnerReleases.parse(JSON.parse(text));
    expect(merge(releases, [])).toEqual(releases);
  });

  it("keeps its own dates when GitHub names the same release", () => {
    const stored = [release("2.338.0", "2026-10-06", "2026-12-01")];
    const merged = merge(stored, [release("2.338.0", "2026-10-07"), release("2.339.0", "2026-11-20")]);
    expect(merged).toEqual([...stored, release("2.339.0", "2026-11-20")]);
  });
});

describe("reading the calendar", () => {
  let root: string;
  beforeEach(async () => {
    root = await mkdtemp(path.join(tmpdir(), "calendar-"));
    await write(JSON.stringify({ releases: [release("2.337.0", "2026-08-26")] }));
  });
  afterEach(() => rm(root, { recursive: true, force: true }));

  async function write(text: string): Promise<void> {
    await mkdir(path.join(root, "pins"), { recursive: true });
    await writeFile(path.join(root, "pins/runner-releases.json"), text);
  }

  /** GitHub's API, and who asked it for what. */
  async function gitHub<T>(
    answers: Record<string, { status?: number; body: string }>,
    work: (url: string, asked: string[]) => Promise<T>,
  ): Promise<T> {
    const asked: string[] = [];
    const server = createServer((request, response) => {
      asked.push(`${request.headers.authorization ?? "nobody"} ${request.url}`);
      const { status = 200, body } = answers[request.url!.split("?")[0]!] ?? { status: 404, body: "{}" };
      response.writeHead(status).end(body);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    try {
      return await work(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  }

  const listed = (tag: string, day: string, changes = {}) => ({
    tag_name: tag,
    draft: false,
    prerelease: false,
    published_at: `${day}T10:00:00Z`,
    ...changes,
  });
  const releasesPath = "/repos/actions/runner/releases";

  it("asks nobody where GitHub does not say where its API is", async () => {
    const { newestRelease, blind } = await readCalendar({ root, environment: { GITHUB_API_URL: "" } });
    expect({ newestRelease, blind }).toEqual({ newestRelease: "2026-08-26", blind: [] });
  });

  it("knows a release of today before its date is in the checkout, and takes no draft and no prerelease for one", async () => {
    const body = JSON.stringify([
      listed("v2.340.0", "2026-11-22", { draft: true }),
      listed("v2.339.0-beta", "2026-11-21"),
      listed("v2.339.0", "2026-11-20", { prerelease: true }),
      listed("v2.338.0", "2026-10-06"),
    ]);
    await gitHub({ [releasesPath]: { body } }, async (url) => {
      const calendar = await readCalendar({ root, environment: { GITHUB_API_URL: url } });
      expect(calendar.newestRelease).toBe("2026-10-06");
      expect((await calendar.usability(runner)).until).toEqual(new Date("2026-11-05"));
    });
  });

  it("asks for GitHub's own word on the version, with the token it has, and does without where it may not", async () => {
    const environment = { GITHUB_REPOSITORY: "octo/images", GH_TOKEN: "secret" };
    const question = "/repos/octo/images/actions/runners/deprecations/2.337.0";
    const until = (answer: { status?: number; body: string }) =>
      gitHub({ [releasesPath]: { body: "[]" }, [question]: answer }, async (url, asked) => {
        const calendar = await readCalendar({ root, environment: { ...environment, GITHUB_API_URL: url } });
        const found = await calendar.usability(runner);
        expect(asked).toContain(`Bearer secret ${question}`);
        return found.until?.toISOString() ?? null;
      });
    const runtime_deprecates_at = "2026-11-05T08:04:55Z";
    expect(await until({ body: JSON.stringify({ runtime_deprecates_at }) })).toBe("2026-11-05T00:00:00.000Z");
    expect(await until({ body: JSON.stringify({ runtime_deprecates_at: null }) })).toBeNull();
    expect(await until({ status: 403, body: "{}" })).toBeNull();
    expect(await until({ body: "<html>" })).toBeNull();
  });

  it.each([
    ["answers with an error", { status: 500, body: "{}" }, /it answers 500/],
    ["answers with a page", { body: "<html></html>" }, /could not be asked/],
    ["answers in another form", { body: '{"message": "hello"}' }, /not of the documented form/],
  ])("goes on with the checkout's data where GitHub %s, and says so", async (_, answer, expected) => {
    await gitHub({ [releasesPath]: answer }, async (url) => {
      const { newestRelease, blind } = await readCalendar({ root, environment: { GITHUB_API_URL: url } });
      expect(newestRelease).toBe("2026-08-26");
      expect(blind).toEqual([expect.stringMatching(expected)]);
    });
  });

  it("goes on where GitHub cannot be reached", async () => {
    const { blind } = await readCalendar({ root, environment: { GITHUB_API_URL: "http://127.0.0.1:9" } });
    expect(blind).toHaveLength(1);
  });

  it("says what to do where the data is missing, or not of its form", async () => {
    await write("{}");
    await expect(readCalendar({ root, environment: {} })).rejects.toThrow(/not of its form.*npm run pins/);
    await rm(path.join(root, "pins"), { recursive: true });
    await expect(readCalendar({ root, environment: {} })).rejects.toThrow(/is missing.*git checkout/);
  });
});
