import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { objection, signStatement } from "../../../../release/attest/bundle.js";
import { proveOrigin } from "../../../../release/attest/origin.js";
import {
  githubIssuer,
  keySigner,
  parseSigner,
  readTrust,
  signerText,
  type Signer,
} from "../../../../release/attest/signer.js";
import { makeStatement, type Subject } from "../../../../release/attest/statement.js";
import { keys } from "../../../../release/store/keys.js";
import { manifestOf, MemoryStore } from "../memory-store.js";
import { Sigstore, type TrustedRootJson } from "./sigstore.js";

const commit = "c".repeat(40);
const subject: Subject = { commit, arch: "x86_64", sha256: "1".repeat(64) };
const statement = makeStatement(subject, manifestOf(commit, "x86_64").build);
const workflow = "https://github.com/acme/images/.github/workflows/deploy.yml@refs/heads/main";
const deploy = parseSigner(workflow)!;

function makeKey() {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const sign = (text: string) => signStatement(text, privateKey, publicKey);
  return { sign, signer: parseSigner(keySigner(publicKey))! };
}

describe("an attestation signed with a key", () => {
  const ours = makeKey();

  it("is believed by whoever trusts the key", async () => {
    expect(objection(await ours.sign(statement), subject, ours.signer)).toBeNull();
  });

  it.each<[string, () => Promise<string>, Partial<Subject>, RegExp]>([
    ["a key that nobody trusts", () => makeKey().sign(statement), {}, /^does not prove to be signed by key:/],
    [
      "another commit",
      () => ours.sign(statement),
      { commit: "d".repeat(40) },
      /^is of images\/c+\/.*, not of images\/d+\//,
    ],
    ["another architecture", () => ours.sign(statement), { arch: "aarch64" }, /, not of .*aarch64\.qcow2$/],
    [
      "another disk",
      () => ours.sign(statement),
      { sha256: "2".repeat(64) },
      /^is of another disk than the one of sha256 2+$/,
    ],
    ["no provenance", () => ours.sign('{"_type": "x"}'), {}, /^holds no statement of SLSA provenance$/],
    ["something that is no JSON", () => ours.sign("hello"), {}, /^holds no statement/],
    ["no bundle", () => Promise.resolve("<html>"), {}, /^is not a Sigstore bundle$/],
    ["an empty object", () => Promise.resolve(""), {}, /^is not a Sigstore bundle$/],
  ])("is not believed when it is of %s", async (_, bundle, changes, why) => {
    expect(objection(await bundle(), { ...subject, ...changes }, ours.signer)).toMatch(why);
  });

  it("is not believed when any byte of the statement or of the signature is another", async () => {
    const bundle = JSON.parse(await ours.sign(statement)) as {
      dsseEnvelope: { payload: string; signatures: { sig: string }[] };
    };
    const flip = (base64: string) => {
      const bytes = Buffer.from(base64, "base64");
      bytes[bytes.length - 3]! ^= 1;
      return bytes.toString("base64");
    };
    const { payload, signatures } = bundle.dsseEnvelope;
    for (const dsseEnvelope of [
      { ...bundle.dsseEnvelope, payload: flip(payload) },
      { ...bundle.dsseEnvelope, signatures: [{ ...signatures[0], sig: flip(signatures[0]!.sig) }] },
    ])
      expect(objection(JSON.stringify({ ...bundle, dsseEnvelope }), subject, ours.signer)).toMatch(
        /^does not prove/,
      );
  });

  it("is not believed where a workflow is trusted", async () => {
    expect(objection(await ours.sign(statement), subject, deploy)).toBe(
      `is signed by a key, and only ${workflow} is trusted`,
    );
  });
});

describe("an attestation signed by a workflow", () => {
  let sigstore: Sigstore;
  let folder: string;
  let file: string;
  beforeAll(async () => {
    sigstore = await Sigstore.start();
    folder = await mkdtemp(path.join(tmpdir(), "sigstore-"));
    file = path.join(folder, "trusted_root.json");
  });
  afterEach(() => vi.unstubAllEnvs());
  afterAll(async () => {
    await sigstore.stop();
    await rm(folder, { recursive: true });
  });

  async function objectionTo(
    bundle: string,
    signer: Signer = deploy,
    root: TrustedRootJson | string = sigstore.trustedRoot,
  ) {
    await writeFile(file, typeof root === "string" ? root : JSON.stringify(root));
    vi.stubEnv("SIGSTORE_TRUSTED_ROOT", file);
    return objection(bundle, subject, signer);
  }

  it("is believed by whoever trusts the workflow", async () => {
    expect(await objectionTo(await sigstore.sign(statement, workflow))).toBeNull();
  });

  it.each([
    ["another repository", "https://github.com/thief/images/.github/workflows/deploy.yml@refs/heads/main"],
    ["another branch", "https://github.com/acme/images/.github/workflows/deploy.yml@refs/heads/feature"],
    ["another workflow", "https://github.com/acme/images/.github/workflows/pull-request.yml@refs/heads/main"],
    ["a workflow that only begins like it", `${workflow}-2`],
    ["a workflow that only contains it", `https://thief.example/${workflow}`],
    ["one that a dot would match", workflow.replace("deploy.yml", "deployxyml")],
  ])("is not believed when it is of %s", async (_, identity) => {
    expect(await objectionTo(await sigstore.sign(statement, identity))).toBe(
      `is signed by ${identity}, and only ${workflow} is trusted`,
    );
  });

  it("is not believed with a token of another issuer", async () => {
    const bundle = await sigstore.sign(statement, workflow, "https://thief.example");
    expect(await objectionTo(bundle)).toBe(
      `is signed by a token of https://thief.example, and only those of ${githubIssuer} are trusted`,
    );
  });

  it("is not believed by an instance that is not ours: Sigstore's own root is the default", async () => {
    const bundle = await sigstore.sign(statement, workflow);
    expect(objection(bundle, subject, deploy)).toMatch(
      /^does not prove to be signed by https.*npm install @sigstore\/tuf@latest\)$/,
    );
  });

  it("is not believed with authorities that had ended before it was signed", async () => {
    const bundle = await sigstore.sign(statement, workflow);
    const root = structuredClone(sigstore.trustedRoot);
    root.certificateAuthorities[0]!.validFor.end = "2021-01-01T00:00:00Z";
    expect(await objectionTo(bundle, deploy, root)).toMatch(/^does not prove/);
  });

  it("is not believed without its entry in the log, or without its time", async () => {
    const bundle = JSON.parse(await sigstore.sign(statement, workflow)) as {
      verificationMaterial: { tlogEntries: object[] };
    };
    bundle.verificationMaterial.tlogEntries = [];
    expect(await objectionTo(JSON.stringify(bundle))).toMatch(/^does not prove/);
  });

  it("is not believed where a key is trusted", async () => {
    const { signer } = makeKey();
    expect(await objectionTo(await sigstore.sign(statement, workflow), signer)).toMatch(
      /^is signed by a workflow, and only key:/,
    );
  });

  it("says in one line that a trusted root is none", async () => {
    const bundle = await sigstore.sign(statement, workflow);
    await expect(objectionTo(bundle, deploy, "<html>")).rejects.toThrow(
      /SIGSTORE_TRUSTED_ROOT\) holds no Sigstore trusted root/,
    );
  });
});

describe("the origin of a published image", () => {
  const { sign, signer } = makeKey();
  const now = new Date("2026-11-26T12:00:00Z");
  const key = keys.attestation(commit, "x86_64", subject.sha256);

  it("is its signer", async () => {
    const store = new MemoryStore();
    store.objects.set(key, await sign(statement));
    const origin = await proveOrigin(store, subject, { signer, unsignedUntil: null }, now);
    expect(origin).toMatchObject({
      problem: null,
      warning: null,
      signer: expect.stringMatching(/^key:/) as string,
    });
  });

  it("names the object that is missing, or of somebody else", async () => {
    const store = new MemoryStore();
    const trust = { signer, unsignedUntil: null };
    expect((await proveOrigin(store, subject, trust, now)).problem).toMatch(
      `${key} is missing: nothing says that key:`,
    );
    store.objects.set(key, await makeKey().sign(statement));
    expect((await proveOrigin(store, subject, trust, now)).problem).toMatch(`${key} does not prove`);
  });

  it.each([
    ["2026-11-27", true],
    ["2026-11-26", false],
    ["2026-01-01", false],
  ])("may be unknown before %s: %s", async (unsignedUntil, accepted) => {
    const { problem, warning } = await proveOrigin(
      new MemoryStore(),
      subject,
      { signer, unsignedUntil },
      now,
    );
    expect(problem === null).toBe(accepted);
    expect(warning !== null).toBe(accepted);
  });

  it("is a problem in spite of that date where an attestation is there, and wrong", async () => {
    const store = new MemoryStore();
    store.objects.set(key, "{}");
    const { problem } = await proveOrigin(store, subject, { signer, unsignedUntil: "2030-01-01" }, now);
    expect(problem).toBe(`${key} is not a Sigstore bundle`);
  });

  it("is nobody's question without a trust", async () => {
    expect(await proveOrigin(new MemoryStore(), subject, null, now)).toEqual({
      problem: null,
      warning: null,
      signer: null,
    });
  });
});

describe("whom to trust", () => {
  it("is what the variables of the release commands say, and nobody without them", () => {
    const { signer } = makeKey();
    expect(readTrust({ IMAGES_SIGNER: signerText(signer) })).toEqual({ signer, unsignedUntil: null });
    const IMAGES_SIGNER_ISSUER = "https://tokens.acme.example";
    expect(
      readTrust({ IMAGES_SIGNER: workflow, IMAGES_SIGNER_ISSUER, IMAGES_UNSIGNED_UNTIL: "2026-12-31" }),
    ).toEqual({ signer: { ...deploy, issuer: IMAGES_SIGNER_ISSUER }, unsignedUntil: "2026-12-31" });
    expect(readTrust({ IMAGES_SIGNER_ISSUER, IMAGES_UNSIGNED_UNTIL: "2026-12-31" })).toBeNull();
    expect(readTrust({ IMAGES_SIGNER: "" })).toBeNull();
  });

  it.each([
    "https://github.com/acme/images",
    "https://github.com/acme/images/.github/workflows/deploy.yml",
    "http://github.com/acme/images/.github/workflows/deploy.yml@refs/heads/main",
    ".*",
    "key:",
    "key:AAAA",
    "-----BEGIN PUBLIC KEY-----",
  ])("is not %j", (text) => {
    expect(parseSigner(text)).toBeNull();
    expect(() => readTrust({ IMAGES_SIGNER: text })).toThrow(
      /^IMAGES_SIGNER is .*; it must be a workflow's identity like .*, or key:/,
    );
  });

  it.each(["tomorrow", "2026-13-01", "2026-02-30", "2026-12-31T00:00:00Z"])(
    "does not accept unsigned images until %j",
    (until) => {
      expect(() => readTrust({ IMAGES_SIGNER: workflow, IMAGES_UNSIGNED_UNTIL: until })).toThrow(
        /must be a date like 2026-12-31/,
      );
    },
  );
});
