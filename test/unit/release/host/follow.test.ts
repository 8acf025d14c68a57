import { randomBytes } from "node:crypto";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import {
  mkdir,
  mkdtemp,
  open,
  readFile,
  readlink,
  readdir,
  rm,
  stat,
  utimes,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { inUse, tooMuch, type KeptImage } from "../../../../release/host/cache.js";
import { follow, followedImage, type FollowOptions } from "../../../../release/host/follow.js";
import { metricsText } from "../../../../release/host/metrics.js";
import { keys } from "../../../../release/store/keys.js";
import { compress, ImageServer, sha256 } from "./image-server.js";

const first = "a".repeat(40);
const second = "b".repeat(40);
const disks = { [first]: randomBytes(300_000), [second]: randomBytes(300_000) };
const archives = { [first]: await compress(disks[first]!), [second]: await compress(disks[second]!) };

let server: ImageServer;
let directory: string;
let link: string;
let said: string[];

beforeEach(async () => {
  said = [];
  vi.spyOn(process.stderr, "write").mockImplementation((text) => (said.push(String(text)), true));
  server = await ImageServer.start(first, disks[first]!, archives[first]!);
  directory = await mkdtemp(path.join(tmpdir(), "follow-test-"));
  link = path.join(directory, "ubuntu-x86_64.qcow2");
});
afterEach(async () => {
  vi.restoreAllMocks();
  await server.stop();
  await rm(directory, { recursive: true });
});

function run(options: Partial<FollowOptions> = {}) {
  return follow({
    url: server.url,
    arch: "x86_64",
    directory,
    retries: 0,
    trust: null,
    limit: null,
    rehash: false,
    ...options,
  });
}

/** What another image's publication and promotion changes for a host. */
function promote(commit: string): void {
  server.publish(commit, disks[commit]!, archives[commit]!);
  server.put(keys.latest, `${commit}\n`);
  server.etag = `"${commit.slice(0, 4)}"`;
}

/** Writes other bytes of the same number. The file system's clock has to have moved on, so that it shows (up to 10 ms). */
async function overwrite(file: string): Promise<void> {
  const before = await stat(file, { bigint: true });
  await vi.waitFor(
    async () => {
      await writeFile(file, Buffer.alloc(Number(before.size)));
      expect((await stat(file, { bigint: true })).ctimeNs).not.toBe(before.ctimeNs);
    },
    { interval: 5 },
  );
}

describe("fetch --follow", () => {
  it("links to the verified image that latest names, by a relative link", async () => {
    expect(await run()).toMatchObject({
      commit: first,
      path: link,
      sha256: sha256(disks[first]!),
      changed: true,
      downloadedBytes: archives[first]!.length,
      removed: [],
    });
    expect(await readlink(link)).toBe(`${first}/ubuntu-x86_64.qcow2`);
    expect((await readFile(link)).equals(disks[first]!)).toBe(true);
    expect((await followedImage(directory, "x86_64"))?.commit).toBe(first);
  });

  it("asks one conditional question while nothing changes, and does not read the image", async () => {
    await run();
    server.requests.length = 0;
    expect(await run()).toMatchObject({ commit: first, changed: false, downloadedBytes: 0 });
    expect(server.requests).toEqual([{ key: "latest", status: 304 }]);
  });

  it("goes on with a CDN that has no ETags", async () => {
    server.etag = "";
    await run();
    server.requests.length = 0;
    expect(await run()).toMatchObject({ commit: first, changed: false });
    expect(server.requests).toEqual([{ key: "latest", status: 200 }]);
  });

  it("follows the pointer forward and back, and downloads nothing that is there", async () => {
    await run();
    promote(second);
    expect(await run()).toMatchObject({ commit: second, changed: true });
    promote(first);
    const { length } = server.diskRequests;
    expect(await run()).toMatchObject({ commit: first, changed: true });
    expect(server.diskRequests).toHaveLength(length);
    expect(await readlink(link)).toBe(`${first}/ubuntu-x86_64.qcow2`);
  });

  it.each([
    ["the image was written to", () => overwrite(link)],
    ["the link is gone", () => rm(link)],
    ["the notes cannot be read", () => writeFile(path.join(directory, "ubuntu-x86_64.json"), "{")],
  ])("verifies anew where %s", async (_, happen) => {
    await run();
    await happen();
    server.requests.length = 0;
    await run();
    expect(server.requests.map(({ key }) => key)).toContain(keys.manifest(first, "x86_64"));
    expect((await readFile(link)).equals(disks[first]!)).toBe(true);
  });

  it("reads the whole image again when it is asked to", async () => {
    await run();
    await writeFile(link, Buffer.alloc(disks[first]!.length));
    // As if the medium had lost it, and nobody had written: the notes describe the file as it is.
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(link, { bigint: true });
    const notesFile = path.join(directory, "ubuntu-x86_64.json");
    const notes = JSON.parse(await readFile(notesFile, "utf8")) as object;
    await writeFile(
      notesFile,
      JSON.stringify({ ...notes, file: [dev, ino, size, mtimeNs, ctimeNs].join(" ") }),
    );
    await run();
    expect((await readFile(link)).equals(disks[first]!)).toBe(false);
    expect(await run({ rehash: true })).toMatchObject({ commit: first });
    expect((await readFile(link)).equals(disks[first]!)).toBe(true);
  });

  it("keeps the image that it has when the next one is refused, or nobody answers", async () => {
    await run();
    promote(second);
    server.put(keys.disk(second, "x86_64"), archives[first]!);
    await expect(run()).rejects.toMatchObject({ kind: "refused" });
    server.failures.push(503);
    await expect(run()).rejects.toMatchObject({ kind: "unreachable" });
    expect(await readlink(link)).toBe(`${first}/ubuntu-x86_64.qcow2`);
    expect((await followedImage(directory, "x86_64"))?.commit).toBe(first);
  });

  it("asks again who built it when another is trusted", async () => {
    await run();
    const signer = {
      kind: "workflow" as const,
      identity: "https://example.org/w",
      issuer: "https://example.org",
    };
    await expect(run({ trust: { signer, unsignedUntil: null } })).rejects.toMatchObject({ kind: "refused" });
  });

  it("asks each day anew who built an image that is accepted without an attestation until a day", async () => {
    const signer = {
      kind: "workflow" as const,
      identity: "https://example.org/w",
      issuer: "https://example.org",
    };
    const trust = { signer, unsignedUntil: "2027-01-02" };
    vi.setSystemTime("2027-01-01T12:00:00Z");
    await run({ trust });
    expect(await run({ trust })).toMatchObject({ changed: false });
    vi.setSystemTime("2027-01-02T12:00:00Z");
    await expect(run({ trust })).rejects.toMatchObject({ kind: "refused" });
    vi.useRealTimers();
  });

  it("says in one line where it may not keep images", async () => {
    await writeFile(path.join(directory, "file"), "");
    await expect(run({ directory: path.join(directory, "file", "below") })).rejects.toThrow(
      /^images cannot be kept in .* \(ENOTDIR\): name a folder/,
    );
  });
});

describe("the limit", () => {
  const old = "1".repeat(40);
  const older = "2".repeat(40);

  /** An image of long ago. */
  async function keep(commit: string, day: string, name = "ubuntu-x86_64.qcow2"): Promise<string> {
    const file = path.join(directory, commit, name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, randomBytes(300_000));
    await utimes(file, new Date(day), new Date(day));
    return file;
  }

  async function images(): Promise<string[]> {
    return (await readdir(directory)).filter((name) => !name.includes(".")).sort();
  }

  it("removes the oldest images first, and no more than it has to", async () => {
    await keep(old, "2026-02-01");
    await keep(older, "2026-01-01");
    const { removed, cacheBytes } = await run({ limit: 700_000 });
    expect(removed).toEqual([older]);
    expect(cacheBytes).toBeLessThan(700_000);
    expect(await images()).toEqual([old, first].sort());
    expect(said.join("")).toMatch(/removed 1 images of \d+ kB, the oldest that nobody uses/);
  });

  it("never removes the live image, nor the one before it, and says what it could not keep to", async () => {
    await run();
    promote(second);
    expect((await run({ limit: 1 })).removed).toEqual([]);
    expect((await run({ limit: 1 })).removed).toEqual([]);
    expect(await images()).toEqual([first, second]);
    expect(said.join("")).toMatch(
      /warning: the images of ubuntu-x86_64 take 6\d\d kB, more than the limit of 1 B/,
    );
  });

  it("never removes an image that a process has open", async () => {
    const handle = await open(await keep(old, "2026-01-01"));
    expect((await run({ limit: 1 })).removed).toEqual([]);
    await handle.close();
    expect((await run({ limit: 1 })).removed).toEqual([old]);
    expect(await images()).toEqual([first]);
  });

  it("sees that QEMU, as another user, has a lock on an image, where the process itself cannot be looked into", async () => {
    const file = await keep(old, "2026-01-01");
    const other = await keep(older, "2026-01-01");
    const { ino } = await stat(file);
    const proc = path.join(directory, "proc");
    await mkdir(path.join(proc, "1234"), { recursive: true });
    await writeFile(path.join(proc, "locks"), `1: OFDLCK ADVISORY  READ -1 fe:00:${ino} 100 101\n`);
    expect(await inUse([file, other], proc)).toEqual(new Set([file]));
  });

  it("takes all for used where the system does not say what is", async () => {
    const file = await keep(old, "2026-01-01");
    expect(await inUse([file], path.join(directory, "no-proc"))).toEqual(new Set([file]));
  });

  it("removes what a cut download of an older image left, and leaves the other architecture's image alone", async () => {
    await keep(old, "2026-01-01", "ubuntu-x86_64.qcow2.zst.part");
    const other = await keep(old, "2026-01-01", "ubuntu-aarch64.qcow2");
    expect((await run({ limit: 1 })).removed).toEqual([old]);
    expect(await readdir(path.join(directory, old))).toEqual([path.basename(other)]);
  });

  it("leaves a download that is under way alone", async () => {
    const file = await keep(old, "2026-01-01", "ubuntu-x86_64.qcow2.zst.part");
    const image = file.replace(".zst.part", "");
    const holder = spawn("flock", [`${image}.lock`, "sh", "-c", "echo held; exec cat"], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    await once(holder.stdout, "data");
    expect((await run({ limit: 1 })).removed).toEqual([]);
    holder.stdin.end();
    await once(holder, "close");
    expect(existsSync(file)).toBe(true);
  });

  const image = (commit: string, bytes: number, day: number): KeptImage => ({
    commit,
    path: commit,
    bytes,
    changedAt: new Date(Date.UTC(2026, 0, day)),
  });

  it.each([
    { name: "nothing is kept", images: [], limit: 0, gone: [] },
    { name: "all fit", images: [image("a", 5, 1), image("b", 5, 2)], limit: 10, gone: [] },
    { name: "one byte is too much", images: [image("b", 5, 2), image("a", 6, 1)], limit: 10, gone: ["a"] },
    { name: "the oldest is kept", images: [image("kept", 5, 1), image("a", 5, 2)], limit: 5, gone: ["a"] },
    {
      name: "kept ones are over it",
      images: [image("kept", 50, 3), image("a", 5, 2)],
      limit: 5,
      gone: ["a"],
    },
  ])("chooses by age where $name", ({ images, limit, gone }) => {
    expect(tooMuch(images, limit, ({ commit }) => commit === "kept").map(({ commit }) => commit)).toEqual(
      gone,
    );
  });
});

describe("metrics", () => {
  const now = new Date("2026-11-26T12:00:00Z");

  it("tell the image's age, how long it can be used, and how the last look ended", () => {
    const image = {
      commit: first,
      publishedAt: new Date("2026-11-26T11:00:00Z"),
      usableUntil: new Date("2026-11-27T12:00:00Z"),
    };
    expect(metricsText({ arch: "x86_64", image, cacheBytes: 42, exitCode: 3 }, now)).toBe(
      `# HELP runner_images_info The image that this host uses.
# TYPE runner_images_info gauge
runner_images_info{arch="x86_64",commit="${first}"} 1
# HELP runner_images_age_seconds Since that image was published.
# TYPE runner_images_age_seconds gauge
runner_images_age_seconds{arch="x86_64"} 3600
# HELP runner_images_usable_seconds Until GitHub gives its runner no more jobs, as far as is known; negative: since then.
# TYPE runner_images_usable_seconds gauge
runner_images_usable_seconds{arch="x86_64"} 86400
# HELP runner_images_cache_bytes What the kept images take of the disk.
# TYPE runner_images_cache_bytes gauge
runner_images_cache_bytes{arch="x86_64"} 42
# HELP runner_images_last_run_timestamp_seconds When it was last looked for a newer one.
# TYPE runner_images_last_run_timestamp_seconds gauge
runner_images_last_run_timestamp_seconds{arch="x86_64"} 1795694400
# HELP runner_images_last_run_exit_code How that ended: docs/hosts.md.
# TYPE runner_images_last_run_exit_code gauge
runner_images_last_run_exit_code{arch="x86_64"} 3
`,
    );
  });

  it("leave out what is not known", () => {
    const image = { commit: first, publishedAt: now, usableUntil: null };
    expect(metricsText({ arch: "x86_64", image, cacheBytes: 0, exitCode: 0 }, now)).not.toContain("usable");
    const none = metricsText({ arch: "x86_64", image: null, cacheBytes: 0, exitCode: 3 }, now);
    expect(none).not.toMatch(/_info|_age|_usable/);
    expect(none).toContain("last_run_exit_code");
  });
});
