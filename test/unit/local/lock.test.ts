import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { withLock } from "../../../local/lock.js";

let folder: string;
beforeEach(async () => (folder = await mkdtemp(path.join(tmpdir(), "lock-"))));
afterEach(() => rm(folder, { recursive: true }));

describe("a lock", () => {
  const busy = (pid: string) => `held by ${pid}`;

  it("refuses a second run, naming the process of the first", async () => {
    const file = path.join(folder, "run", "start.lock");
    await withLock(file, { busy }, async () => {
      await expect(withLock(file, { busy }, () => Promise.resolve())).rejects.toThrow(
        `held by ${process.pid}`,
      );
    });
  });

  it("is free again after a run that failed", async () => {
    const file = path.join(folder, "start.lock");
    const failure = withLock(file, { busy }, () => Promise.reject(new Error("broken")));
    await expect(failure).rejects.toThrow("broken");
    expect(await withLock(file, { busy }, () => Promise.resolve("in"))).toBe("in");
  });

  it("lets runs that may wait take turns", async () => {
    const file = path.join(folder, "services.lock");
    let inside = 0;
    const turn = () =>
      withLock(file, { busy, waitSeconds: 10 }, async () => {
        inside += 1;
        expect(inside).toBe(1);
        await new Promise(setImmediate);
        inside -= 1;
      });
    await Promise.all([turn(), turn(), turn()]);
  });
});
