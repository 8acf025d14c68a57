import { createHash, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { gzipSync } from "node:zlib";
import { execa } from "execa";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { checkout } from "../../local/paths.js";
import { bootRecordFile, takeBootRecord } from "../../release/boot/hand-over.js";
import { buildDirectory } from "../../release/build/build.js";
import { findDamage } from "../../release/build/damage.js";
import { uploadDisk } from "../../release/build/publish.js";
import { readComponents } from "../../release/inspect/sbom.js";
import { keys } from "../../release/store/keys.js";
import { calendarOf, runnerReleasesFile } from "../../release/pointer/runner-releases.js";
import { agrees, nextSeq, readEntry, readLog, readPointer } from "../../release/pointer/pointer.js";
import { claim, promote, settle } from "../../release/pointer/promote.js";
import type { BootRecord, Manifest } from "../../release/store/records.js";
import type { S3Store } from "../../release/store/s3-store.js";
import { jsonText, openStore } from "../../release/store/store.js";
import { bootRecordOf, factsOf, imageObjects } from "../unit/release/memory-store.js";
import { interpose, TestS3, until } from "./s3.js";

/*
 * The release commands against a real S3 server. Each test has a bucket's worth of its own: a commit nobody else uses.
 */

const arch = "x86_64";
let s3: TestS3;
let store: S3Store;
let root: string;
/** Does not compress, so that it is uploaded in several parts. */
let disk: Buffer;

beforeAll(async () => {
  disk = await makeDisk(40_000_000);
  s3 = await TestS3.start();
  store = await openStore(s3.environment.BUCKET!, s3.environment);
});
afterAll(() => s3.stop());

beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), "runner-images-release-"));
  await mkdir(path.join(root, "pins"));
  await writeFile(path.join(root, runnerReleasesFile), JSON.stringify({ releases: [] }));
});
afterEach(() => rm(root, { recursive: true }));

/**
 * A disk that is fit to be published; no two are alike.
 * @param leftover a file that no image may hold
 */
async function makeDisk(bytes: number, leftover?: string): Promise<Buffer> {
  const folder = await mkdtemp(path.join(tmpdir(), "runner-images-disk-"));
  const file = path.join(folder, "disk.qcow2");
  try {
    const script = path.join(import.meta.dirname, "fake-image", "make-disk");
    const extra = path.join(folder, "extra");
    await mkdir(extra);
    if (leftover !== undefined) {
      await mkdir(path.join(extra, path.dirname(leftover)), { recursive: true });
      await writeFile(path.join(extra, leftover), "left by the build\n");
    }
    await execa(script, [file, "0".repeat(40), arch, "fixture", String(bytes), extra]);
    return await readFile(file);
  } finally {
    await rm(folder, { recursive: true });
  }
}

let commits = 0;
function newCommit(): string {
  return (++commits).toString(16).padStart(40, "0");
}

/** What `build` leaves behind. */
async function putBuilt(commit: string, machine = root, content = disk): Promise<void> {
  const folder = path.join(buildDirectory(machine, commit, arch), "image", "build");
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, "ubuntu-x86_64.qcow2"), content);
  await writeFile(path.join(folder, "ubuntu-x86_64.build.json"), JSON.stringify(factsOf(arch)));
}

function release(verb: string, environment: Record<string, string> = {}, ...args: string[]) {
  return releaseIn(root, verb, environment, ...args);
}

function releaseIn(cwd: string, verb: string, environment: Record<string, string>, ...args: string[]) {
  const main = path.join(checkout, "release", "main.mjs");
  return execa("node", [main, verb, ...args], {
    cwd,
    env: { ...s3.environment, ARCH: arch, BASE: "debian", RUNNER: "github", ...environment },
    reject: false,
  });
}

function result(run: { stdout: string }): Record<string, unknown> {
  return JSON.parse(run.stdout) as Record<string, unknown>;
}

async function manifestOf(commit: string): Promise<Manifest> {
  return JSON.parse((await store.get(keys.manifest(commit, arch)))!.text) as Manifest;
}

async function isStored(key: string): Promise<boolean> {
  return (await store.head(key)) !== null;
}

describe("publish", () => {
  it("stores disk, hash, bill of materials and manifest once, and finds nothing to do the second time", async () => {
    const commit = newCommit();
    await putBuilt(commit);
    const first = await release("publish", { COMMIT: commit });
    expect(first.stderr).toMatch(/done in/);
    expect(result(first)).toMatchObject({ commit, arch, published: "now", diskBytes: disk.length });
    expect(await s3.keys(keys.imagesPrefix(commit))).toEqual([
      keys.sbom(commit, arch),
      keys.manifest(commit, arch),
      keys.diskSha256(commit, arch),
      keys.disk(commit, arch),
    ]);
    expect((await store.get(keys.diskSha256(commit, arch)))!.text).toBe(`${String(result(first).sha256)}\n`);
    const sbom = (await store.get(keys.sbom(commit, arch)))!.text;
    expect(readComponents(sbom)).toEqual([
      { kind: "deb", name: "dash", version: "0.5.12-2" },
      { kind: "generic", name: "fixture-runner", version: "0.0.0" },
    ]);
    const { sbom: named, compressed } = await manifestOf(commit);
    expect(compressed.crc32).toMatch(/^[\w+/]{6}==$/);
    expect(compressed.crc32).toBe((await store.head(keys.disk(commit, arch)))!.crc32);
    expect(named).toEqual({
      key: keys.sbom(commit, arch),
      bytes: sbom.length,
      sha256: createHash("sha256").update(sbom).digest("hex"),
    });
    // It takes gigabytes, and the store has it now.
    await expect(readdir(buildDirectory(root, commit, arch))).rejects.toThrow(/ENOENT/);
    const second = await release("publish", { COMMIT: commit });
    expect(result(second)).toMatchObject({ published: "before", sha256: result(first).sha256 });
  });

  it("finishes on another machine what was killed between disk and manifest", async () => {
    const commit = newCommit();
    await putBuilt(commit);
    const first = await release("publish", { COMMIT: commit });
    const sbom = (await store.get(keys.sbom(commit, arch)))!.text;
    const { compressed } = await manifestOf(commit);
    await s3.delete(keys.manifest(commit, arch), keys.diskSha256(commit, arch), keys.sbom(commit, arch));
    await rm(path.join(root, "build"), { recursive: true });
    const second = await release("publish", { COMMIT: commit }, "--build");
    expect(result(second)).toEqual({
      ...result(first),
      published: "adopted",
      seconds: result(second).seconds,
    });
    expect(await s3.keys(keys.imagesPrefix(commit))).toHaveLength(4);
    // Made of the disk that is stored, and the same as the first time.
    expect((await store.get(keys.sbom(commit, arch)))!.text).toBe(sbom);
    expect((await manifestOf(commit)).compressed).toEqual(compressed);
    await expect(readdir(buildDirectory(root, commit, arch))).rejects.toThrow(/ENOENT/);
  });

  it("publishes nothing of a disk that cannot be read", async () => {
    const commit = newCommit();
    await putBuilt(commit, root, randomBytes(1_000_000));
    const run = await release("publish", { COMMIT: commit });
    expect(run).toMatchObject({ exitCode: 1, stdout: "" });
    expect(run.stderr).toMatch(/^error: .*ubuntu-x86_64\.qcow2 cannot be read as an image's disk: .*$/m);
    expect(await s3.keys(keys.imagesPrefix(commit))).toEqual([]);
  });

  it("publishes nothing of a disk that holds what no image may hold, and names it", async () => {
    const commit = newCommit();
    await putBuilt(commit, root, await makeDisk(1_000, "gha/.bash_history"));
    const run = await release("publish", { COMMIT: commit });
    expect(run).toMatchObject({ exitCode: 1, stdout: "" });
    const log = path.join(root, "build", "logs", `${commit}-${arch}-lint.log`);
    expect(run.stderr.split("\n").at(-1)).toBe(
      `error: ubuntu-x86_64 of ${commit} is not published, since it holds what no image may hold: history /gha/.bash_history (tells what somebody did); mend image/ and commit (all findings: ${log})`,
    );
    expect(await readFile(log, "utf8")).toBe("history /gha/.bash_history: tells what somebody did\n");
    expect(await s3.keys(keys.imagesPrefix(commit))).toEqual([]);
  });

  it("does not finish publishing a disk that was stored without a look at it, and holds what no image may hold", async () => {
    const commit = newCommit();
    const { stdout: compressed } = await execa("zstd", ["-q", "-c"], {
      input: await makeDisk(1_000, "gha/.bash_history"),
      encoding: "buffer",
      stripFinalNewline: false,
    });
    const metadata = { build: JSON.stringify(factsOf(arch)) };
    const key = keys.disk(commit, arch);
    await store.upload(key, Readable.from([compressed]), compressed.length, metadata);
    const run = await release("publish", { COMMIT: commit });
    expect(run).toMatchObject({ exitCode: 1, stdout: "" });
    expect(run.stderr).toMatch(
      /^error: .* is not published, since it holds .*: history \/gha\/\.bash_history /m,
    );
    expect(await s3.keys(keys.imagesPrefix(commit))).toEqual([key]);
  });

  it("does not finish publishing a disk of which the store keeps another CRC32", async () => {
    const commit = newCommit();
    const file = path.join(root, "disk.qcow2");
    await writeFile(file, disk);
    await uploadDisk(store, { commit, arch }, { path: file, facts: factsOf(arch) });
    const { bytes, metadata } = (await store.head(keys.disk(commit, arch)))!;
    const proxy = await interpose(s3.endpoint, ({ method, url }, response) => {
      if (method !== "HEAD" || !url!.endsWith(keys.disk(commit, arch))) return false;
      response
        .writeHead(200, {
          "content-length": bytes,
          "x-amz-meta-build": metadata["build"],
          "x-amz-checksum-crc32": "AAAAAA==",
          "x-amz-checksum-type": "FULL_OBJECT",
        })
        .end();
      return true;
    });
    const run = await release("publish", { COMMIT: commit, AWS_ENDPOINT_URL_S3: proxy.endpoint });
    proxy.stop();
    expect(run.exitCode).toBe(1);
    expect(run.stderr.split("\n").at(-1)).toMatch(
      /^error: images\/.*\.qcow2\.zst in bucket .* is not what the store says it is \(CRC32 .{6}==, and it says AAAAAA==\)/,
    );
    expect(await isStored(keys.manifest(commit, arch))).toBe(false);
  });

  it("lets two machines publish the same image at once: both end well, with one disk", async () => {
    const commit = newCommit();
    const slower = path.join(root, "slower");
    const faster = path.join(root, "faster");
    // No two builds are alike.
    await putBuilt(commit, slower, await makeDisk(20_000_000));
    await putBuilt(commit, faster);
    let first: Promise<{ stdout: string }> | undefined;
    const proxy = await interpose(s3.endpoint, async (request) => {
      // All parts of the slower one are there: now the faster one runs from beginning to end.
      if (request.method === "POST" && request.url!.includes("uploadId=")) {
        first ??= releaseIn(faster, "publish", { COMMIT: commit });
        await first;
      }
      return false;
    });
    const second = await releaseIn(slower, "publish", {
      COMMIT: commit,
      AWS_ENDPOINT_URL_S3: proxy.endpoint,
    });
    proxy.stop();
    const { sha256 } = result(await first!);
    expect(result(await first!)).toMatchObject({ published: "now", diskBytes: disk.length });
    expect(result(second)).toMatchObject({ published: "adopted", diskBytes: disk.length, sha256 });
    expect(await s3.unfinishedUploads()).toEqual([]);
  });

  it.each([
    ["in one part", 1_000_000],
    ["in several parts", 20_000_000],
  ])("never replaces a disk that is there, uploaded %s", async (_, bytes) => {
    const key = keys.disk(newCommit(), arch);
    await store.create(key, "the first one");
    const upload = store.upload(key, Readable.from([randomBytes(bytes)]), bytes, {});
    await expect(upload).rejects.toThrow(/is there already with other content/);
    expect((await store.get(key))!.text).toBe("the first one");
    expect(await s3.unfinishedUploads()).toEqual([]);
  });

  it("refuses to call an image published that was made of something else", async () => {
    const commit = newCommit();
    await putBuilt(commit);
    await release("publish", { COMMIT: commit });
    const run = await release("publish", { COMMIT: commit, RUNNER: "fixture" });
    expect(run).toMatchObject({ exitCode: 1, stdout: "" });
    expect(run.stderr).toMatch(/is published with runner github, not fixture/);
  });

  it("refuses a hash that is there already and differs, and changes nothing", async () => {
    const commit = newCommit();
    await putBuilt(commit);
    await store.create(keys.diskSha256(commit, arch), `${"6".repeat(64)}\n`);
    const run = await release("publish", { COMMIT: commit });
    expect(run.exitCode).toBe(1);
    expect(run.stderr).toMatch(/\.qcow2\.sha256 .* is there already with other content/);
    expect((await store.get(keys.diskSha256(commit, arch)))!.text).toBe(`${"6".repeat(64)}\n`);
    expect(await isStored(keys.manifest(commit, arch))).toBe(false);
  });

  it("refuses a disk that somebody else put there", async () => {
    const commit = newCommit();
    await store.create(keys.disk(commit, arch), "not ours");
    const run = await release("publish", { COMMIT: commit });
    expect(run.exitCode).toBe(1);
    expect(run.stderr).toMatch(/was not put there by this project/);
  });

  it("refuses to publish what was built of something else, before anything is stored", async () => {
    const commit = newCommit();
    await putBuilt(commit);
    const run = await release("publish", { COMMIT: commit, BASE: "ubuntu" });
    expect(run).toMatchObject({ exitCode: 1, stdout: "" });
    expect(run.stderr).toMatch(/is built here with base debian, not ubuntu: add --build/);
    expect(await s3.keys(keys.imagesPrefix(commit))).toEqual([]);
  });

  it("says what to do where nothing was built", async () => {
    const run = await release("publish", { COMMIT: newCommit() });
    expect(run.exitCode).toBe(1);
    expect(run.stderr).toMatch(/is not built here: add --build/);
  });

  it("uploads again where the server said yes and kept nothing", async () => {
    const commit = newCommit();
    await putBuilt(commit);
    let lied = false;
    const proxy = await interpose(s3.endpoint, (request, response) => {
      if (lied || request.method !== "POST" || !request.url!.includes("uploadId=")) return false;
      lied = true;
      response.writeHead(200, { "content-type": "application/xml" });
      response.end(
        "<CompleteMultipartUploadResult><ETag>&quot;x&quot;</ETag></CompleteMultipartUploadResult>",
      );
      return true;
    });
    const run = await release("publish", { COMMIT: commit, AWS_ENDPOINT_URL_S3: proxy.endpoint });
    proxy.stop();
    expect(lied).toBe(true);
    expect(result(run)).toMatchObject({ published: "now" });
    expect(await isStored(keys.disk(commit, arch))).toBe(true);
    expect(await s3.unfinishedUploads()).toEqual([]);
  });

  it("leaves no parts behind where the upload fails, and keeps what was built", async () => {
    const commit = newCommit();
    await putBuilt(commit);
    const proxy = await interpose(s3.endpoint, (request, response) => {
      if (!request.url!.includes("partNumber=3")) return false;
      response.writeHead(403).end();
      return true;
    });
    const run = await release("publish", { COMMIT: commit, AWS_ENDPOINT_URL_S3: proxy.endpoint });
    proxy.stop();
    expect(run.exitCode).toBe(1);
    expect(run.stderr).toMatch(/denies this/);
    expect(await s3.unfinishedUploads()).toEqual([]);
    expect(await s3.keys(keys.imagesPrefix(commit))).toEqual([]);
    expect(result(await release("publish", { COMMIT: commit }))).toMatchObject({ published: "now" });
  });

  /** Publishes through a proxy, and sends a signal as soon as the third part is on its way. */
  async function interrupted(
    commit: string,
    signal: NodeJS.Signals,
  ): Promise<Awaited<ReturnType<typeof release>>> {
    let held = false;
    const proxy = await interpose(s3.endpoint, (request) => {
      if (!request.url!.includes("partNumber=3")) return false;
      held = true;
      // Never answered: the part is under way when the signal comes.
      return signal === "SIGKILL";
    });
    const run = release("publish", { COMMIT: commit, AWS_ENDPOINT_URL_S3: proxy.endpoint });
    await until(() => held);
    run.kill(signal);
    const ended = await run;
    proxy.stop();
    return ended;
  }

  it("cleans up after SIGTERM: no parts, no zstd, exit code 143", async () => {
    const commit = newCommit();
    await putBuilt(commit);
    const run = await interrupted(commit, "SIGTERM");
    expect(run.exitCode).toBe(143);
    expect(await s3.unfinishedUploads()).toEqual([]);
    expect(await isStored(keys.manifest(commit, arch))).toBe(false);
    expect(await runningIn(root)).toEqual([]);
  });

  it("sweeps up, the next time, the parts that kill -9 left behind", async () => {
    const commit = newCommit();
    await putBuilt(commit);
    const run = await interrupted(commit, "SIGKILL");
    expect(run.signal).toBe("SIGKILL");
    expect(await s3.unfinishedUploads()).toEqual([keys.disk(commit, arch)]);
    await until(async () => (await runningIn(root)).length === 0);
    expect(result(await release("publish", { COMMIT: commit }))).toMatchObject({ published: "now" });
    expect(await s3.unfinishedUploads()).toEqual([]);
  });
});

describe("lint", () => {
  it("is one line of JSON and exit code 0 for a disk that is fit to be published", async () => {
    const file = path.join(root, "disk.qcow2");
    await writeFile(file, await makeDisk(1_000));
    const run = await release("lint", {}, file);
    expect(run).toMatchObject({ exitCode: 0, stderr: "" });
    expect(result(run)).toEqual({ disk: file, findings: [] });
  });

  it("is one line of JSON with the findings, and exit code 1, for one that is not", async () => {
    const file = path.join(root, "disk.qcow2");
    await writeFile(file, await makeDisk(1_000, "root/script"));
    const run = await release("lint", {}, file);
    expect(run.exitCode).toBe(1);
    expect(result(run)).toEqual({
      disk: file,
      findings: [{ rule: "leftover", path: "/root/script", what: "was left by the build" }],
    });
    expect(run.stderr).toBe(
      `error: ${file} holds what no image may hold: leftover /root/script (was left by the build)`,
    );
  });

  it("is one line on stderr for what cannot be read", async () => {
    const run = await release("lint", {}, path.join(root, "none.qcow2"));
    expect(run).toMatchObject({ exitCode: 1, stdout: "" });
    expect(run.stderr).toMatch(/^error: \S+none\.qcow2 cannot be read as an image's disk: [^\n]*$/);
  });
});

/** The commands of the processes that work in a folder. */
async function runningIn(folder: string): Promise<string[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(
    pids.map(async (pid) => {
      const [cwd, command] = await Promise.all([
        execa("readlink", [`/proc/${pid}/cwd`], { reject: false }),
        readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => ""),
      ]);
      return cwd.stdout === folder ? command.replaceAll("\0", " ") : "";
    }),
  );
  return lines.filter((line) => line !== "");
}

describe("build", () => {
  /** A checkout whose image/ is made by a Makefile; the tools only have to be there. */
  async function checkoutWith(
    recipe: string[],
  ): Promise<{ commit: string; environment: Record<string, string> }> {
    const tools = path.join(root, "tools");
    await mkdir(tools);
    for (const tool of ["packer", "qemu-system-x86_64", "qemu-img"])
      await writeFile(path.join(tools, tool), "#!/bin/sh\n", { mode: 0o755 });
    await mkdir(path.join(root, "image"));
    const rule = `${arch} ${arch}-host:\n${recipe.map((line) => `\t@${line}\n`).join("")}`;
    await writeFile(path.join(root, "image/Makefile"), rule);
    await execa("git", ["init", "--quiet"], { cwd: root });
    await execa("git", ["add", "image"], { cwd: root });
    const identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"];
    await execa("git", [...identity, "commit", "--quiet", "-m", "image"], { cwd: root });
    const { stdout: commit } = await execa("git", ["rev-parse", "HEAD"], { cwd: root });
    return { commit, environment: { PATH: `${tools}:${process.env.PATH}` } };
  }
  const facts = JSON.stringify(factsOf(arch));
  const makesDisk = [
    "mkdir -p build",
    "echo disk > build/ubuntu-x86_64.qcow2",
    `echo '${facts}' > build/ubuntu-x86_64.build.json`,
  ];

  it("builds the last commit of image/, and nothing the second time", async () => {
    const { commit, environment } = await checkoutWith([...makesDisk, "echo once >> ../../../times"]);
    const disk = path.join(buildDirectory(root, commit, arch), "image/build/ubuntu-x86_64.qcow2");
    expect(result(await release("build", environment))).toMatchObject({ path: disk, facts: { arch } });
    const second = await release("build", environment);
    expect(second.stderr).toMatch(/is built already/);
    expect(result(second)).toMatchObject({ path: disk });
    expect(await readFile(path.join(root, "times"), "utf8")).toBe("once\n");
  });

  it("leads with the build's own words where it fails, then names the log and shows its end", async () => {
    const { environment } = await checkoutWith([
      "echo a stage",
      "echo 'error: ubuntu-x86_64: KVM was demanded and does not run here' >&2; exit 1",
    ]);
    const run = await release("build", { ...environment, ACCELERATOR: "kvm" });
    expect(run).toMatchObject({ exitCode: 1, stdout: "" });
    expect(run.stderr).toMatch(
      /^error: ubuntu-x86_64: KVM was demanded and does not run here: make exited with 2; whole log: .*-build\.log$/m,
    );
    expect(run.stderr).toMatch(/^ {2}\| a stage$/m);
  });

  it("refuses a build that leaves no valid disk", async () => {
    const { environment } = await checkoutWith(["mkdir build; echo disk > build/ubuntu-x86_64.qcow2"]);
    const run = await release("build", environment);
    expect(run.exitCode).toBe(1);
    expect(run.stderr).toMatch(/left no valid ubuntu-x86_64\.qcow2 and ubuntu-x86_64\.build\.json/);
  });

  it.each<[NodeJS.Signals, object]>([
    ["SIGTERM", { exitCode: 143 }],
    ["SIGINT", { exitCode: 130 }],
    ["SIGKILL", { signal: "SIGKILL" }],
  ])("leaves no tool running after %s, and is refused to a second one until then", async (signal, ended) => {
    const { commit, environment } = await checkoutWith(["touch ../../../started; exec sleep 600"]);
    const first = release("build", environment);
    await until(() => readdir(root).then((names) => names.includes("started")));
    const folder = path.join(buildDirectory(root, commit, arch), "image");
    expect(await runningIn(folder)).not.toEqual([]);
    const second = await release("build", environment);
    expect(second.stderr).toMatch(/^error: a build of ubuntu-x86_64 .* is already running/m);
    first.kill(signal);
    expect(await first).toMatchObject(ended);
    await until(async () => (await runningIn(folder)).length === 0);
  });
});

describe("boot-test of what was booted elsewhere", () => {
  /** A published image, whose boot would fail: there is no CDN. */
  async function published(): Promise<{ commit: string; environment: Record<string, string> }> {
    const commit = newCommit();
    for (const [key, text] of imageObjects(commit, arch))
      if (key !== keys.bootRecord(commit, arch)) await store.create(key, text);
    const records = path.join(root, "records");
    return {
      commit,
      environment: { COMMIT: commit, IMAGES_URL: "http://127.0.0.1:9", BOOT_RECORDS: records },
    };
  }
  async function handOver(commit: string, changes: Partial<BootRecord> = {}): Promise<void> {
    const folder = path.join(root, "handed-over");
    await mkdir(folder, { recursive: true });
    const text = jsonText(bootRecordOf(commit, arch, changes));
    await writeFile(path.join(folder, bootRecordFile(arch)), text);
    const sums = `${createHash("sha256").update(text).digest("hex")}  ${keys.bootRecord(commit, arch)}`;
    await takeBootRecord({ commit, arch }, folder, sums, path.join(root, "records"));
  }

  it("stores the record that was handed over, in one line of result, and does not ask for it again", async () => {
    const { commit, environment } = await published();
    await handOver(commit);
    const first = await release("boot-test", environment);
    expect(first).toMatchObject({ exitCode: 0, stderr: "" });
    expect(result(first)).toEqual(bootRecordOf(commit, arch));
    expect((await store.get(keys.bootRecord(commit, arch)))!.text).toBe(jsonText(result(first)));
    await rm(path.join(root, "records"), { recursive: true });
    expect(await release("boot-test", environment)).toMatchObject({ exitCode: 0, stdout: first.stdout });
  });

  it("fails where that failed, and stores it under a key of its own", async () => {
    const { commit, environment } = await published();
    await handOver(commit, { result: "failed", reason: "kernel panic" });
    const run = await release("boot-test", environment);
    expect(run).toMatchObject({ exitCode: 1, stdout: "" });
    expect(run.stderr).toBe(
      `error: ubuntu-x86_64 of ${commit} failed its boot test: kernel panic (console: with the job that booted it)`,
    );
    expect(await isStored(keys.bootRecord(commit, arch))).toBe(false);
    expect(await s3.keys(`images/${commit}/ubuntu-x86_64.boot-failure-`)).toHaveLength(1);
  });

  it("boots nothing itself: without a record it refuses, in one line", async () => {
    const { commit, environment } = await published();
    const before = await s3.keys(keys.imagesPrefix(commit));
    const run = await release("boot-test", environment);
    expect(run).toMatchObject({ exitCode: 1, stdout: "" });
    expect(run.stderr).toMatch(/^error: ubuntu-x86_64 of \w{40} is not booted on this machine [^\n]*$/);
    expect(await s3.keys(keys.imagesPrefix(commit))).toEqual(before);
  });
});

describe("verify --deep", () => {
  /** What the CDN serves otherwise than the store, by key. */
  const served = new Map<string, (response: ServerResponse) => void>();
  let url: string;
  let server: Server;
  let commit: string;

  beforeAll(async () => {
    server = createServer((request, response) => {
      const key = request.url!.slice(1);
      const otherwise = served.get(key);
      if (otherwise !== undefined) return otherwise(response);
      void store.download(key).then((content) => content.pipe(response));
    });
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    commit = newCommit();
    const machine = await mkdtemp(path.join(tmpdir(), "runner-images-release-"));
    await putBuilt(commit, machine);
    expect(await releaseIn(machine, "publish", { COMMIT: commit })).toMatchObject({ exitCode: 0 });
    await rm(machine, { recursive: true });
  });
  afterAll(() => {
    server.closeAllConnections();
    server.close();
  });
  afterEach(() => served.clear());

  it("reads every object of an image from the CDN, too, and names each that differs from the store", async () => {
    expect(await findDamage(store, url, commit, [arch])).toEqual([]);
    const content = await s3.keys(keys.imagesPrefix(commit));
    for (const key of content) served.set(key, (response) => response.end("something else"));
    const problems = await findDamage(store, url, commit, [arch]);
    expect(problems).toHaveLength(content.length);
    for (const [index, key] of content.entries())
      expect(problems[index]).toMatch(new RegExp(`^${url}/${key} has the sha256 .*, but should have `));
  });

  it.each<[string, (response: ServerResponse) => unknown, RegExp]>([
    ["does not have", (response) => response.writeHead(404).end(), /answers 404$/],
    [
      "cuts short",
      (response) => response.writeHead(200).write("x", () => response.destroy()),
      /cannot be read/,
    ],
    [
      "encodes",
      (response) => response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync("x")),
      /Content-Encoding gzip$/,
    ],
  ])("names the disk that the CDN %s", async (_, answer, problem) => {
    served.set(keys.disk(commit, arch), (response) => void answer(response));
    expect(await findDamage(store, url, commit, [arch])).toEqual([expect.stringMatching(problem)]);
  });

  it("asks for the CDN's URL", async () => {
    const run = await release("verify", { COMMIT: commit }, "--deep");
    expect(run.exitCode).toBe(1);
    expect(run.stderr).toMatch(/^error: .*\(--url\)$/);
  });
});

describe("promote", () => {
  let cdn: { url: string; stop: () => void };

  beforeAll(async () => {
    cdn = await serveLatest();
  });
  afterAll(() => cdn.stop());

  /** A CDN without a cache. */
  async function serveLatest(): Promise<{ url: string; stop: () => void }> {
    const server = createServer((request: IncomingMessage, response: ServerResponse) => {
      void store.get(request.url!.slice(1)).then((stored) => {
        response.writeHead(stored === null ? 404 : 200).end(stored?.text);
      });
    });
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    return {
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      stop: () => {
        server.closeAllConnections();
        server.close();
      },
    };
  }

  async function putImage(commit: string): Promise<void> {
    for (const [key, text] of imageObjects(commit, arch)) await store.create(key, text);
  }

  function promoteByHand(commit: string, environment: Record<string, string> = {}) {
    return release("promote", { COMMIT: commit, ARCHITECTURES: arch, IMAGES_URL: cdn.url, ...environment });
  }

  it("lets exactly one of twenty writers have a number", async () => {
    const seq = ((await readLog(store, 1)).at(-1) ?? 0) + 1;
    const racers = Array.from({ length: 20 }, newCommit);
    const outcomes = await Promise.allSettled(racers.map((commit) => claim(store, { seq, commit })));
    const winners = racers.filter((_, index) => outcomes[index]!.status === "fulfilled");
    expect(winners).toEqual([(await readEntry(store, seq))!.commit]);
    for (const outcome of outcomes)
      if (outcome.status === "rejected")
        expect(String(outcome.reason)).toMatch(/another update moved the pointer: move \d+ to /);
    await settle(store);
  });

  it("loses no move of twenty that promote at once, and lets none wait for what no CDN will serve: each is told who won", async () => {
    const before = (await readLog(store, Infinity)).length;
    const racers = Array.from({ length: 20 }, newCommit);
    for (const commit of racers) await putImage(commit);
    let ended = 0;
    // A CDN whose cache is behind until all but one have ended.
    const behind = createServer((_, response) => {
      void store
        .get(keys.latest)
        .then((latest) => response.end(ended < racers.length - 1 ? `${"0".repeat(40)}\n` : latest!.text));
    });
    await new Promise<void>((listening) => behind.listen(0, "127.0.0.1", listening));
    const url = `http://127.0.0.1:${(behind.address() as AddressInfo).port}`;
    const context = { calendar: calendarOf([]), trust: null };
    const outcomes = await Promise.allSettled(
      racers.map(async (commit, index) => {
        const stack = `images/${index}`;
        try {
          for (;;) {
            const seq = nextSeq(await readPointer(store), commit);
            try {
              return await promote(store, { commit, seq, stack, architectures: [arch], url }, context);
            } catch (error) {
              // Until it has a number of its own.
              if (!String(error).includes("another update moved the pointer")) throw error;
            }
          }
        } finally {
          ended++;
        }
      }),
    );
    behind.closeAllConnections();
    behind.close();
    const log = await readLog(store, Infinity);
    expect(log).toEqual(log.map((_, index) => index + 1));
    const entries = await Promise.all(log.slice(before).map((seq) => readEntry(store, seq)));
    expect(entries.map((entry) => entry!.commit).sort()).toEqual([...racers].sort());
    const newest = entries.at(-1)!;
    expect(agrees(await readPointer(store), newest.commit)).toBe(true);
    const won = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value.commit] : []));
    expect(won).toEqual([newest.commit]);
    for (const outcome of outcomes)
      if (outcome.status === "rejected")
        expect(String(outcome.reason)).toMatch(
          /move \d+ to \w{40} was overtaken: the newest is move \d+ to \w{40} \(stack images\/\d+, /,
        );
  });

  it("moves, says so, and changes nothing when repeated", async () => {
    const commit = newCommit();
    await putImage(commit);
    const first = await promoteByHand(commit);
    expect(first).toMatchObject({ exitCode: 0 });
    expect(result(first)).toMatchObject({ commit });
    const count = (await readLog(store, Infinity)).length;
    expect(result(await promoteByHand(commit))).toEqual(result(first));
    expect(await readLog(store, Infinity)).toHaveLength(count);
  });

  it.each([
    ["before latest.json", "/latest.json"],
    ["between latest.json and latest", "/latest"],
  ])("is finished by the next where it was killed %s", async (_, place) => {
    const commit = newCommit();
    await putImage(commit);
    let held = false;
    const proxy = await interpose(s3.endpoint, (request) => {
      held ||= request.method === "PUT" && new URL(request.url!, s3.endpoint).pathname.endsWith(place);
      return held;
    });
    const seq = String(nextSeq(await readPointer(store), commit));
    const run = promoteByHand(commit, { SEQ: seq, AWS_ENDPOINT_URL_S3: proxy.endpoint });
    await until(() => held);
    run.kill("SIGKILL");
    await run;
    proxy.stop();
    expect(agrees(await readPointer(store), commit)).toBe(false);
    expect(await promoteByHand(commit, { SEQ: seq })).toMatchObject({ exitCode: 0 });
    expect(agrees(await readPointer(store), commit)).toBe(true);
    expect((await readLog(store, 1)).at(-1)).toBe(Number(seq));
  });

  it("is refused, with nothing changed, for an image that was never published", async () => {
    const before = await s3.keys();
    const run = await promoteByHand("d".repeat(40));
    expect(run).toMatchObject({ exitCode: 1, stdout: "" });
    expect(run.stderr).toMatch(/^error: d{40} cannot go live: image d{40} was never published$/);
    expect(await s3.keys()).toEqual(before);
  });
});

describe("a store in trouble is one line", () => {
  it.each([
    ["unreachable", { AWS_ENDPOINT_URL_S3: "http://127.0.0.1:9" }, /cannot be reached \(ECONNREFUSED\)/],
    ["with wrong credentials", { AWS_SECRET_ACCESS_KEY: "wrong" }, /refuses the credentials/],
    ["with an unknown key", { AWS_ACCESS_KEY_ID: "nobody" }, /refuses the credentials/],
    ["without the bucket", { BUCKET: "no-such-bucket" }, /bucket "no-such-bucket" at .* does not exist/],
  ])("%s", async (_, environment, message) => {
    const run = await release("status", environment);
    expect(run).toMatchObject({ exitCode: 1, stdout: "" });
    expect(run.stderr).toMatch(/^error: [^\n]*$/);
    expect(run.stderr).toMatch(message);
  });
});

describe("a wrong command line is one line and exit code 2", () => {
  it.each([
    ["an unknown verb", "publsh", [], /unknown command 'publsh'/],
    ["an unknown option", "status", ["--colour"], /unknown option '--colour'/],
    ["an unknown architecture", "publish", ["--arch", "arm64"], /Allowed choices are x86_64, aarch64/],
    ["a short commit", "verify", ["--commit", "abc"], /must be 40 lowercase hex/],
    [
      "a list with an unknown architecture",
      "verify",
      ["--architectures", "x86_64,arm"],
      /may hold only x86_64, aarch64/,
    ],
    ["a number that is none", "promote", ["--seq", "0"], /whole number from 1/],
    ["a URL that is none", "promote", ["--url", "images.example.com"], /must be a URL like/],
    ["a commit that is missing", "promote", [], /'--commit <hash>' not specified/],
  ])("%s", async (_, verb, args, message) => {
    const run = await release(verb, {}, ...args);
    expect(run).toMatchObject({ exitCode: 2, stdout: "" });
    expect(run.stderr).toMatch(/^error: [^\n]*$/);
    expect(run.stderr).toMatch(message);
  });
});
