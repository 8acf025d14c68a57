import { createHash } from "node:crypto";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { keys } from "../../release/store/keys.js";
import type { Status } from "../../release/pointer/status.js";
import { World } from "./world.js";

const arch = "x86_64";

/** One story in one world: each test goes on where the one before it stopped. */
describe.sequential("a channel, on the real engine with a real store and CDN", () => {
  let world: World;
  let first: string;
  let second: string;
  let third: string;
  let fourth: string;

  beforeAll(async () => {
    world = await World.create();
    first = world.imageCommit;
    await world.up();
  });
  afterAll(() => world.remove());

  /** Everybody's and the canary's commit, as the CDN serves them. */
  const live = async () => ({
    everybody: (await world.served("latest")).trim(),
    canary: (await world.served("canary/latest")).trim(),
  });
  const setCanary = (canary: object) => world.setConfig("channels", { canary });
  const fleet = (text: string) => [...new Set(text.match(/fleet: .*/g))];
  const statusOf = async (environment: Record<string, string>, ...args: string[]) =>
    JSON.parse((await world.release("status", environment, "--json", ...args)).stdout) as Status;

  it("begins with what everybody has, and changes nothing else", async () => {
    await setCanary({ follows: "newest", promote: "after 1h" });
    const preview = await world.preview();
    expect(preview.changeSummary).toEqual({ create: 2, same: 6 });
    expect(fleet(preview.text)).toEqual([
      `fleet: channel canary: the first image ${first.slice(0, 12)}, which is built and booted`,
    ]);
    const up = await world.up();
    expect(up.summary.resourceChanges).toEqual({ create: 2, same: 6 });
    expect(up.outputs).toMatchObject({ latest: first, channels: { canary: first } });
    expect(await live()).toEqual({ everybody: first, canary: first });
    expect(await world.keys("canary/")).toEqual([
      "canary/latest",
      "canary/latest.json",
      "canary/pointer/00000001.json",
    ]);
    expect((await world.up()).summary.resourceChanges).toEqual({ same: 8 });
  });

  it("gets a new image at once, while everybody keeps theirs and the preview says until when", async () => {
    second = await world.changeImage();
    const before = fleet((await world.preview()).text);
    expect(before).toEqual([
      `fleet: channel canary: image ${first.slice(0, 12)} → ${second.slice(0, 12)}, which this update still has to build and to boot`,
      `fleet: everybody keeps ${first}: ${second} goes to them 1h after it went live in the channel canary, which it has not yet`,
    ]);
    expect((await world.up()).summary.resourceChanges).toEqual({ same: 5, replace: 2, update: 1 });
    expect(await live()).toEqual({ everybody: first, canary: second });
    const [line] = fleet((await world.preview()).text);
    const { promotedAt } = JSON.parse(await world.served("canary/latest.json")) as { promotedAt: string };
    const due = new Date(Date.parse(promotedAt) + 3_600_000).toISOString();
    expect(line).toBe(
      `fleet: everybody keeps ${first}: ${second} goes to them at ${due}, 1h after it went live in the channel canary`,
    );
    expect((await world.preview()).changeSummary).toEqual({ same: 8 });
  });

  it("serves its hosts below its URL all that everybody's get below theirs: the same objects", async () => {
    for (const [base, commit] of [
      [world.url, first],
      [`${world.url}/canary`, second],
    ] as const) {
      // The requests of rust-lang/gha-self-hosted's executor (docs/contract.md), which is given nothing but its base URL.
      const latest = await (await fetch(`${base}/latest`)).text();
      expect(latest).toBe(`${commit}\n`);
      const image = `${base}/images/${latest.trim()}/ubuntu-${arch}.qcow2`;
      const [disk, sum] = await Promise.all([fetch(`${image}.zst`), fetch(`${image}.sha256`)]);
      expect([disk.status, sum.status]).toEqual([200, 200]);
      expect(disk.headers.get("content-encoding")).toBeNull();
      const sha256 = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
      expect(sha256(new Uint8Array(await disk.arrayBuffer()))).toBe(
        sha256(await world.bytes(keys.disk(commit, arch))),
      );
      const directory = path.join(world.root, ".local", `host-${commit.slice(0, 7)}`);
      const fetched = await world.release(
        "fetch",
        { IMAGES_URL: base, ARCH: arch },
        "--directory",
        directory,
      );
      expect(fetched.stderr + fetched.stdout, fetched.stderr).toContain(commit);
      expect(fetched.exitCode).toBe(0);
    }
    // One copy in the cache, whichever name it is asked by.
    const copy = `images/${second}/ubuntu-${arch}.qcow2.sha256`;
    await fetch(`${world.url}/canary/${copy}`);
    expect((await fetch(`${world.url}/${copy}`)).headers.get("x-cache")).toBe("HIT");
    expect((await fetch(`${world.url}/canary/images/${"f".repeat(40)}/x`)).status).toBe(404);
    expect((await fetch(`${world.url}/other/latest`)).status).toBe(404);
  });

  it("goes to everybody when its time is up: one resource changes, and nothing is built or booted", async () => {
    await setCanary({ follows: "newest", promote: "after 1s" });
    const preview = await world.preview();
    expect(preview.changeSummary).toEqual({ same: 7, update: 1 });
    expect(fleet(preview.text)[0]).toBe(
      `fleet: image ${first.slice(0, 12)} → ${second.slice(0, 12)}, which is built and booted`,
    );
    expect((await world.up()).summary.resourceChanges).toEqual({ same: 7, update: 1 });
    expect(await live()).toEqual({ everybody: second, canary: second });
    expect(await world.history()).toEqual([
      [2, second, first],
      [1, first, null],
    ]);
    expect((await world.preview()).changeSummary).toEqual({ same: 8 });
  });

  it("is told by status, with the bucket and as anybody sees it", async () => {
    expect(await statusOf({})).toMatchObject({
      latest: second,
      channels: [{ name: "canary", latest: second }],
    });
    const own = { latest: second, served: second, history: [{ seq: 2 }, { seq: 1 }] };
    expect(await statusOf({}, "--channel", "canary")).toMatchObject({ ...own, channels: [] });
    // The bucket's name would have it asked.
    const anybody = world.withEnvironment({ BUCKET: undefined });
    const { stdout } = await anybody.release("status", { IMAGES_URL: `${world.url}/canary` }, "--json");
    expect(JSON.parse(stdout)).toMatchObject(own);
    const text = await world.release("status");
    expect(text.stdout).toMatch(new RegExp(`^channel canary: ${second}, live since `, "m"));
  });

  it("is stopped by its pin: its hosts go back, and nothing new goes to everybody, whatever time it is", async () => {
    third = await world.changeImage();
    await world.up();
    expect(await live()).toEqual({ everybody: second, canary: third });
    await setCanary({ follows: "newest", promote: "after 1s", latest: second });
    const preview = await world.preview();
    expect(preview.changeSummary).toEqual({ same: 7, update: 1 });
    expect(fleet(preview.text)).toEqual([
      `fleet: channel canary: image ${third.slice(0, 12)} → ${second.slice(0, 12)}, which is built and booted`,
      `fleet: everybody keeps ${second}: the channel canary is pinned to ${second}, so ${third} goes no further`,
    ]);
    await world.up();
    expect(await live()).toEqual({ everybody: second, canary: second });
    expect((await world.up()).summary.resourceChanges).toEqual({ same: 8 });
    expect(await live()).toEqual({ everybody: second, canary: second });
  });

  it("leaves everybody to their pin where it promotes by merge, and after it too", async () => {
    await setCanary({ promote: "by merge" });
    await world.up();
    expect(await live()).toEqual({ everybody: second, canary: third });
    await world.pin(third);
    expect((await world.up()).summary.resourceChanges).toEqual({ same: 7, update: 1 });
    expect(await live()).toEqual({ everybody: third, canary: third });
    await world.pin(undefined);
    fourth = await world.changeImage();
    await world.up();
    expect(await live()).toEqual({ everybody: third, canary: fourth });
  });

  it("keeps its image from `release prune`, where nothing else does", async () => {
    await setCanary({ promote: "by merge", latest: first });
    await world.up();
    for (const key of await world.keys("images/")) await world.age(key, 100);
    const keep = ["--keep-images", "1", "--keep-days", "1", "--keep-moves", "1"];
    const { stdout } = await world.release("prune", { PINNED: "" }, ...keep);
    expect(stdout).toMatch(new RegExp(`^stays +${first} .* live in the channel canary$`, "m"));
  });

  it("says of each pin what it lacks, in a line of its own, and changes nothing", async () => {
    const lame = await world.copyImage(second, "1".repeat(40), { without: "x86_64.boot.json" });
    const gone = "2".repeat(40);
    await world.setConfig("channels", {
      canary: { promote: "never", latest: lame },
      early: { promote: "never", latest: gone },
    });
    const before = await world.keys();
    const failure = await world.failure(() => world.up());
    expect(failure).toContain(
      `config runner-images:channels.canary.latest names ${lame}, which cannot go live: x86_64: not boot-tested yet; pin another commit: pulumi config set --path channels.canary.latest <commit>, or unpin: pulumi config rm --path channels.canary.latest`,
    );
    expect(failure).toContain(
      `config runner-images:channels.early.latest names ${gone}, which cannot go live: image ${gone} was never published`,
    );
    expect(failure).not.toMatch(/\n\s+at .*:\d+:\d+/);
    expect(await world.keys()).toEqual(before);
  });

  it("is refused where its name is that of a folder with something else in it", async () => {
    await world.overwrite("docs/index.txt", "somebody's");
    await world.setConfig("channels", { docs: { promote: "never" } });
    expect(await world.failure(() => world.preview())).toContain(
      "holds docs/index.txt, which is no channel's: call it otherwise, or take that away",
    );
  });

  it("goes with its lines in the config: its pointer stays for those who poll it, and everybody follows the newest again", async () => {
    await world.setConfig("channels", undefined);
    expect((await world.up()).summary.resourceChanges).toEqual({ delete: 2, same: 5, update: 1 });
    expect(await live()).toEqual({ everybody: fourth, canary: first });
    expect((await world.up()).summary.resourceChanges).toEqual({ same: 6 });
  });
});
