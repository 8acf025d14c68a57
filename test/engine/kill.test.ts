import { writeFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkout } from "../../local/paths.js";
import { stackFile } from "../../local/stack-leftovers.js";
import { newestImage } from "../../release/build/source.js";
import { kill, processesOf } from "./processes.js";
import { World } from "./world.js";

describe("an update that is killed or cancelled", () => {
  let world: World;
  beforeEach(async () => {
    world = await World.create();
  });
  afterEach(() => world.remove());

  /** `npm start`'s update in a process of its own. */
  function startUpdate() {
    return execa("node", ["--import", "tsx", path.join(import.meta.dirname, "driver.ts"), world.root], {
      cwd: checkout,
      env: world.environment,
      reject: false,
      all: true,
      detached: true,
    });
  }

  const updateProcesses = () => processesOf(world.environment.TMPDIR!);

  async function until<T>(what: string, look: () => Promise<T | undefined>): Promise<T> {
    const deadline = Date.now() + 180_000;
    for (;;) {
      const seen = await look();
      if (seen !== undefined) return seen;
      if (Date.now() > deadline) throw new Error(`waited in vain for ${what}`);
      await pause(50); // polls
    }
  }

  const running = (pattern: RegExp) =>
    until(`a process like ${pattern}`, async () =>
      (await updateProcesses()).some(({ command }) => pattern.test(command)) ? true : undefined,
    );
  const nothingLeft = () =>
    until("all processes to end", async () => ((await updateProcesses()).length === 0 ? true : undefined));

  async function expectNextRunFinishes(): Promise<void> {
    const next = await startUpdate();
    expect(next.exitCode, next.all).toBe(0);
    const { commit: live } = await newestImage(world.root);
    expect(await world.served("latest")).toBe(`${live}\n`);
    const history = await world.history();
    expect(history).toHaveLength(1);
  }

  it.each([
    ["the build", { "slow-build": "" }, /fake-image|make/],
    ["the boot test", { behaviour: "hang" }, /qemu-system-x86_64/],
  ])(
    "kill -9 of everything in the middle of %s leaves no process, and the next run finishes",
    async (_, files, pattern) => {
      for (const [name, text] of Object.entries(files)) await world.write(`image/${name}`, text);
      await world.commit("make it take long");
      const update = startUpdate();
      await running(pattern);
      for (const { pid } of await updateProcesses()) kill(pid);
      await update;
      await nothingLeft();
      expect(await world.keys("latest")).toEqual([]);
      await world.git("revert", "--no-edit", "HEAD");
      await expectNextRunFinishes();
    },
  );

  it("finishes where the engine was killed while it wrote what stands beside its state", async () => {
    await world.write("image/slow-build", "");
    await world.commit("make it take long");
    const update = startUpdate();
    await running(/make/);
    for (const { pid } of await updateProcesses()) kill(pid);
    await update;
    await nothingLeft();
    const file = stackFile(path.join(world.root, ".local", "state"), "runner-images", "local");
    await writeFile(`${file}.attrs`, "");
    expect((await world.pulumi("stack", "--stack", "local")).all).toMatch(/EOF/);
    await world.git("revert", "--no-edit", "HEAD");
    await expectNextRunFinishes();
  });

  it.each(["SIGKILL", "SIGINT", "SIGTERM"] as const)(
    "%s to npm start alone ends the build below it too, and the next run finishes",
    async (signal) => {
      await world.write("image/slow-build", "");
      await world.commit("make it take long");
      const update = startUpdate();
      await running(/make/);
      update.kill(signal);
      await update;
      await nothingLeft();
      await world.git("revert", "--no-edit", "HEAD");
      await expectNextRunFinishes();
    },
  );
});
