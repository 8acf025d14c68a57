import { createHash, createPublicKey, verify } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { crc32 } from "node:zlib";
import {
  GetObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  type S3Client,
} from "@aws-sdk/client-s3";
import { execa } from "execa";

/*
 * What has to be true after a fault, looked at without any code of release/: objects through the SDK, files and processes as they are.
 */

/** One line for each thing that is wrong. */
export interface Findings {
  /** Where the pointer or its log names what is not proven, or is no log. */
  pointers: string[];
  /** Objects that are not what their set says. */
  objects: string[];
  /** Processes, files, locks and uploads that a run without a fault does not leave. */
  leftovers: string[];
}

export function nothing(): Findings {
  return { pointers: [], objects: [], leftovers: [] };
}

interface StoredObject {
  bytes: Buffer;
  storedAt: Date;
}
type Bucket = Map<string, StoredObject>;

export async function readBucket(client: S3Client, bucket: string): Promise<Bucket> {
  const { Contents = [], IsTruncated } = await client.send(new ListObjectsV2Command({ Bucket: bucket }));
  if (IsTruncated) throw new Error("more objects than a test makes");
  const objects = await Promise.all(
    Contents.map(async ({ Key, LastModified }): Promise<[string, StoredObject]> => {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key }));
      return [Key!, { bytes: Buffer.from(await Body!.transformToByteArray()), storedAt: LastModified! }];
    }),
  );
  return new Map(objects);
}

export async function unfinishedUploads(client: S3Client, bucket: string): Promise<string[]> {
  const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
  return Uploads.map(({ Key, UploadId }) => `unfinished upload ${UploadId} of ${Key}`);
}

/**
 * @param publicKey of the platform, in PEM
 * @param live the commit that has to be live; undefined: whichever was, or is about to be
 */
export async function auditBucket(bucket: Bucket, publicKey: string, live?: string): Promise<Findings> {
  const found = nothing();
  const commits = new Set(
    [...bucket.keys()].flatMap((key) => /^images\/([0-9a-f]{40})\//.exec(key)?.[1] ?? []),
  );
  const sets = new Map<string, { lacks: string[]; newest: Date }>();
  for (const commit of commits) {
    const { wrong, lacks, newest } = await auditSet(bucket, commit, publicKey);
    found.objects.push(...wrong.map((line) => `${commit}: ${line}`));
    sets.set(commit, { lacks: [...lacks, ...wrong], newest });
  }
  const unproven = (commit: string, by?: Date): string[] => {
    const set = sets.get(commit);
    if (set === undefined) return ["was never published"];
    if (by !== undefined && set.newest > by) return ["was completed after it had become live"];
    return set.lacks;
  };

  const log = [...bucket.keys()].filter((key) => key.startsWith("pointer/")).sort();
  // What `latest` named before a move: a move that was cut off before it got so far leaves that as it was.
  let before: (string | null)[] = [null];
  log.forEach((key, index) => {
    const seq = index + 1;
    if (key !== `pointer/${String(seq).padStart(8, "0")}.json`)
      found.pointers.push(`${key} is not move ${seq}: a gap`);
    const { bytes, storedAt } = bucket.get(key)!;
    const move = parse(bytes);
    const commit = String(move["commit"]);
    const previous = move["previous"] as string | null;
    if (move["seq"] !== seq || !before.includes(previous))
      found.pointers.push(
        `${key} is move ${String(move["seq"])} from ${previous}, not ${seq} from ${before.join(" or ")}`,
      );
    for (const line of unproven(commit, storedAt)) found.pointers.push(`${key} names ${commit}: ${line}`);
    before = [commit, previous];
  });
  const copy = bucket.get("latest.json")?.bytes;
  if (copy !== undefined && !log.some((key) => bucket.get(key)!.bytes.equals(copy)))
    found.pointers.push("latest.json is no move of the log");
  const latest = bucket.get("latest")?.bytes.toString();
  if (latest !== undefined && !/^[0-9a-f]{40}\n$/.test(latest))
    found.pointers.push(`latest is ${JSON.stringify(latest)}`);
  else if (latest !== undefined)
    for (const line of unproven(latest.trim())) found.pointers.push(`latest names ${latest.trim()}: ${line}`);
  if (live !== undefined) {
    if (latest !== `${live}\n`) found.pointers.push(`latest is ${latest}, not ${live}`);
    if (before[0] !== live) found.pointers.push(`the log ends with ${before[0]}, not ${live}`);
    if (copy === undefined || !copy.equals(bucket.get(log.at(-1) ?? "")?.bytes ?? Buffer.alloc(0)))
      found.pointers.push("latest.json is not the last move of the log");
  }
  found.objects.push(...auditPage(bucket, log));
  return found;
}

/** The page may be behind, as trouble with it stops no move; what there is of it is whole, and of a move that was made. */
function auditPage(bucket: Bucket, log: string[]): string[] {
  const wrong: string[] = [];
  for (const [key, { bytes }] of bucket) {
    if (!/^(index\.html|feed\.atom|moves\/\d+\.html)$/.test(key)) continue;
    const text = bytes.toString();
    const end = key.endsWith(".atom") ? "</feed>\n" : "</html>\n";
    const moves = [...text.matchAll(/(?:move-|pointer\/0*)(\d+)/g)].map(([, seq]) => Number(seq));
    if (!text.endsWith(end)) wrong.push(`${key} is not whole`);
    if (moves.some((seq) => seq < 1 || seq > log.length))
      wrong.push(`${key} tells of moves that were never made`);
  }
  return wrong;
}

/** @returns what is wrong for good, and what is not there yet */
async function auditSet(
  bucket: Bucket,
  commit: string,
  publicKey: string,
): Promise<{ wrong: string[]; lacks: string[]; newest: Date }> {
  const name = (suffix: string) => `images/${commit}/ubuntu-x86_64${suffix}`;
  const get = (suffix: string) => bucket.get(name(suffix))?.bytes;
  const wrong: string[] = [];
  const lacks: string[] = [];
  const newest = new Date(
    Math.max(
      ...[...bucket]
        .filter(([key]) => key.startsWith(`images/${commit}/`))
        .map(([, { storedAt }]) => storedAt.getTime()),
    ),
  );
  const known =
    /^(\.qcow2\.zst|\.qcow2\.sha256|\.json|\.cdx\.json|\.boot\.json|\.boot-failure-\w+\.json|\.[0-9a-f]{64}\.sigstore\.json|\.from-[0-9a-f]{40}\.[0-9a-f]{64}\.delta\.zst)$/;
  for (const key of bucket.keys())
    if (key.startsWith(`images/${commit}/`) && !known.test(key.slice(name("").length)))
      wrong.push(`${key} is unknown`);

  const archive = get(".qcow2.zst");
  const compressed = archive && { bytes: archive.length, sha256: sha256(archive), crc32: s3Crc32(archive) };
  const disk = archive && (await diskIn(archive, compressed!.sha256));
  if (archive === undefined) lacks.push("no disk");
  else if (disk === null) wrong.push("the disk does not decompress");
  else {
    if (!disk!.end.includes(`"commit": "${commit}"`)) wrong.push("the disk is not that of this commit");
    const attestation = get(`.${disk!.sha256}.sigstore.json`);
    const why =
      attestation === undefined ? "is missing" : auditAttestation(attestation, disk!.sha256, publicKey);
    // It is stored before the disk.
    if (why !== null) wrong.push(`the disk's attestation ${why}`);
  }
  const said = get(".qcow2.sha256")?.toString();
  if (said === undefined) lacks.push("no sha256");
  else if (said !== `${disk?.sha256}\n`) wrong.push("sha256 is not that of the disk");

  const manifest = parse(get(".json"));
  const sbom = get(".cdx.json");
  if (get(".json") === undefined) lacks.push("no manifest");
  else {
    const expected = {
      commit,
      arch: "x86_64",
      compressed: { key: name(".qcow2.zst"), ...compressed },
      disk: { bytes: disk?.bytes, sha256: disk?.sha256 },
      sbom: { key: name(".cdx.json"), bytes: sbom?.length, sha256: sbom && sha256(sbom) },
    };
    for (const [field, value] of Object.entries(expected))
      if (JSON.stringify(manifest[field]) !== JSON.stringify(value))
        wrong.push(
          `the manifest says ${field} ${JSON.stringify(manifest[field])}, not ${JSON.stringify(value)}`,
        );
    for (const { key, bytes, sha256: hash } of (manifest["deltas"] ?? []) as Record<string, string>[]) {
      const delta = bucket.get(key!)?.bytes;
      if (delta === undefined || delta.length !== Number(bytes) || sha256(delta) !== hash)
        wrong.push(`${key} is not what the manifest says`);
    }
    if (said === undefined) wrong.push("a manifest, but no sha256");
  }
  const boot = parse(get(".boot.json"));
  if (get(".boot.json") === undefined) lacks.push("no boot record");
  else if (boot["result"] !== "passed" || boot["diskSha256"] !== disk?.sha256)
    wrong.push("the boot record is not of a pass of this disk");
  return { wrong, lacks, newest };
}

/** https://github.com/secure-systems-lab/dsse/blob/master/protocol.md. @returns what is wrong; null: nothing */
function auditAttestation(bundle: Buffer, diskSha256: string, publicKey: string): string | null {
  const { payload, payloadType, signatures } = parse(bundle)["dsseEnvelope"] as {
    payload: string;
    payloadType: string;
    signatures: { sig: string }[];
  };
  const body = Buffer.from(payload, "base64");
  const signed = Buffer.concat([
    Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${body.length} `),
    body,
  ]);
  const signature = Buffer.from(signatures[0]?.sig ?? "", "base64");
  if (!verify("sha256", signed, createPublicKey(publicKey), signature))
    return "is not signed by this platform";
  return body.toString().includes(diskSha256) ? null : "is of another disk";
}

/** What the CDN serves that is not what is stored. */
export async function auditCdn(url: string, bucket: Bucket): Promise<string[]> {
  const wrong: string[] = [];
  for (const [key, { bytes }] of bucket) {
    const answer = await fetch(`${url}/${key}`);
    const served = Buffer.from(await answer.arrayBuffer());
    if (!answer.ok || !served.equals(bytes))
      wrong.push(
        `the CDN serves ${key} as ${answer.status} with ${served.length} bytes that are not those stored`,
      );
  }
  return wrong;
}

/** Where what is there is looked at otherwise (stored objects), keeps a record of each run by design, or is not of a run. */
const elsewhere =
  /^(repository\/(\.git\/objects|node_modules|build\/logs|\.local\/(tools|logs|store|cdn|pulumi-home|state\/\.pulumi\/(history|backups|meta))|npm-logs)|tmp\/(tsx-|node-compile-cache))/;

/** All that is in a world's folder, without what differs between runs: commits, numbers, times. */
export async function listFiles(folder: string): Promise<string[]> {
  const found: string[] = [];
  const walk = async (at: string): Promise<void> => {
    for (const entry of await readdir(path.join(folder, at), { withFileTypes: true })) {
      const name = path.join(at, entry.name);
      if (elsewhere.test(name)) continue;
      found.push(name);
      if (entry.isDirectory()) await walk(name);
    }
  };
  await walk("");
  return found;
}

/** The name without the commit in it. */
export function withoutCommit(file: string): string {
  return file.replaceAll(/[0-9a-f]{40}/g, "<commit>");
}

/** Locks that somebody holds: flock(1) gets the others. */
export async function heldLocks(folder: string, files: string[]): Promise<string[]> {
  const held: string[] = [];
  for (const file of files.filter((name) => name.endsWith(".lock"))) {
    const { exitCode } = await execa("flock", ["--nonblock", path.join(folder, file), "true"], {
      reject: false,
    });
    if (exitCode !== 0) held.push(`${file} is held`);
  }
  return held;
}

/** That a host has the image which the bucket has. */
export async function auditHost(file: string, bucket: Bucket, commit: string): Promise<string[]> {
  const disk = await readFile(file).catch(() => undefined);
  const said = bucket.get(`images/${commit}/ubuntu-x86_64.qcow2.sha256`)?.bytes.toString().trim();
  return disk !== undefined && sha256(disk) === said ? [] : [`${file} is not what was published`];
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/API_Checksum.html: base64 of the big-endian number. */
function s3Crc32(bytes: Buffer): string {
  const number = Buffer.alloc(4);
  number.writeUInt32BE(crc32(bytes));
  return number.toString("base64");
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

interface InnerDisk {
  bytes: number;
  sha256: string;
  /** Its last line, in which the fake image says what it was built of. */
  end: string;
}
/** By the archive's sha256: most runs have the same ones. */
const disks = new Map<string, Promise<InnerDisk | null>>();

/** Null: it is damaged. */
function diskIn(archive: Buffer, digest: string): Promise<InnerDisk | null> {
  const known = disks.get(digest) ?? decompress(archive);
  disks.set(digest, known);
  return known;
}

async function decompress(archive: Buffer): Promise<InnerDisk | null> {
  const { stdout, failed } = await execa("zstd", ["-d", "-q", "-c", "--long=27"], {
    input: archive,
    encoding: "buffer",
    stripFinalNewline: false,
    maxBuffer: 256 * 1024 * 1024,
    reject: false,
  });
  if (failed) return null;
  const disk = Buffer.from(stdout);
  return {
    bytes: disk.length,
    sha256: sha256(disk),
    end: disk.subarray(-1024).toString().trim().split("\n").at(-1)!,
  };
}

function parse(bytes: Buffer | undefined): Record<string, unknown> {
  try {
    return JSON.parse(bytes?.toString() ?? "") as Record<string, unknown>;
  } catch {
    return {};
  }
}
