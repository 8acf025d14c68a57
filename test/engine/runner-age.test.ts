import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readLive } from "../../.github/scripts/live.js";
import { upkeepDue } from "../../.github/scripts/upkeep.js";
import { readCalendar } from "../../release/pointer/runner-releases.js";
import { World } from "./world.js";

/** One story in one world: two images with the same runner, and then a newer runner comes out. */
describe.sequential("a runner release that becomes known after images were published", () => {
  let world: World;
  let first: string;
  let second: string;

  const daysAgo = (days: number) =>
    new Date(Date.now() - days * 24 * 60 * 60 * 1000).toISOString().slice(0, 10);
  const newRunner = (days: number) =>
    world.setRunnerReleases([{ version: "2.338.0", releasedAt: daysAgo(days), deprecatedAt: null }]);

  beforeAll(async () => {
    world = await World.create();
    await world.setConfig("runner", "github");
    first = world.imageCommit;
    await world.up();
    second = await world.changeImage();
    await world.up();
  });
  afterAll(() => world.remove());

  /** What the daily look says of the live image. */
  async function dailyLook(): Promise<string[]> {
    const { manifest } = await readLive(world.url, "x86_64");
    const calendar = await readCalendar({ root: world.root, environment: {} });
    return upkeepDue(manifest, await calendar.usability(manifest.build.runner), new Date());
  }

  it("changes nothing that is published, builds nothing, and is not talked about while it is young", async () => {
    await newRunner(20);
    const { changeSummary, warnings } = await world.preview();
    expect(changeSummary).toEqual({ same: 6 });
    expect(warnings.filter((warning) => warning.includes("runner 0.0.0"))).toEqual([]);
    expect(await dailyLook()).toEqual([]);
  });

  it("is named by the daily look, and warned about, seven days before the image turns", async () => {
    await newRunner(23);
    expect(await dailyLook()).toEqual([
      expect.stringMatching(/^x86_64: its runner 0\.0\.0: usable until .*pins/),
    ]);
    await world.pin(first);
    const { warnings, changeSummary } = await world.preview();
    expect(changeSummary).toEqual({ same: 5, update: 1 });
    expect(warnings).toContainEqual(expect.stringMatching(new RegExp(`image ${first}: .*usable until`)));
    await world.pin(undefined);
  });

  it("refuses the image as a target 30 days after it, in preview and by hand", async () => {
    await newRunner(30);
    await world.pin(first);
    const refusal = await world.failure(() => world.preview());
    expect(refusal).toMatch(
      new RegExp(
        `names ${first}, which cannot go live: .*gets no more jobs since .*2\\.338\\.0 is out since ${daysAgo(30)}`,
      ),
    );
    expect(refusal).not.toMatch(/\n\s+at .*:\d+:\d+/);
    const byHand = await world.release("promote", { COMMIT: first, ARCHITECTURES: "x86_64" });
    expect(byHand.exitCode).toBe(1);
    expect(byHand.stderr).toMatch(/cannot go live: .*no more jobs/);
    expect(await world.served("latest")).toBe(`${second}\n`);
    await world.pin(undefined);
  });

  it("only warns of it while it is live: to fail would block everything else, and leave it live", async () => {
    const { changeSummary, warnings } = await world.preview();
    expect(changeSummary).toEqual({ same: 6 });
    expect(warnings).toContainEqual(
      expect.stringMatching(new RegExp(`live image ${second}: .*no more jobs`)),
    );
    expect((await world.release("status")).stdout).toMatch(
      /x86_64 +runner github 0\.0\.0: gets no more jobs since/,
    );
    expect(await dailyLook()).toEqual([expect.stringMatching(/no more jobs since/)]);
  });

  it("stops an update that could only build the same again, and says so", async () => {
    await newRunner(0);
    await world.pin(first);
    await world.up();
    await newRunner(30);
    await world.pin(undefined);
    expect(await world.failure(() => world.preview())).toMatch(
      new RegExp(
        `newest image ${second} cannot go live, and building it again would not help: .*npm run pins`,
      ),
    );
  });
});
