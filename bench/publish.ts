/**
 * Publishing a disk: ours in one pass against upstream's sequence (`zstd -9`, then `sha256sum`, then `aws s3api put-object`), and against the
 * same with `aws s3 cp`, and with curl, which starts sooner and computes no checksum of what it sends: the same file, the same store, taken
 * in turns. Ours is `release publish` without its look at the disk (upload.ts).
 *
 * A yardstick beside it is a shell with our compressor and no other program: the hash at the same time, by OpenSSL, then curl. What it takes
 * of upstream's time says how much of ours is the compressor's. It is no bound: it does not send while it compresses.
 *
 * Promises: at most 0.45 of the time of each sequence (median), an object that is no larger, and at most 256 MiB of memory with the
 * compressor, whether the disk has 0.5, 1 or 10 GiB. That takes 15 GB of space in TMPDIR.
 *
 * Usage: tsx bench/publish.ts [disk.qcow2]
 * Default: a base image that `npm start` left in the cache, else 500 MB of this machine's own /usr.
 */
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { compression } from "../release/build/compress.js";
import { keys } from "../release/store/keys.js";
import { isOnPath } from "../release/process/tools.js";
import { say } from "../release/process/progress.js";
import { TestS3 } from "../test/engine/s3.js";
import { bundleStep } from "./bundle.js";
import { benchDisk, diskOfSize } from "./disk.js";
import { measure, sideOf, type Measured } from "./measure.js";
import { report, type BenchPromise } from "./result.js";

const rounds = 5;
const promised = { time: 0.45, mebibytes: 256 };
const gibibytes = [0.5, 1, 10];
const arch = "x86_64";

/** What upstream does, but for its upload. */
const inSequence = ['zstd -q -9 "$DISK" -o "$DISK.zst"', 'sha256sum "$DISK" > "$DISK.sha256"'];
/** The same with our compressor, both at once; Debian's sha256sum takes four times as long as OpenSSL. */
const atOnce = [
  'openssl dgst -sha256 "$DISK" > "$DISK.sha256" & hash=$!',
  `zstd -q ${compression.join(" ")} "$DISK" -o "$DISK.zst"`,
  "wait $hash",
];
const curl = [
  'curl -fsS -K - -T "$DISK.zst" -H "x-amz-content-sha256: UNSIGNED-PAYLOAD" "$AWS_ENDPOINT_URL_S3/$BUCKET/$KEY" <<EOF',
  'aws-sigv4 = "aws:amz:$AWS_REGION:s3"',
  'user = "$AWS_ACCESS_KEY_ID:$AWS_SECRET_ACCESS_KEY"',
  "EOF",
];
const awsPut = ['aws s3api put-object --bucket "$BUCKET" --key "$KEY" --body "$DISK.zst" > put-object.json'];
const awsCopy = ['aws s3 cp --only-show-errors "$DISK.zst" "s3://$BUCKET/$KEY"'];

const upload = await bundleStep("upload.ts");
const folder = await mkdtemp(path.join(tmpdir(), "runner-images-bench-"));
// The largest object has more parts than the server would keep otherwise.
const s3 = await TestS3.start({ sidecar: true });
// The older `aws` reads no AWS_REGION.
const environment = { ...s3.environment, AWS_DEFAULT_REGION: s3.environment["AWS_REGION"]! };
try {
  const disk = path.join(folder, "disk.qcow2");
  const origin = await benchDisk(disk, process.argv[2]);
  const aws = await awsVersion();
  if (aws === null) say("NOT COMPARED with `aws`: there is no aws here");

  const names = {
    curl: "`zstd -9`, `sha256sum`, `curl`",
    upstream: "`zstd -9`, `sha256sum`, `aws s3api put-object`",
    copy: "`zstd -9`, `sha256sum`, `aws s3 cp`",
    ours: "`release publish`",
    shell: "its compressor beside `openssl dgst`, `curl`",
  };
  const contestants = {
    [names.curl]: (run: number) => publishByShell(disk, [...inSequence, ...curl], run),
    ...(aws !== null && {
      [names.upstream]: (run: number) => publishByShell(disk, [...inSequence, ...awsPut], run),
      [names.copy]: (run: number) => publishByShell(disk, [...inSequence, ...awsCopy], run),
    }),
    [names.ours]: (run: number) => publishOurs(disk, run),
    [names.shell]: (run: number) => publishByShell(disk, [...atOnce, ...curl], run),
  };
  const sequences = [names.curl, ...(aws === null ? [] : [names.upstream, names.copy])];
  const runs = Object.fromEntries(Object.keys(contestants).map((name) => [name, [] as Published[]]));
  for (let round = 1; round <= rounds; round++)
    for (const [name, publish] of Object.entries(contestants)) {
      const run = await publish(round);
      runs[name]!.push(run);
      say(
        `round ${round} of ${rounds}: ${name} ${run.seconds.toFixed(1)} s, CPU ${run.cpuSeconds.toFixed(1)} s`,
      );
    }

  const bySize = [];
  for (const [index, size] of gibibytes.entries()) {
    const large = path.join(folder, "large.qcow2");
    await diskOfSize(disk, large, size * 1024 ** 3);
    bySize.push(sideOf(`${size} GiB`, [await publishOurs(large, rounds + 1 + index)]));
    await rm(large);
    say(`${size} GiB published`);
  }
  await report({
    name: "publish",
    title: "Publishing a disk",
    about: `\`release publish\`, which compresses, hashes and uploads in one pass, against upstream's sequence, without its look at the disk: upstream takes none. A disk of ${((await stat(disk)).size / 1e6).toFixed(1)} MB (${origin}), an S3 server on the same machine.`,
    comparisons: [
      {
        title: "publish a disk",
        sides: Object.entries(runs).map(([name, of]) => sideOf(name, of)),
        promises: [
          ...sequences.map((by) => inTime(names.ours, by, promised.time)),
          inTime(names.ours, names.shell, null),
          ...sequences.map((by) => inTime(names.shell, by, null)),
          { quantity: "cpuSeconds", of: names.ours, by: names.curl, atMost: null },
          { quantity: "megabytes", of: names.ours, by: names.curl, atMost: 1 },
          { quantity: "mebibytes", of: names.ours, by: null, atMost: promised.mebibytes },
        ],
      },
      {
        title: "publish disks of other sizes",
        sides: bySize,
        promises: bySize.map(({ name }) => ({
          quantity: "mebibytes",
          of: name,
          by: null,
          atMost: promised.mebibytes,
        })),
      },
    ],
    notes: [
      aws === null
        ? "**Not compared with upstream's `aws`**: there was no `aws` on the machine."
        : `\`aws\` is ${aws}, as it is when it is installed.`,
      "The disks of other sizes are copies of the first with other bytes every 64 KiB, one run each.",
    ],
  });
} finally {
  await s3.stop();
  await rm(folder, { recursive: true, force: true });
}

function inTime(of: string, by: string, atMost: number | null): BenchPromise {
  return { quantity: "seconds", of, by, atMost };
}

interface Published extends Measured {
  /** Of the object. */
  bytes?: number;
}

/** "aws-cli/1.45.11"; null where there is none. */
async function awsVersion(): Promise<string | null> {
  if (!(await isOnPath("aws"))) return null;
  const { stdout } = await execa("aws", ["--version"]);
  return stdout.split(" ")[0]!;
}

/** A commit of its own for each run, since objects are create-only. */
function commitOf(run: number): string {
  return String(run).padStart(40, "0");
}

async function publishOurs(disk: string, run: number): Promise<Published> {
  const commit = commitOf(run);
  const measured = await measure("node", [upload, disk, commit], { cwd: folder, env: environment }, s3.pid);
  return { ...measured, bytes: await takeObject(keys.disk(commit, arch)) };
}

/** @param lines leave "$DISK.zst" and "$DISK.sha256", and the object "$KEY" */
async function publishByShell(disk: string, lines: string[], run: number): Promise<Published> {
  const key = `shell/${run}.qcow2.zst`;
  const script = [...lines, 'rm "$DISK.zst" "$DISK.sha256"'].join("\n");
  const env = { ...environment, DISK: disk, KEY: key };
  const measured = await measure("sh", ["-ec", script], { cwd: folder, env }, s3.pid);
  return { ...measured, bytes: await takeObject(key) };
}

async function takeObject(key: string): Promise<number> {
  const bytes = await s3.bytesOf(key);
  await s3.delete(key);
  return bytes;
}
