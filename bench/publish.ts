/**
 * Publishing a disk: ours in one pass against upstream's sequence (`zstd -9`, then `sha256sum`, then one PUT), the same file, the
 * same store, taken in turns. Ours is `release publish` without its look at the disk (upload.ts). Promises: at most 0.55 of the time
 * (median), an object that is no larger, at most 350 MiB of memory with the compressor, and no more for a file ten times as large.
 *
 * Usage: tsx bench/publish.ts [disk.qcow2]
 * Default: a base image that `npm start` left in the cache, else 500 MB of this machine's own /usr.
 */
import { appendFile, cp, mkdtemp, open, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { platformPaths } from "../local/paths.js";
import { keys } from "../release/store/keys.js";
import { say } from "../release/process/progress.js";
import { TestS3 } from "../test/engine/s3.js";
import { report, type Side } from "./result.js";

const rounds = 3;
const promised = { time: 0.55, memory: 350 * 1024 ** 2, memoryGrowth: 1.1 };
const sampleBytes = 500_000_000;
const arch = "x86_64";

const folder = await mkdtemp(path.join(tmpdir(), "runner-images-bench-"));
const s3 = await TestS3.start();
const environment = s3.environment;
try {
  const disk = path.join(folder, "disk.qcow2");
  const given = process.argv[2] ?? (await cachedDisk());
  if (given === undefined) await sampleDisk(disk);
  else await cp(given, disk);
  say(`disk: ${given ?? "of /usr"}`);

  const upstream: Measured[] = [];
  const ours: Measured[] = [];
  for (let round = 1; round <= rounds; round++) {
    upstream.push(await publishLikeUpstream(disk, round));
    ours.push(await publishOurs(disk, round));
    say(`round ${round} of ${rounds}`);
  }
  const large = path.join(folder, "large.qcow2");
  await tenfold(disk, large);
  const ourLarge = await publishOurs(large, rounds + 1);

  const [theirs, own, tenfoldOwn] = [
    "`zstd -9`, `sha256sum`, PUT",
    "`release publish`",
    "`release publish`, ten times the size",
  ] as const;
  await report({
    name: "publish",
    title: "Publishing a disk",
    about: `Upstream's sequence against \`release publish\`, which does it in one pass, without its look at the disk: upstream takes none. A disk of ${megabytes((await stat(disk)).size)} MB${given === undefined ? " out of /usr" : ""}, an S3 server on the same machine.`,
    comparisons: [
      {
        title: "publish a disk",
        sides: [side(theirs, upstream), side(own, ours), side(tenfoldOwn, [ourLarge])],
        promises: [
          { quantity: "seconds", of: own, by: theirs, atMost: promised.time },
          { quantity: "megabytes", of: own, by: theirs, atMost: 1 },
          { quantity: "mebibytes", of: tenfoldOwn, by: own, atMost: promised.memoryGrowth },
          { quantity: "mebibytes", of: own, by: null, atMost: promised.memory / 1024 ** 2 },
          { quantity: "mebibytes", of: tenfoldOwn, by: null, atMost: promised.memory / 1024 ** 2 },
        ],
      },
    ],
    notes: [],
  });
} finally {
  await s3.stop();
  await rm(folder, { recursive: true, force: true });
}

interface Measured {
  seconds: number;
  /** Of the object. */
  bytes: number;
  /** Peak of all processes together, bytes. */
  memory: number;
}

/** A commit of its own for each run, since objects are create-only. */
function commitOf(run: number): string {
  return String(run).padStart(40, "0");
}

async function publishOurs(disk: string, run: number): Promise<Measured> {
  const commit = commitOf(run);
  const upload = path.join(import.meta.dirname, "upload.ts");
  const measured = await measure("node", ["--import", import.meta.resolve("tsx"), upload, disk, commit]);
  return { ...measured, bytes: await takeObject(keys.disk(commit, arch)) };
}

async function publishLikeUpstream(disk: string, run: number): Promise<Measured> {
  const key = `upstream/${run}.qcow2.zst`;
  const script = [
    'zstd -q -9 "$DISK" -o "$DISK.zst"',
    'sha256sum "$DISK" > "$DISK.sha256"',
    // curl is quicker than upstream's `aws s3api put-object`, in our disfavour.
    `curl -fsS -K - -T "$DISK.zst" -H "x-amz-content-sha256: UNSIGNED-PAYLOAD" "$AWS_ENDPOINT_URL_S3/$BUCKET/${key}" <<EOF`,
    'aws-sigv4 = "aws:amz:$AWS_REGION:s3"',
    'user = "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"',
    "EOF",
    'rm "$DISK.zst" "$DISK.sha256"',
  ];
  const measured = await measure("sh", ["-ec", script.join("\n")], { DISK: disk });
  return { ...measured, bytes: await takeObject(key) };
}

async function takeObject(key: string): Promise<number> {
  const bytes = await s3.bytesOf(key);
  await s3.delete(key);
  return bytes;
}

async function measure(
  command: string,
  args: string[],
  env: Record<string, string> = {},
): Promise<Omit<Measured, "bytes">> {
  const start = performance.now();
  const child = execa(command, args, {
    cwd: folder,
    env: { ...environment, ...env },
    stdio: ["ignore", "ignore", "inherit"],
  });
  let memory = 0;
  // Not more often: looking costs time, which the one that uses all cores would pay alone.
  const sampling = setInterval(() => {
    void residentMemory(child.pid!).then((bytes) => (memory = Math.max(memory, bytes)));
  }, 200);
  try {
    await child;
  } finally {
    clearInterval(sampling);
  }
  return { seconds: (performance.now() - start) / 1000, memory };
}

/** Resident memory of a process and all its descendants, in bytes. Pages they share count for each, in our disfavour. */
async function residentMemory(pid: number): Promise<number> {
  try {
    const status = await readFile(`/proc/${pid}/status`, "utf8");
    const own = Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
    const tasks = await readdir(`/proc/${pid}/task`);
    const children = await Promise.all(
      tasks.map((task) => readFile(`/proc/${pid}/task/${task}/children`, "utf8")),
    );
    const pids = children
      .join(" ")
      .split(/\s+/)
      .filter((text) => text !== "");
    const below = await Promise.all(pids.map((child) => residentMemory(Number(child))));
    return below.reduce((sum, bytes) => sum + bytes, own);
  } catch {
    // It has just ended.
    return 0;
  }
}

/** A base image as builds start from, see image/. */
async function cachedDisk(): Promise<string | undefined> {
  const { cache } = platformPaths();
  const names = await readdir(cache).catch(() => []);
  const name = names.find((name) => name.endsWith(`${arch}.qcow2`));
  return name === undefined ? undefined : path.join(cache, name);
}

async function sampleDisk(file: string): Promise<void> {
  await execa("sh", [
    "-c",
    `tar -cf - -C /usr bin lib share 2>/dev/null | head -c ${sampleBytes} > "$0"`,
    file,
  ]);
}

/** Ten copies, each with other bytes every 64 KiB, so that no copy is found in the one before. */
async function tenfold(from: string, to: string): Promise<void> {
  const source = await open(from);
  try {
    for (let copy = 0; copy < 10; copy++) {
      for await (const chunk of source.createReadStream({
        start: 0,
        autoClose: false,
        highWaterMark: 65_536,
      })) {
        const changed = Buffer.from(chunk as Buffer);
        changed.writeUInt8(copy);
        await appendFile(to, changed);
      }
    }
  } finally {
    await source.close();
  }
}

function side(name: string, runs: Measured[]): Side {
  return {
    name,
    rounds: {
      seconds: runs.map(({ seconds }) => seconds),
      megabytes: runs.map(({ bytes }) => bytes / 1e6),
      mebibytes: runs.map(({ memory }) => memory / 1024 ** 2),
    },
  };
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(1);
}
