import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { World } from "./world.js";

/** One story in one world: each test goes on where the one before it stopped. */
describe.sequential("an update, on the real engine with a real store", () => {
  let world: World;
  let first: string;
  let second: string;
  let third: string;

  beforeAll(async () => {
    world = await World.create();
    first = world.imageCommit;
  });
  afterAll(() => world.remove());

  it("shows in its first preview what it would create, and creates nothing, on a machine without Packer and QEMU", async () => {
    const bare = world.withEnvironment({
      PATH: await world.pathOf("git", "node", "sh", "env", "dirname", "uname"),
    });
    const preview = await bare.preview();
    // The stack, an image with its two commands, and the pointer with its one.
    expect(preview.changeSummary).toEqual({ create: 6 });
    expect(await world.keys()).toEqual([]);
  });

  it("builds, publishes, boots and promotes", async () => {
    const up = await world.up();
    expect(up.summary.resourceChanges).toEqual({ create: 6 });
    expect(up.outputs).toEqual({
      url: world.url,
      bucket: "runner-images",
      latest: first,
      newest: first,
      pinned: "",
    });
    const { sha256 } = (await world.manifest(first)).disk;
    expect(await world.keys()).toEqual(
      [
        `images/${first}/ubuntu-x86_64.${sha256}.sigstore.json`,
        `images/${first}/ubuntu-x86_64.boot.json`,
        `images/${first}/ubuntu-x86_64.cdx.json`,
        `images/${first}/ubuntu-x86_64.json`,
        `images/${first}/ubuntu-x86_64.qcow2.sha256`,
        `images/${first}/ubuntu-x86_64.qcow2.zst`,
        "feed.atom",
        "index.html",
        "latest",
        "latest.json",
        "moves/1.html",
        "pointer/00000001.json",
      ].sort(),
    );
    expect(await world.served("")).toContain(`<code>${first}</code>`);
    expect(await world.served("latest")).toBe(`${first}\n`);
    expect(await world.history()).toEqual([[1, first, null]]);
  });

  it("records where the time of the boot went", async () => {
    const { runnerStarted, stages } = (await world.bootRecord(first)).timings;
    const sum = Object.values(stages ?? {}).reduce((sum, seconds) => sum + seconds, 0);
    expect(sum).toBeCloseTo(runnerStarted!, 6);
  });

  it("does nothing when nothing changed", async () => {
    expect((await world.up()).summary.resourceChanges).toEqual({ same: 6 });
    expect(await world.preview()).toMatchObject({ changeSummary: { same: 6 } });
  });

  it("does nothing after a commit that leaves image/ alone", async () => {
    await world.write("README.md", "docs");
    await world.commit("docs only");
    expect((await world.up()).summary.resourceChanges).toEqual({ same: 6 });
  });

  it("publishes and promotes a commit in image/ and keeps the image before it", async () => {
    second = await world.changeImage();
    const { resourceChanges } = (await world.up()).summary;
    expect(resourceChanges).toEqual({ same: 3, replace: 2, update: 1 });
    expect(await world.served("latest")).toBe(`${second}\n`);
    expect(await world.keys()).toContain(`images/${first}/ubuntu-x86_64.qcow2.zst`);
    expect(await world.history()).toEqual([
      [2, second, first],
      [1, first, null],
    ]);
  });

  it("rolls back by one line of config: the pointer is the one resource that changes", async () => {
    await world.pin(first);
    const preview = await world.preview();
    expect(preview.changeSummary).toEqual({ same: 5, update: 1 });
    expect(preview.text).toMatch(/command:local:Command +latest +update +.*environment/);
    // Pulumi says each twice: as it comes, and at the end.
    const [title, ...lines] = new Set(preview.text.match(/fleet: .*/g));
    expect(title).toMatch(`fleet: rollback: image ${second.slice(0, 12)} → ${first.slice(0, 12)}`);
    expect(lines).toHaveLength(4);
    expect((await world.up()).summary.resourceChanges).toEqual({ same: 5, update: 1 });
    expect(await world.served("latest")).toBe(`${first}\n`);
  });

  it("keeps the pointer when a commit in image/ lands while pinned, and still publishes and boots it", async () => {
    third = await world.changeImage();
    expect((await world.up()).summary.resourceChanges).toEqual({ same: 4, replace: 2 });
    expect(await world.served("latest")).toBe(`${first}\n`);
    expect(await world.keys()).toContain(`images/${third}/ubuntu-x86_64.boot.json`);
  });

  it("goes to the newest image when unpinned", async () => {
    await world.pin(undefined);
    expect((await world.up()).summary.resourceChanges).toEqual({ same: 5, update: 1 });
    expect(await world.served("latest")).toBe(`${third}\n`);
    expect(await world.history()).toEqual([
      [4, third, first],
      [3, first, second],
      [2, second, first],
      [1, first, null],
    ]);
  });

  it.each([
    ["latest", () => `${first}\n`],
    ["latest.json", () => "{}"],
  ])("shows a hand-edited %s as one update, and repairs it", async (key, text) => {
    await world.overwrite(key, text());
    expect((await world.preview()).changeSummary).toEqual({ same: 5, update: 1 });
    expect((await world.up()).summary.resourceChanges).toEqual({ same: 5, update: 1 });
    expect(await world.served("latest")).toBe(`${third}\n`);
    expect((await world.up()).summary.resourceChanges).toEqual({ same: 6 });
  });

  it("goes back to an image by a revert of what came after it: the pointer is the one resource that changes", async () => {
    await world.git("revert", "--no-edit", third);
    const reverted = await world.git("rev-parse", "HEAD");
    const before = await world.keys("images/");
    const preview = await world.preview();
    expect(preview.changeSummary).toEqual({ same: 5, update: 1 });
    expect(preview.text).toContain(
      `${reverted} went back to the image ${second}: nothing is built, published or booted`,
    );
    expect(preview.text).toContain(`fleet: rollback: image ${third.slice(0, 12)} → ${second.slice(0, 12)}`);
    expect((await world.up()).summary.resourceChanges).toEqual({ same: 5, update: 1 });
    expect(await world.served("latest")).toBe(`${second}\n`);
    expect(await world.keys("images/")).toEqual(before);
    expect(await world.preview()).toMatchObject({ changeSummary: { same: 6 } });
  });

  it("goes forth again by a revert of the revert, and builds what is new after that", async () => {
    await world.git("revert", "--no-edit", "HEAD");
    expect((await world.up()).summary.resourceChanges).toEqual({ same: 5, update: 1 });
    expect(await world.served("latest")).toBe(`${third}\n`);
    const fourth = await world.changeImage();
    expect((await world.up()).summary.resourceChanges).toEqual({ same: 3, replace: 2, update: 1 });
    expect(await world.served("latest")).toBe(`${fourth}\n`);
  });

  it("finishes an image that a revert went back to and that is not whole", async () => {
    const broken = await world.changeImage();
    await world.changeImage();
    await world.git("revert", "--no-edit", "HEAD");
    expect((await world.up()).summary.resourceChanges).toEqual({ same: 3, replace: 2, update: 1 });
    expect(await world.served("latest")).toBe(`${broken}\n`);
  });

  it("tells of a profile that is not the published one's also after a revert", async () => {
    await world.changeImage();
    await world.up();
    await world.git("revert", "--no-edit", "HEAD");
    await world.setConfig("profile", "full");
    expect(await world.failure(() => world.up())).toMatch(
      /is published with profile small, not full, and never changes/,
    );
    await world.setConfig("profile", "small");
    await world.up();
  });

  it("changes nothing on a second machine with the same state, store and commit", async () => {
    const other = await world.secondMachine();
    expect((await other.up()).summary.resourceChanges).toEqual({ same: 6 });
  });

  it("publishes nothing again where the state was lost: the store knows", async () => {
    const before = await world.keys();
    const other = await world.secondMachine({ withState: false });
    expect((await other.up()).summary.resourceChanges).toEqual({ create: 6 });
    expect(await world.keys()).toEqual(before);
  });
});
