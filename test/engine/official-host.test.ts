import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startNodeHost, type NodeHost } from "./node-host.js";
import { World } from "./world.js";

/**
 * `npm start` runs the program inline; production runs index.ts by `pulumi up`. What the official host does with index.ts is
 * done here by the SDK's own loader: a wrong export would be a silent no-op that deletes every resource.
 */
describe.sequential("index.ts, run by the command line as in production", () => {
  let world: World;
  let host: NodeHost;

  beforeAll(async () => {
    world = await World.create();
    host = await startNodeHost(world.environment);
  });
  afterAll(async () => {
    host.close();
    await world.remove();
  });

  it("creates the same resources as npm start, which then finds nothing to do", async () => {
    await world.pulumi("stack", "init", "local");
    const up = await world.pulumi("up", "--yes", "--skip-preview", ...host.flags);
    expect(up.exitCode, up.all + host.printed()).toBe(0);
    expect(await world.served("latest")).toBe(`${world.imageCommit}\n`);
    expect((await world.up()).summary.resourceChanges).toEqual({ same: 6 });
  });

  it("finds nothing to do after npm start either", async () => {
    const preview = await world.pulumi("preview", "--expect-no-changes", ...host.flags);
    expect(preview.exitCode, preview.all + host.printed()).toBe(0);
  });

  it("prints one clear line for a wrong pin, without a stack, and deletes nothing", async () => {
    await world.pin("main");
    const up = await world.pulumi("up", "--yes", "--skip-preview", ...host.flags);
    expect(up.exitCode).not.toBe(0);
    expect(up.all).toMatch(/error: config runner-images:latest must be 40 lowercase hex/);
    expect(up.all + host.printed()).not.toMatch(/\n\s+at .*:\d+:\d+/);
    await world.pin(undefined);
    expect((await world.up()).summary.resourceChanges).toEqual({ same: 6 });
  });
});
