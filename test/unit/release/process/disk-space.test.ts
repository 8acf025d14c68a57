import { cp, mkdir, mkdtemp, readdir, rm, statfs, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { buildDirectory, withBuildDirectory } from "../../../../release/build/build.js";
import { withDiskSpace } from "../../../../release/process/disk-space.js";
import { exclusively } from "../../../../release/process/lock.js";

let root: string;
/** Gigabytes free where the tests work. */
let free: number;
beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), "disk-space-"));
  vi.stubEnv("TMPDIR", root);
  const { bavail, bsize } = await statfs(root);
  free = (bavail * bsize) / 1e9;
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(root, { recursive: true });
});

/** Does `work` as a build in a folder of its own does, which has claimed so many GB. */
async function building(
  name: string,
  gigabytes: number,
  work: (folder: string) => Promise<unknown> = () => Promise.resolve(),
) {
  const folder = path.join(root, name);
  await mkdir(folder, { recursive: true });
  await exclusively(folder, "a build", async () => {
    await withDiskSpace(folder, gigabytes, () => work(folder));
  });
}

describe("the disk space of a build", () => {
  it("is there, or one line says how much is, and how much it takes", async () => {
    await building("a", 0.001);
    await expect(building("b", 10_000_000)).rejects.toThrow(
      /^the disk of \S+\/b has [\d.]+ GB free, a build needs 10000000 GB: free some, or work in a checkout on a larger disk$/,
    );
  });

  it("is not what another build, which is under way, has asked for", async () => {
    await building("a", free * 0.6, async () => {
      await expect(building("b", free * 0.6)).rejects.toThrow(
        /a build needs .+ GB, and what is under way besides .+ GB more \(\S+\/a\): wait for that, /,
      );
      await building("b", free * 0.2);
    });
  });

  it("is there again when that build has ended", async () => {
    await building("a", free * 0.6);
    await building("b", free * 0.6);
  });

  it("is there again also where that build was killed", async () => {
    const claims = path.join(root, `runner-images-${process.getuid!()}`);
    const kept = path.join(root, "kept");
    await building("a", free * 0.6, () => cp(claims, kept, { recursive: true }));
    await cp(kept, claims, { recursive: true });
    await building("b", free * 0.6);
    expect(await readdir(claims)).toEqual(["claims.lock"]);
  });

  it("is claimed by nothing any more once a later run works on what a killed one had built", async () => {
    const request = { root, commit: "c".repeat(40), arch: "x86_64" as const };
    const claims = path.join(root, `runner-images-${process.getuid!()}`);
    const kept = path.join(root, "kept");
    await mkdir(buildDirectory(root, request.commit, request.arch), { recursive: true });
    await withBuildDirectory(request, () =>
      withDiskSpace(buildDirectory(root, request.commit, request.arch), free * 0.1, () =>
        cp(claims, kept, { recursive: true }),
      ),
    );
    await cp(kept, claims, { recursive: true });
    await withBuildDirectory(request, () => Promise.resolve());
    expect(await readdir(claims)).toEqual(["claims.lock"]);
  });

  it("counts of a build under way only what it has not used yet", async () => {
    await building("a", 0.01, async (folder) => {
      await mkdir(path.join(folder, "image"));
      await writeFile(path.join(folder, "image", "disk"), Buffer.alloc(12e6, 1));
      await expect(building("b", 10_000_000)).rejects.toThrow(/besides 0\.0 GB more/);
    });
  });
});
