import { generateKeyPairSync, randomBytes } from "node:crypto";
import { existsSync, readdirSync, statSync, watch } from "node:fs";
import { mkdir, mkdtemp, open, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { signStatement } from "../../../../release/attest/bundle.js";
import { keySigner, parseSigner } from "../../../../release/attest/signer.js";
import { makeStatement } from "../../../../release/attest/statement.js";
import { UserError } from "../../../../release/process/errors.js";
import { downloadFile } from "../../../../release/host/download.js";
import { fetchImage, type FetchOptions, type FetchedImage } from "../../../../release/host/fetch.js";
import { keys } from "../../../../release/store/keys.js";
import { manifestOf } from "../memory-store.js";
import { compress, ImageServer, sha256 } from "./image-server.js";

const commit = "a".repeat(40);
/** Does not compress, so that a cut is where a test puts it; with zeros in the middle, to be left as a hole. */
const disk = Buffer.concat([randomBytes(100_000), Buffer.alloc(4_000_000), randomBytes(100_000)]);

const compressed = await compress(disk);

describe("fetchImage", () => {
  let server: ImageServer;
  let directory: string;
  let target: string;

  beforeEach(async () => {
    // The progress of thirty downloads would hide what vitest says.
    vi.spyOn(process.stderr, "write").mockReturnValue(true);
    server = await ImageServer.start(commit, disk, compressed);
    directory = await mkdtemp(path.join(tmpdir(), "fetch-test-"));
    target = path.join(directory, commit, "ubuntu-x86_64.qcow2");
    server.stored = (bytes) =>
      vi.waitFor(async () => expect((await stat(`${target}.zst.part`)).size).toBe(bytes), { interval: 5 });
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    await server.stop();
    await rm(directory, { recursive: true });
  });

  function fetchIt(options: Partial<FetchOptions> = {}): Promise<FetchedImage> {
    return fetchImage({
      url: server.url,
      commit,
      arch: "x86_64",
      directory,
      retries: 1,
      trust: null,
      ...options,
    });
  }

  /** The one line a person sees. */
  async function refusal(options: Partial<FetchOptions> = {}): Promise<string> {
    const error: unknown = await fetchIt(options).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(UserError);
    const { message } = error as UserError;
    expect(message).not.toContain("\n");
    expect(existsSync(target)).toBe(false);
    return message;
  }

  async function leftovers(): Promise<string[]> {
    const names = await readdir(path.dirname(target));
    return names.filter((name) => !name.endsWith(".lock"));
  }

  it("gets the bytes of an answer, though memory is cleaned up between its headers and its body", async () => {
    setFlagsFromString("--expose-gc");
    const collectGarbage = runInNewContext("gc") as () => void;
    await mkdir(path.dirname(target));
    const archive = `${target}.zst.part`;
    const report = vi.fn((have: number) => {
      if (have === 0) collectGarbage();
    });
    const url = `${server.url}/${keys.disk(commit, "x86_64")}`;
    await downloadFile(url, archive, compressed.length, { what: "it", retries: 0, report });
    expect((await readFile(archive)).equals(compressed)).toBe(true);
    expect(report).toHaveBeenCalledWith(0);
  });

  it.each([
    ["EIO", "failed"],
    ["ENOSPC", "noSpace"],
  ])("says in one line that the drive refused what came (%s), and keeps no disk", async (code, kind) => {
    const large = Buffer.alloc(40 * 1024 * 1024, "a disk that is written to the drive while it comes");
    server.publish(commit, large, await compress(large));
    const handle = await open(import.meta.filename);
    const datasync = vi.spyOn(Object.getPrototypeOf(handle) as typeof handle, "datasync");
    await handle.close();
    datasync.mockRejectedValue(Object.assign(new Error("the drive says no"), { code }));
    expect(await refusal()).toMatch(new RegExp(`\\.part cannot be written to its drive \\(${code}\\)`));
    expect(await fetchIt().catch((error: unknown) => error)).toMatchObject({ kind });
    datasync.mockRestore();
    expect((await fetchIt()).bytes).toBe(large.length);
  });

  it("puts the verified disk at its path, as a sparse file, and leaves nothing else there", async () => {
    const fetched = await fetchIt();
    expect(fetched).toMatchObject({
      commit,
      arch: "x86_64",
      path: target,
      bytes: disk.length,
      sha256: sha256(disk),
      cached: false,
    });
    expect((await readFile(target)).equals(disk)).toBe(true);
    expect((await stat(target)).blocks * 512).toBeLessThan(disk.length / 2);
    expect(await leftovers()).toEqual(["ubuntu-x86_64.qcow2"]);
  });

  it("fetches the commit that latest names when none is given", async () => {
    expect((await fetchIt({ commit: undefined })).commit).toBe(commit);
  });

  it.each(["", commit, `${commit}\n\n`, `${commit.toUpperCase()}\n`, `${commit.slice(1)}\n`, "<html>\n"])(
    "refuses a pointer that is not 40 lowercase hex digits and a newline: %j",
    async (text) => {
      server.put(keys.latest, text);
      expect(await refusal({ commit: undefined })).toMatch(/latest must be 40 lowercase hex/);
    },
  );

  it("refuses a malformed commit and a malformed URL before it asks anyone", async () => {
    server.onRequest = () => expect.unreachable();
    expect(await refusal({ commit: "main" })).toMatch(/commit must be 40 lowercase hex digits/);
    expect(await refusal({ url: "images.example.org" })).toMatch(/must start with http/);
  });

  it("asks who built it, where somebody is trusted, before it downloads the disk", async () => {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const trust = { signer: parseSigner(keySigner(publicKey))!, unsignedUntil: null };
    const key = keys.attestation(commit, "x86_64", sha256(disk));
    expect(await refusal({ trust })).toMatch(`${key} is missing: nothing says that key:`);
    const statement = (of: string) =>
      makeStatement({ commit: of, arch: "x86_64", sha256: sha256(disk) }, manifestOf(of, "x86_64").build);
    server.put(key, await signStatement(statement("b".repeat(40)), privateKey, publicKey));
    expect(await refusal({ trust })).toMatch(`${key} is of images/${"b".repeat(40)}/`);
    expect(existsSync(target)).toBe(false);
    server.put(key, await signStatement(statement(commit), privateKey, publicKey));
    expect(await fetchIt({ trust })).toMatchObject({ path: target, sha256: sha256(disk) });
  });

  it("does not download again what is there and whole", async () => {
    await fetchIt();
    expect((await fetchIt()).cached).toBe(true);
    expect(server.diskRequests).toHaveLength(1);
  });

  it("does not trust what is there: a disk of the right size but other bytes is fetched again", async () => {
    await mkdir(path.dirname(target));
    await writeFile(target, Buffer.alloc(disk.length, 1));
    expect((await fetchIt()).cached).toBe(false);
    expect((await readFile(target)).equals(disk)).toBe(true);
  });

  it("has nothing else there any more when the disk appears, so a run that is killed then leaves nothing", async () => {
    await mkdir(path.dirname(target));
    const beside: string[][] = [];
    const watcher = watch(path.dirname(target), () => {
      const names = readdirSync(path.dirname(target)).filter((name) => !name.endsWith(".lock"));
      if (names.includes(path.basename(target))) beside.push(names);
    });
    await fetchIt();
    await vi.waitFor(() => expect(beside).not.toEqual([]));
    watcher.close();
    expect(beside[0]).toEqual([path.basename(target)]);
  });

  it("never shows the disk at its path before it is whole", async () => {
    await mkdir(path.dirname(target));
    await writeFile(target, "damaged");
    server.cuts.push(50_000);
    let presentAtLastRequest = true;
    server.onRequest = () => (presentAtLastRequest = existsSync(target));
    const sizes: number[] = [];
    const watcher = watch(path.dirname(target), (_, name) => {
      if (name === path.basename(target) && existsSync(target)) sizes.push(statSync(target).size);
    });
    await fetchIt();
    await vi.waitFor(() => expect(sizes).not.toEqual([]));
    watcher.close();
    expect(presentAtLastRequest).toBe(false);
    expect(new Set(sizes)).toEqual(new Set([disk.length]));
  });

  it("unpacks what has come while the rest is still to come", async () => {
    const cut = compressed.length - 50_000;
    server.cuts.push(cut);
    server.stored = () =>
      vi.waitFor(async () => expect((await stat(`${target}.part`)).size).toBeGreaterThan(0), 10_000);
    expect((await fetchIt()).sha256).toBe(sha256(disk));
    expect(server.diskRequests[1]?.range).toBe(`bytes=${cut}-`);
  });

  it("unpacks anew where the server replaces what had come", async () => {
    server.cuts.push(compressed.length - 50_000);
    server.stored = async () => {
      await vi.waitFor(async () => expect((await stat(`${target}.part`)).size).toBeGreaterThan(0), 10_000);
      server.etag = '"v2"';
    };
    expect((await fetchIt()).sha256).toBe(sha256(disk));
    expect((await readFile(target)).equals(disk)).toBe(true);
    expect(await leftovers()).toEqual(["ubuntu-x86_64.qcow2"]);
  });

  it("goes on where a transfer was cut", async () => {
    server.cuts.push(50_000);
    await fetchIt();
    const [first, second] = server.diskRequests;
    expect(first).toEqual({ range: undefined, ifRange: undefined });
    expect(second?.ifRange).toBe('"v1"');
    expect(second?.range).toBe("bytes=50000-");
  });

  it("starts at the beginning when the server has no strong ETag, which alone promises the same bytes", async () => {
    server.etag = 'W/"v1"';
    server.cuts.push(50_000);
    await fetchIt();
    expect(server.diskRequests.map(({ range }) => range)).toEqual([undefined, undefined]);
  });

  it("goes on in a later run where an earlier one was cut", async () => {
    server.cuts.push(50_000);
    expect(await refusal({ retries: 0 })).toMatch(/^cannot download .*\.zst: /);
    expect(await leftovers()).toEqual(["ubuntu-x86_64.qcow2.zst.part", "ubuntu-x86_64.qcow2.zst.part.etag"]);
    await fetchIt();
    expect(server.diskRequests[1]?.range).toBe("bytes=50000-");
  });

  it("starts at the beginning when the server has other bytes now", async () => {
    server.cuts.push(50_000);
    await refusal({ retries: 0 });
    server.etag = '"v2"';
    await fetchIt();
    expect(server.diskRequests[1]?.ifRange).toBe('"v1"');
    expect((await readFile(target)).equals(disk)).toBe(true);
  });

  it("starts at the beginning when the part of an earlier run is damaged", async () => {
    server.cuts.push(50_000);
    await refusal({ retries: 0 });
    const part = `${target}.zst.part`;
    await writeFile(part, Buffer.alloc((await stat(part)).size));
    await fetchIt();
    expect(server.diskRequests.map(({ range }) => range === undefined)).toEqual([true, false, true]);
  });

  it("tries again when the server is broken for a moment", async () => {
    server.failures.push(503);
    expect((await fetchIt()).sha256).toBe(sha256(disk));
  });

  it("names what is not published", async () => {
    expect(await refusal({ commit: "b".repeat(40) })).toMatch(
      /^ubuntu-x86_64 of b{40} is not published there: .* answered 404$/,
    );
    server.objects.delete(keys.latest);
    expect(await refusal({ commit: undefined })).toMatch(/^any image is not published there/);
  });

  it("says when the server cannot be reached", async () => {
    const gone = await ImageServer.start(commit, disk, compressed);
    await gone.stop();
    expect(await refusal({ url: gone.url })).toMatch(/^cannot download http.*ECONNREFUSED/);
  });

  it("refuses a compressed file with another hash, and does not keep it", async () => {
    const damaged = Buffer.from(server.compressed);
    damaged[damaged.length - 1]! ^= 1;
    server.put(keys.disk(commit, "x86_64"), damaged);
    expect(await refusal()).toMatch(/does not have the sha256 its manifest says/);
    expect(await leftovers()).toEqual([]);
  });

  it("keeps a right download where zstd fails, as on a full disk, and a later run goes on with it", async () => {
    const tools = await mkdtemp(path.join(tmpdir(), "runner-images-tools-"));
    const script = "#!/bin/sh\ncat > /dev/null\necho 'No space left on device' >&2\nexit 1\n";
    await writeFile(path.join(tools, "zstd"), script, { mode: 0o755 });
    vi.stubEnv("PATH", `${tools}:${process.env["PATH"]}`);
    expect(await refusal()).toMatch(/zstd cannot decompress .*: No space left on device$/);
    vi.unstubAllEnvs();
    await rm(tools, { recursive: true });
    const requests = server.diskRequests.length;
    await fetchIt();
    expect((await readFile(target)).equals(disk)).toBe(true);
    expect(server.diskRequests.slice(requests)).toEqual([]);
  });

  it("refuses a disk with another hash, and does not keep it", async () => {
    const wrong = "0".repeat(64);
    server.put(keys.diskSha256(commit, "x86_64"), `${wrong}\n`);
    server.putManifest({ ...server.manifest, disk: { bytes: disk.length, sha256: wrong } });
    expect(await refusal()).toMatch(/decompresses to sha256 .* but 0{64} was published/);
    expect(await leftovers()).toEqual([]);
  });

  it.each([
    `${"0".repeat(64)}\n`,
    sha256(disk),
    `${sha256(disk)}  ubuntu.qcow2\n`,
    `${sha256(disk).toUpperCase()}\n`,
  ])(
    "refuses a publication whose .qcow2.sha256 is not the manifest's hash and a newline: %j",
    async (text) => {
      server.put(keys.diskSha256(commit, "x86_64"), text);
      expect(await refusal()).toMatch(/name different hashes/);
      expect(server.diskRequests).toEqual([]);
    },
  );

  it("refuses what is longer than its manifest says", async () => {
    const bytes = server.compressed.length - 1;
    server.putManifest({ ...server.manifest, compressed: { ...server.manifest.compressed, bytes } });
    expect(await refusal()).toMatch(/is longer than the \d+ bytes its manifest says/);
  });

  it.each([
    ["no JSON", "nonsense"],
    ["another form", JSON.stringify({ schema: 2 })],
  ])("refuses a manifest that is %s", async (_, text) => {
    server.put(keys.manifest(commit, "x86_64"), text);
    expect(await refusal()).toMatch(/is not a manifest of ubuntu-x86_64/);
  });

  it("refuses a manifest of another image", async () => {
    server.putManifest({ ...server.manifest, commit: "b".repeat(40) });
    expect(await refusal()).toMatch(/is not a manifest of ubuntu-x86_64 of a{40}/);
  });

  it("says before the download how many gigabytes it needs when they are not free", async () => {
    server.putManifest({ ...server.manifest, disk: { ...server.manifest.disk, bytes: 5e15 } });
    expect(await refusal()).toMatch(/too full: ubuntu-x86_64 needs 5000000\.0 GB in .*, \d+\.\d GB are free/);
    expect(server.diskRequests).toEqual([]);
  });
});
