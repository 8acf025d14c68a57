import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { exclusively } from "../../../../release/process/lock.js";

describe("exclusively", () => {
  let folder: string;
  let file: string;
  beforeEach(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "lock-test-"));
    file = path.join(folder, "not-there-yet", "image");
  });
  afterEach(() => rm(folder, { recursive: true }));

  it("refuses to start what is already running, and names it and its process", async () => {
    const second = exclusively(file, "a download", () =>
      exclusively(file, "a download", () => expect.unreachable(), 0),
    );
    await expect(second).rejects.toThrow(
      `a download is already running on this machine (process ${process.pid})`,
    );
  });

  it("waits for the one before", async () => {
    const order: string[] = [];
    let started: () => void;
    const running = new Promise<void>((resolve) => (started = resolve));
    let finish: () => void;
    const first = exclusively(file, "work", async () => {
      started();
      await new Promise<void>((resolve) => (finish = resolve));
      order.push("first");
    });
    await running;
    const second = exclusively(file, "work", () => Promise.resolve(order.push("second")));
    finish!();
    await Promise.all([first, second]);
    expect(order).toEqual(["first", "second"]);
  });

  it("is free again after work that failed, and passes the failure on", async () => {
    await expect(exclusively(file, "work", () => Promise.reject(new Error("no")))).rejects.toThrow(/^no$/);
    expect(await exclusively(file, "work", () => Promise.resolve("done"), 0)).toBe("done");
  });
});
