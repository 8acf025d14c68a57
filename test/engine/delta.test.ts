import { randomBytes } from "node:crypto";
import { mkdir, open, readdir, rm } from "node:fs/promises";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { FetchedImage } from "../../release/host/fetch.js";
import { keys } from "../../release/store/keys.js";
import type { Delta } from "../../release/store/records.js";
import { World } from "./world.js";

const arch = "x86_64";

/** One story of one world: each test goes on where the one before it stopped. */
describe.sequential("a delta, on a real store behind a real CDN", () => {
  let world: World;
  let first: string;
  let second: string;
  let delta: Delta;

  beforeAll(async () => {
    world = await World.create();
    await mkdir(path.join(world.root, "image/contents"));
    // What two builds have in common; the rest of a fake image is another one each time.
    await world.write("image/contents/common", randomBytes(1_000_000).toString("base64"));
    await world.write("image/random-bytes", "4096\n");
    first = await world.commit("an image with something to keep");
    await world.up();
    second = await world.changeImage();
    await world.up();
  });
  afterAll(() => world.remove());

  async function fetch(host: string, commit?: string): Promise<FetchedImage & { stderr: string }> {
    const args = ["--arch", arch, "--directory", path.join(world.root, "build", host)];
    const run = await world.release(
      "fetch",
      {},
      ...args,
      ...(commit === undefined ? [] : ["--commit", commit]),
    );
    expect(run.exitCode, run.stderr).toBe(0);
    return { ...(JSON.parse(run.stdout) as FetchedImage), stderr: run.stderr };
  }

  it("has the image before it as its base, and is listed in the manifest of the new one alone", async () => {
    expect((await world.manifest(first)).deltas).toBeUndefined();
    const { deltas, compressed } = await world.manifest(second);
    expect(deltas).toEqual([
      expect.objectContaining({ from: first, base: (await world.manifest(first)).disk }) as Delta,
    ]);
    delta = deltas![0]!;
    expect(delta.bytes).toBeLessThan(compressed.bytes * 0.1);
    expect((await world.bytes(delta.key)).length).toBe(delta.bytes);
  });

  it("is what a host with the image before downloads, and the disk is the published one", async () => {
    expect(await fetch("host", first)).toMatchObject({ from: null, commit: first });
    const fetched = await fetch("host");
    const { disk } = await world.manifest(second);
    expect(fetched).toMatchObject({ commit: second, from: first, downloadedBytes: delta.bytes, ...disk });
    const files = await readdir(path.dirname(fetched.path));
    expect(files.filter((name) => !name.endsWith(".lock"))).toEqual([path.basename(fetched.path)]);
  });

  it("is not asked for by a host whose image is damaged, which says so and ends with the same disk", async () => {
    const { path: base } = await fetch("damaged", first);
    const file = await open(base, "r+");
    await file.write(Buffer.of(1, 2, 3), 0, 3, 70_000);
    await file.close();
    const fetched = await fetch("damaged", second);
    const { disk, compressed } = await world.manifest(second);
    expect(fetched).toMatchObject({ from: null, downloadedBytes: compressed.bytes, ...disk });
    expect(fetched.stderr).toContain(`${first} is of no use to it: ${base} is not what was published`);
  });

  it("is made again, byte for byte, by who finishes what was killed before the manifest", async () => {
    const before = await world.manifest(second);
    await world.deleteObject(keys.manifest(second, arch));
    const run = await world.release("publish", {
      COMMIT: second,
      ARCH: arch,
      BASE: "debian",
      PROFILE: "small",
      RUNNER: "fixture",
    });
    expect(run.exitCode, run.stderr).toBe(0);
    const { deltas } = JSON.parse(Buffer.from(await world.bytes(keys.manifest(second, arch))).toString()) as {
      deltas: Delta[];
    };
    expect(deltas).toEqual(before.deltas);
    expect((await world.keys(keys.imagesPrefix(second))).filter((key) => key.endsWith(".delta.zst"))).toEqual(
      [delta.key],
    );
  });

  it("is told by the status", async () => {
    const { stdout } = await world.release("status");
    expect(stdout).toMatch(new RegExp(`^x86_64 +hosts download .*kB with ${first.slice(0, 12)} here$`, "m"));
  });

  it("is made of none where the config says so", async () => {
    await world.setConfig("deltas", "0");
    const third = await world.changeImage();
    await world.up();
    expect(await world.served("latest")).toBe(`${third}\n`);
    expect((await world.manifest(third)).deltas).toBeUndefined();
  });

  it("is only warned about where it is gone, and does not keep its image from going live", async () => {
    await world.deleteObject(delta.key);
    await rm(path.join(world.root, "build", "host"), { recursive: true });
    const run = await world.release("verify", { COMMIT: second, ARCHITECTURES: arch });
    expect(run.exitCode, run.stderr).toBe(0);
    expect(JSON.parse(run.stdout)).toMatchObject({
      problems: [],
      warnings: [expect.stringContaining(`${delta.key} is missing`) as string],
    });
  });
});
