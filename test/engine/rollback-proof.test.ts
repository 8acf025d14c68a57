import { generateKeyPairSync } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { format, resolveConfig } from "prettier";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkout } from "../../local/paths.js";
import { signStatement } from "../../release/attest/bundle.js";
import { makeStatement } from "../../release/attest/statement.js";
import { keys } from "../../release/store/keys.js";
import type { BootRecord, Manifest } from "../../release/store/records.js";
import { jsonText } from "../../release/store/store.js";
import { bootRecordOf, manifestOf } from "../unit/release/memory-store.js";
import { interpose } from "./s3.js";
import { World } from "./world.js";

/*
 * What a pull request's preview says of a rollback to an image that is not what it was: the real engine and program on a real S3
 * server. The table in docs/rollback-proof.md is what these tests saw.
 */

const arch = "x86_64";
const target = "e".repeat(40);
const other = "d".repeat(40);
const page = path.join(checkout, "docs", "rollback-proof.md");
const renewing = "npx vitest run --project engine rollback-proof --update";

const disk = keys.disk(target, arch);
const sha256 = keys.diskSha256(target, arch);
const manifest = keys.manifest(target, arch);
const sbom = keys.sbom(target, arch);
const boot = keys.bootRecord(target, arch);

let world: World;
let live: string;
/** Of the disk that every copy of the image has. */
let hash: string;
let attestation: string;

/** Makes the target what it should not be. @returns what has to be undone, beside the target's objects, which all go */
type Sabotage = () => Promise<void | (() => void | Promise<void>)>;

const remove = (key: () => string) => () => world.deleteObject(key());
const write = (key: () => string, text: string) => () => world.overwrite(key(), text);
const damage = (key: () => string) => () => world.damage(key());
const bytesOf = (key: string) => world.bytes(key);

async function changeManifest(change: (record: Manifest) => object): Promise<void> {
  await world.overwrite(manifest, jsonText(change(await world.manifest(target))));
}

async function changeBoot(changes: Partial<BootRecord>): Promise<void> {
  await world.overwrite(boot, jsonText({ ...(await world.bootRecord(target)), ...changes }));
}

async function forge(privateKey: "ours" | "a thief's", subject: { commit: string; sha256: string }) {
  if (privateKey === "ours")
    return world.overwrite(attestation, await world.attestation(subject.commit, subject.sha256));
  const pair = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const statement = makeStatement({ ...subject, arch }, manifestOf(subject.commit, arch).build);
  return world.overwrite(attestation, await signStatement(statement, pair.privateKey, pair.publicKey));
}

/** The commit that the stack is pinned to while a preview fails. */
async function pinned(commit: string): Promise<() => Promise<void>> {
  await world.pin(commit);
  return () => world.pin(target);
}

async function configured(key: string, value: unknown): Promise<() => Promise<void>> {
  await world.setConfig(key, value);
  return () => world.setConfig(key, undefined);
}

/** An image of GitHub's runner, and the releases of it that are known. */
async function released(version: string, releasedAt: string): Promise<() => Promise<void>> {
  await changeManifest((record) => ({
    ...record,
    build: { ...record.build, runner: { ...record.build.runner, kind: "github", releasedAt: "2025-01-01" } },
  }));
  await world.setRunnerReleases([{ version, releasedAt, deprecatedAt: null }]);
  return () => world.setRunnerReleases([]);
}

/** S3's answer about a disk that a lifecycle rule has moved. versitygw has no archive. */
async function archived(): Promise<() => void> {
  const server = world.environment.AWS_ENDPOINT_URL_S3!;
  const { length } = await bytesOf(disk);
  const proxy = await interpose(server, ({ method, url }, response) => {
    if (method !== "HEAD" || !url!.endsWith(disk)) return false;
    response.writeHead(200, { "content-length": length, "x-amz-storage-class": "GLACIER" }).end();
    return true;
  });
  world.environment.AWS_ENDPOINT_URL_S3 = proxy.endpoint;
  return () => {
    world.environment.AWS_ENDPOINT_URL_S3 = server;
    proxy.stop();
  };
}

const sabotages: [what: string, sabotage: Sabotage][] = [
  ["`latest` is a branch", () => pinned("main")],
  ["`latest` is an abbreviated hash", () => pinned(target.slice(0, 12))],
  ["`latest` is 100 kB", () => pinned("e".repeat(100_000))],
  ["the commit was never published", () => pinned("f".repeat(40))],
  [
    "the stack has an architecture more than the image",
    () => configured("architectures", ["x86_64", "aarch64"]),
  ],

  ["manifest: missing", remove(() => manifest)],
  ["manifest: not JSON", write(() => manifest, "{")],
  ["manifest: of a form that nobody knows yet", () => changeManifest((record) => ({ ...record, schema: 2 }))],
  ["manifest: of another commit", () => changeManifest((record) => ({ ...record, commit: other }))],
  [
    "manifest: of a build for another architecture",
    () => changeManifest((record) => ({ ...record, build: { ...record.build, arch: "aarch64" } })),
  ],
  ["manifest: a bit of it changed in the store", damage(() => manifest)],
  ["manifest: may not be read", () => world.deny(manifest)],

  ["disk: missing", remove(() => disk)],
  ["disk: a byte short", async () => world.overwrite(disk, (await bytesOf(disk)).subarray(1))],
  ["disk: empty", write(() => disk, "")],
  [
    "disk: another one of the same size",
    async () =>
      world.overwrite(
        disk,
        (await bytesOf(disk)).map((byte, at) => (at === 1000 ? byte ^ 1 : byte)),
      ),
  ],
  [
    "disk: written anew, with a checksum of another kind",
    async () => world.overwrite(disk, await bytesOf(disk), { ChecksumAlgorithm: "SHA256" }),
  ],
  [
    "disk: with a Content-Encoding",
    async () => world.overwrite(disk, await bytesOf(disk), { ContentEncoding: "zstd" }),
  ],
  ["disk: moved to an archive", archived],

  ["sha256: missing", remove(() => sha256)],
  ["sha256: of another disk", write(() => sha256, `${"5".repeat(64)}\n`)],
  ["sha256: as `sha256sum` prints it", () => world.overwrite(sha256, `${hash}  ubuntu-x86_64.qcow2\n`)],
  ["sha256: in upper case", () => world.overwrite(sha256, `${hash.toUpperCase()}\n`)],
  ["sha256: a bit of it changed in the store", damage(() => sha256)],

  ["bill of materials: missing", remove(() => sbom)],
  ["bill of materials: another one", write(() => sbom, "{}")],
  ["bill of materials: a bit of it changed in the store", damage(() => sbom)],

  ["boot record: missing", remove(() => boot)],
  [
    "boot record: missing, and a test had failed",
    async () => {
      const startedAt = "2026-11-01T00:00:00Z";
      const failure = bootRecordOf(target, arch, { result: "failed", reason: "kernel panic", startedAt });
      await world.deleteObject(boot);
      await world.overwrite(keys.bootFailure(target, arch, new Date(startedAt)), jsonText(failure));
    },
  ],
  ["boot record: not JSON", write(() => boot, "passed")],
  ["boot record: of a test that failed", () => changeBoot({ result: "failed", reason: "kernel panic" })],
  ["boot record: of another disk", () => changeBoot({ diskSha256: "5".repeat(64) })],
  ["boot record: a bit of it changed in the store", damage(() => boot)],

  ["attestation: missing", remove(() => attestation)],
  ["attestation: not one", write(() => attestation, "{}")],
  ["attestation: signed with another key", () => forge("a thief's", { commit: target, sha256: hash })],
  ["attestation: made for another commit", () => forge("ours", { commit: other, sha256: hash })],
  ["attestation: made for another disk", () => forge("ours", { commit: target, sha256: "5".repeat(64) })],
  ["attestation: a bit of it changed in the store", damage(() => attestation)],

  ["runner: one that gets no more jobs", () => released("9.0.0", "2025-02-01")],
  ["runner: released after what the clock says", () => released("9.0.0", "2999-01-01")],

  [
    "disk and boot record: missing",
    async () => {
      await world.deleteObject(disk);
      await world.deleteObject(boot);
    },
  ],
];

describe.sequential("a preview of a rollback", () => {
  /** What each sabotage was answered with. */
  const seen = new Map<string, string>();

  beforeAll(async () => {
    world = await World.create();
    live = world.imageCommit;
    await world.up();
    hash = (await world.manifest(live)).disk.sha256;
    attestation = keys.attestation(target, arch, hash);
    await world.pin(target);
  });
  afterAll(() => world.remove());

  it("lets an image pass that is what it was, with the pointer as all that changes", async () => {
    await world.copyImage(live, target, {});
    const { changeSummary, warnings } = await world.preview();
    expect(changeSummary).toMatchObject({ update: 1 });
    expect(warnings.filter((line) => line.includes(target))).toEqual([]);
  });

  it("says of an image from before there were CRC32s what is not proven, and lets it pass", async () => {
    await changeManifest(({ compressed: { key, bytes, sha256 }, ...record }) => ({
      ...record,
      compressed: { key, bytes, sha256 },
    }));
    const { changeSummary, warnings } = await world.preview();
    expect(changeSummary).toMatchObject({ update: 1 });
    expect(warnings).toContainEqual(
      expect.stringMatching(`image ${target}: x86_64: its manifest has no CRC32`),
    );
  });

  it("away from an image that is damaged passes", async () => {
    await world.copyImage(live, target, {});
    const mend = await world.damage(keys.manifest(live, arch));
    const { changeSummary, warnings } = await world.preview();
    expect(changeSummary).toMatchObject({ update: 1 });
    expect(warnings).toContainEqual(
      expect.stringMatching(/what the move does to the fleet is not known: .*damaged/),
    );
    await mend();
  });

  it.each(sabotages)("is refused in one line, with nothing changed: %s", async (what, sabotage) => {
    await world.deleteImage(target);
    await world.copyImage(live, target, {});
    const undo = await sabotage();
    const before = await world.keys();
    const text = await world.failure(() => world.preview());
    expect(await world.keys()).toEqual(before);
    await undo?.();
    const lines = errorsIn(text);
    expect(lines, text).toHaveLength(1);
    expect(lines[0]!.length).toBeLessThan(800);
    seen.set(what, lines[0]!);
  });

  it("is answered as docs/rollback-proof.md says", async () => {
    expect([...seen.keys()], "run the whole file").toEqual(sabotages.map(([what]) => what));
    const rows = [...seen].map(([what, line]) => `| ${what} | ${cell(line)} |`);
    const table = ["| what is wrong | what the preview says |", "| --- | --- |", ...rows].join("\n");
    const said = await readFile(page, "utf8");
    const parts = said.split(/(?<=<!-- table -->\n).*(?=<!-- end of the table -->)/s);
    expect(parts).toHaveLength(2);
    const renewed = await format(parts.join(`\n${table}\n\n`), {
      ...(await resolveConfig(page)),
      filepath: page,
    });
    await expect(renewed, `docs/rollback-proof.md is stale, renew it: ${renewing}`).toMatchFileSnapshot(page);
  });
});

/** The lines with which the engine shows what went wrong; it shows each twice where the program runs in the Automation API's process. */
function errorsIn(text: string): string[] {
  const start = text.lastIndexOf("Diagnostics:");
  const lines = text.slice(start).split("\n");
  return [
    ...new Set(lines.flatMap((line) => /^\s+error: (?<message>.*)$/.exec(line)?.groups?.["message"] ?? [])),
  ];
}

/** A line with everything out of it that differs from run to run, or is the same for all. */
function cell(line: string): string {
  const steady = line
    .replaceAll(/key:[\w+/=]{40,}/g, "key:<public key>")
    .replaceAll(/key not found: [\w+/=]+/g, "key not found: <key>")
    .replaceAll(hash, "<sha256>")
    .replaceAll(target, "<commit>")
    .replaceAll(/http:\/\/127\.0\.0\.1:\d+/g, "<store>")
    .replaceAll(/CRC32 is [\w+/]{6}==/g, "CRC32 is <CRC32>")
    .replaceAll(/says [\w+/]{6}==/g, "says <CRC32>")
    .replaceAll(/\d+ bytes, the manifest says \d+/g, "<n> bytes, the manifest says <n>")
    .replaceAll(/clock says \d{4}-\d\d-\d\d/g, "clock says <today>")
    .replace(/^config runner-images:latest names <commit>, which cannot go live: /, "… ")
    .replace(/; pin another commit: .*$/, " …");
  return `\`${steady.replaceAll("|", "\\|")}\``;
}
