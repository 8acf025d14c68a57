import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { stackLeftovers } from "../../../local/stack-leftovers.js";

let state: string;
beforeEach(async () => (state = await mkdtemp(path.join(tmpdir(), "state-"))));
afterEach(() => rm(state, { recursive: true }));

const leftovers = () => stackLeftovers(state, "runner-images", "local");
const check = async () => (await leftovers()).lock;

async function lock(content: string): Promise<void> {
  const folder = path.join(state, ".pulumi", "locks", "organization", "runner-images", "local");
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, "id.json"), content);
}

describe("a lock of the stack", () => {
  it("is not there in a new state folder", async () => {
    expect(await check()).toBe(false);
  });

  it("is stale when its process is gone", async () => {
    await lock(JSON.stringify({ pid: 2 ** 22 + 1, username: "u", hostname: hostname() }));
    expect(await check()).toBe(true);
  });

  it("is stale when its number belongs to another program by now", async () => {
    await lock(JSON.stringify({ pid: process.pid, username: "u", hostname: hostname() }));
    expect(await check()).toBe(true);
  });

  it("is stale when a kill cut it off", async () => {
    await lock('{"pid": 12');
    expect(await check()).toBe(true);
  });
});

describe("a command that was cut off", () => {
  async function checkpoint(latest: unknown): Promise<void> {
    const folder = path.join(state, ".pulumi", "stacks", "runner-images");
    await mkdir(folder, { recursive: true });
    await writeFile(path.join(folder, "local.json"), JSON.stringify({ version: 3, checkpoint: { latest } }));
  }

  it("is seen in the state", async () => {
    await checkpoint({ resources: [], pending_operations: [{ type: "creating" }] });
    expect(await leftovers()).toMatchObject({ lock: false, pendingOperations: true });
  });

  it.each([{ resources: [] }, { resources: [], pending_operations: [] }])(
    "is not seen in %j",
    async (latest) => {
      await checkpoint(latest);
      expect(await leftovers()).toMatchObject({ lock: false, pendingOperations: false });
    },
  );
});

describe("a file of the state that was cut off", () => {
  it("is found wherever it is, and no file of the state is taken for one", async () => {
    const folder = path.join(state, ".pulumi");
    const cutOff = ["stacks/runner-images/local.json.bak.18eb8514507dbe2e.tmp", "locks/id.json.18eb85.tmp"];
    for (const file of [...cutOff, "stacks/runner-images/local.json", "history/local.json.bak"]) {
      await mkdir(path.dirname(path.join(folder, file)), { recursive: true });
      await writeFile(path.join(folder, file), "{}");
    }
    expect((await leftovers()).cutOff.sort()).toEqual(cutOff.map((file) => path.join(folder, file)).sort());
  });

  it("is the attributes of one, where they are no whole JSON", async () => {
    const folder = path.join(state, ".pulumi", "stacks", "runner-images");
    await mkdir(folder, { recursive: true });
    for (const [name, text] of Object.entries({ empty: "", half: '{"md5":', whole: '{"md5":"x"}\n' }))
      await writeFile(path.join(folder, `${name}.json.attrs`), text);
    expect((await leftovers()).cutOff.sort()).toEqual(
      ["empty", "half"].map((name) => path.join(folder, `${name}.json.attrs`)),
    );
  });
});
