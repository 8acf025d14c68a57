import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { latestText } from "../../release/pointer/pointer.js";
import { keys } from "../../release/store/keys.js";
import { pruneRecord, type Pointer } from "../../release/store/records.js";
import { jsonText, openStore, parseJson } from "../../release/store/store.js";
import { imageObjects } from "../unit/release/memory-store.js";
import { World } from "./world.js";

const arch = "x86_64";
const count = 200;
const keep = ["--keep-images", "5", "--keep-days", "30", "--keep-moves", "4"];
const commitOf = (index: number) => (index + 1).toString(16).padStart(40, "0");
/** Image 0 is of today, each of the others a day older than the one before. */
const all = Array.from({ length: count }, (_, index) => index);

/**
 * What has to stay, by hand: 30 of the last 30 days (the five newest that were booted are among them), what the last four moves name (150,
 * 160, 170, 180) and what the oldest of them moved away from (140), what is live (180) and what is pinned (190).
 */
const staying = [...all.slice(0, 30), 140, 150, 160, 170, 180, 190];
const moves = [100, 120, 140, 150, 160, 170, 180];

describe.sequential("release prune, on a real store with 200 images", () => {
  let world: World;

  beforeAll(async () => {
    world = await World.create();
    for (const index of all) {
      const objects = imageObjects(commitOf(index), arch);
      await Promise.all(objects.map(([key, text]) => world.overwrite(key, text)));
      await Promise.all(objects.map(([key]) => world.age(key, index + 0.5)));
    }
    let last: Pointer | undefined;
    for (const [index, move] of moves.entries()) {
      const entry: Pointer = {
        seq: index + 1,
        commit: commitOf(move),
        previous: last?.commit ?? null,
        promotedAt: "2026-11-01T00:00:00Z",
      };
      await world.overwrite(keys.pointer(entry.seq), jsonText(entry));
      last = entry;
    }
    await world.overwrite(keys.latestJson, jsonText(last));
    await world.overwrite(keys.latest, latestText(last!.commit));
  });
  afterAll(() => world.remove());

  const prune = (from: World, ...args: string[]) =>
    from.release("prune", { PINNED: commitOf(190) }, ...keep, ...args);
  const images = async () => [...new Set((await world.keys("images/")).map((key) => key.split("/")[1]!))];

  it("shows each image with the reason, and what goes is what nothing holds", async () => {
    const { exitCode, stdout } = await prune(world);
    expect(exitCode).toBe(0);
    const lines = stdout.split("\n");
    expect(lines).toHaveLength(count + 1);
    expect(lines.filter((line) => line.startsWith("stays")).map((line) => line.split(/\s+/)[1])).toEqual(
      staying.map(commitOf),
    );
    expect(lines.find((line) => line.includes(commitOf(199)))).toMatch(
      /199 days old; 199 newer ones are proven, and 5 are kept; not live, not pinned, in none of the last 4 moves$/,
    );
    expect(lines.at(-1)).toMatch(/^164 go .*, 36 stay /);
    expect(await images()).toHaveLength(count);
  });

  it("is told by a preview: how much, and the newest with their proofs", async () => {
    for (const [key, value] of Object.entries({ keepImages: 5, keepDays: 30, keepMoves: 4 }))
      await world.setConfig(key, value);
    const { text } = await world.preview();
    const told = [...new Set(text.match(/(fleet: storage: \d|prune: ).*/g))].map((line) => line.trimEnd());
    // Nothing is pinned here, so one more goes.
    expect(told).toEqual([
      expect.stringMatching(
        /^fleet: storage: 165 images \(.* kB\) that nothing holds any more can be removed \(docs\/operations\.md\)$/,
      ),
      ...[30, 31, 32, 33, 34].map(
        (index) =>
          expect.stringMatching(
            new RegExp(
              `^prune: goes   ${commitOf(index)} .* ${index} days old; ${index} newer ones are proven`,
            ),
          ) as string,
      ),
      "prune: and 160 more, which release prune lists",
    ]);
    expect(await images()).toHaveLength(count);
  });

  it("is no question of a preview where there are more objects than two requests bring", async () => {
    const { environment, root } = world;
    const store = await openStore(environment.BUCKET!, environment);
    const folder = path.join(root, ".local", "store", "data", environment.BUCKET!, "many");
    await mkdir(folder);
    const write = (index: number) => writeFile(path.join(folder, String(index).padStart(4, "0")), "x");
    await Promise.all(Array.from({ length: 2_000 }, (_, index) => write(index)));
    expect(await store.listFewObjects("many/")).toHaveLength(2_000);
    await write(2_000);
    expect(await store.listFewObjects("many/")).toBeNull();
    expect(await store.listObjects("many/")).toHaveLength(2_001);
  });

  it("removes nothing for those who may add images, and says so in one line", async () => {
    const { exitCode, stderr } = await prune(world, "--delete");
    expect(exitCode).toBe(1);
    expect(stderr.trim().split("\n").at(-1)).toMatch(/may not|denied/i);
    expect(await images()).toHaveLength(count);
  });

  it("removes nothing where it is not told what is pinned", async () => {
    const { exitCode, stderr } = await (await world.asPruner()).release("prune", {}, ...keep, "--delete");
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(/has to know what stacks are pinned to/);
    expect(await images()).toHaveLength(count);
  });

  it("removes, of what would go, only what somebody has approved", async () => {
    const approved = [commitOf(199), commitOf(180)];
    const { stdout } = await prune(
      await world.asPruner(),
      "--delete",
      "--json",
      "--only",
      approved.join(" "),
    );
    expect(JSON.parse(stdout)).toMatchObject({ removed: [commitOf(199)], spared: [] });
    expect(await images()).toHaveLength(count - 1);
  });

  it("leaves, where it is killed in the middle, only whole images and what the next run removes", async () => {
    const pruner = await world.asPruner();
    const run = execa("node", ["release/main.mjs", "prune", ...keep, "--pinned", commitOf(190), "--delete"], {
      cwd: world.root,
      env: pruner.environment,
      reject: false,
    });
    await vi.waitFor(async () => expect((await world.keys("pruned/")).length).toBeGreaterThan(20), {
      timeout: 60_000,
      interval: 20,
    });
    run.kill("SIGKILL");
    await run;
    const left = await images();
    expect(left.length).toBeGreaterThan(staying.length);
    expect(left.length).toBeLessThan(count - 1);
    const stored = await world.keys("images/");
    for (const index of all) {
      const own = stored.filter((key) => key.startsWith(keys.imagesPrefix(commitOf(index))));
      if (own.includes(keys.manifest(commitOf(index), arch))) expect(own).toHaveLength(4);
    }
    expect((await prune(pruner, "--delete")).exitCode).toBe(0);
    expect((await images()).sort()).toEqual(staying.map(commitOf).sort());
  });

  it("leaves the log whole, and a record of what went", async () => {
    expect(await world.keys("pointer/")).toHaveLength(moves.length);
    const records = await world.keys("pruned/");
    const recorded = new Set(records.map((key) => key.split("/")[1]!));
    expect([...recorded].sort()).toEqual(
      all
        .filter((index) => !staying.includes(index))
        .map(commitOf)
        .sort(),
    );
    const text = new TextDecoder().decode(await world.bytes(records[0]!));
    expect(parseJson(text, pruneRecord)!.objects).toHaveLength(4);
  });

  it("builds no other image under a name that was used, nor goes back to it", async () => {
    const used = commitOf(199);
    const { exitCode, stderr } = await world.release("publish", { COMMIT: used, ARCH: arch }, "--build");
    expect(exitCode).toBe(1);
    expect(stderr).toMatch(
      /image 0+c8 was removed on \d{4}-\d\d-\d\d, and its name is used up.*commit a change of image\//,
    );
    await world.pin(used);
    const failure = await world.failure(() => world.preview());
    expect(failure).toMatch(/latest names 0+c8, which cannot go live: image 0+c8 was removed on/);
  });
});
