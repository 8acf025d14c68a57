/**
 * Fetching an image as a host does, against the same in a shell: the download, the disk, its hash, and all of it on the drive. And against
 * `curl | zstd -d | sha256sum` alone, which keeps nothing: what the two pipes differ by is what a kept disk costs, whoever keeps it. The
 * same object from the same nginx, in turns. Promises: at most 1.0 of the time and CPU time of the first, and after a kill at half of the
 * download no more than the other half (and 1 MB of what was under way).
 *
 * Usage: tsx bench/fetch.ts [disk.qcow2]
 * Default: as in bench/publish.ts
 */
import { createWriteStream, statSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir, userInfo } from "node:os";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { execa } from "execa";
import getPort from "get-port";
import { checkout } from "../local/paths.js";
import { which } from "../local/which.js";
import { compressDisk } from "../release/build/compress.js";
import { say } from "../release/process/progress.js";
import { keys } from "../release/store/keys.js";
import { jsonText } from "../release/store/store.js";
import { until } from "../test/engine/s3.js";
import { manifestOf } from "../test/unit/release/memory-store.js";
import { benchDisk } from "./disk.js";
import { measure, sideOf, type Measured } from "./measure.js";
import { report } from "./result.js";

const rounds = 9;
const arch = "x86_64";
const commit = "1".repeat(40);
const folder = await mkdtemp(path.join(tmpdir(), "runner-images-bench-"));
const served = path.join(folder, "served");
const log = path.join(folder, "access.log");

const disk = path.join(folder, "disk.qcow2");
const origin = await benchDisk(disk, process.argv[2]);
const object = await publishInto(served);
const { url, stop } = await serve();
try {
  const names = {
    pipe: "`curl | zstd -d | sha256sum`",
    shell: "`curl | tee | zstd -d | tee | sha256sum`, `sync`",
    ours: "`release fetch`",
  };
  // Puts the program together, which no later start has to.
  await execa("node", [path.join(checkout, "release", "main.mjs"), "--help"], { cwd: checkout });
  const get = `set -o pipefail; curl -fsS ${url}/${object.key}`;
  const scripts = {
    pipe: `${get} | zstd -d -q | sha256sum`,
    shell: `${get} | tee disk.zst.part | zstd -d -q | tee disk.part | sha256sum; sync disk.part; mv disk.part fetched.qcow2; rm disk.zst.part`,
  };
  const runs: Record<keyof typeof names, Measured[]> = { pipe: [], shell: [], ours: [] };
  for (let round = 1; round <= rounds; round++) {
    for (const way of ["pipe", "shell"] as const)
      runs[way].push(await measure("bash", ["-c", scripts[way]], { cwd: folder }));
    runs.ours.push(await measure(...command(path.join(folder, `fetched-${round}`)), { cwd: checkout }));
    await rm(path.join(folder, `fetched-${round}`), { recursive: true });
    await rm(path.join(folder, "fetched.qcow2"));
    say(`round ${round} of ${rounds}`);
  }
  const again = await afterKillAtHalf();
  await report({
    name: "fetch",
    title: "Fetching an image",
    about: `What a host runs, against the same in a shell, which keeps the disk, too, but nothing of a download that is cut, and asks nobody whether the hash is right; and against the pipe that keeps nothing at all. The disk has ${megabytes((await stat(disk)).size)} MB (${origin}), its object ${megabytes(object.bytes)} MB, from nginx on the same machine.`,
    comparisons: [
      {
        title: "fetch an image",
        sides: Object.entries(names).map(([way, name]) => sideOf(name, runs[way as keyof typeof names])),
        promises: [
          { quantity: "seconds", of: names.ours, by: names.shell, atMost: 1 },
          { quantity: "cpuSeconds", of: names.ours, by: names.shell, atMost: 1 },
          { quantity: "seconds", of: names.ours, by: names.pipe, atMost: null },
          { quantity: "cpuSeconds", of: names.ours, by: names.pipe, atMost: null },
          { quantity: "seconds", of: names.shell, by: names.pipe, atMost: null },
          { quantity: "cpuSeconds", of: names.shell, by: names.pipe, atMost: null },
        ],
      },
      {
        title: "downloaded again after a kill at half",
        sides: [
          { name: names.shell, rounds: { megabytes: [object.bytes / 1e6] } },
          { name: names.ours, rounds: { megabytes: [again / 1e6] } },
        ],
        promises: [{ quantity: "megabytes", of: names.ours, by: null, atMost: object.bytes / 2e6 + 1 }],
      },
    ],
    notes: [],
  });
} finally {
  await stop();
  await rm(folder, { recursive: true, force: true });
}

function command(directory: string): [string, string[]] {
  const options = ["--commit", commit, "--arch", arch, "--url", url, "--directory", directory];
  return ["node", [path.join(checkout, "release", "main.mjs"), "fetch", ...options]];
}

/** Kills a fetch as soon as half of the object is there. @returns the bytes of it that the next one downloads */
async function afterKillAtHalf(): Promise<number> {
  const directory = path.join(folder, "killed");
  const part = path.join(directory, commit, `ubuntu-${arch}.qcow2.zst.part`);
  await writeFile(log, "");
  const child = execa(...command(directory), { cwd: checkout, stdio: "ignore", reject: false });
  const watching = setInterval(() => {
    if ((statSync(part, { throwIfNoEntry: false })?.size ?? 0) >= object.bytes / 2) child.kill("SIGKILL");
  }, 1);
  const { signal } = await child;
  clearInterval(watching);
  if (signal !== "SIGKILL") throw new Error("it was done before it could be killed");
  // nginx writes a request down once it has noticed its end, and that one does not count.
  await until(async () => (await sentBytes()).length > 0);
  await writeFile(log, "");
  await execa(...command(directory), { cwd: checkout });
  return (await sentBytes()).reduce((sum, bytes) => sum + bytes, 0);
}

/** Of the object, by the requests in the log. */
async function sentBytes(): Promise<number[]> {
  return (await readFile(log, "utf8"))
    .split("\n")
    .filter((line) => line.startsWith(`/${object.key} `))
    .map((line) => Number(line.split(" ")[1]));
}

/** What the CDN would serve of one image. */
async function publishInto(root: string): Promise<{ key: string; bytes: number }> {
  const key = keys.disk(commit, arch);
  await mkdir(path.dirname(path.join(root, key)), { recursive: true });
  const { chunks, digests } = compressDisk(disk, () => undefined);
  await pipeline(chunks, createWriteStream(path.join(root, key)));
  const { disk: inner, compressed } = digests();
  const record = {
    ...manifestOf(commit, arch),
    compressed: { key, ...compressed },
    disk: inner,
  };
  await writeFile(path.join(root, keys.manifest(commit, arch)), jsonText(record));
  await writeFile(path.join(root, keys.diskSha256(commit, arch)), `${inner.sha256}\n`);
  return { key, bytes: compressed.bytes };
}

/** nginx with nothing behind it, which sends files as they are. */
async function serve(): Promise<{ url: string; stop: () => Promise<void> }> {
  const nginx = await which("nginx");
  if (nginx === undefined) throw new Error("nginx is missing: npm start sets up this machine");
  const port = await getPort({ host: "127.0.0.1" });
  const file = path.join(folder, "nginx.conf");
  const user = userInfo().username;
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  await writeFile(
    file,
    `daemon off; worker_processes 1; pid nginx.pid; error_log error.log;
${process.getuid?.() === 0 ? `user ${user} ${user};` : ""}
events { worker_connections 64; }
http {
  ${temporary.map((name) => `${name}_temp_path ${name};`).join(" ")}
  log_format bytes "$uri $body_bytes_sent";
  access_log ${log} bytes;
  sendfile on;
  server { listen 127.0.0.1:${port}; root ${served}; }
}
`,
  );
  const server = execa(
    "setpriv",
    ["--pdeathsig", "TERM", nginx, "-p", `${folder}/`, "-c", file, "-e", "error.log"],
    { stdio: "ignore", reject: false },
  );
  const url = `http://127.0.0.1:${port}`;
  await until(() =>
    fetch(url).then(
      () => true,
      () => false,
    ),
  );
  return {
    url,
    stop: async () => {
      server.kill();
      await server;
    },
  };
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
