import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes } from "node:crypto";
import { chmod, mkdir, readFile } from "node:fs/promises";
import path from "node:path";
import { z } from "zod";
import { keySigner } from "../../release/attest/signer.js";
import { writeFileAtomically } from "../../release/process/files.js";

const key = z.object({ accessKeyId: z.string().min(1), secretAccessKey: z.string().min(1) });
const credentials = z.object({
  /** May do anything: only sets up the bucket, and is handed to nobody. */
  root: key,
  /** What the release commands use: may add to the bucket, not delete from it. */
  publisher: key,
  /** What `release prune --delete` uses: may remove images, and add nothing but the record of it. */
  pruner: key,
});
export type AccessKey = z.infer<typeof key>;
export type Credentials = z.infer<typeof credentials>;

/** The keys of this platform's S3 server, made at the first call; only the user can read the file. */
export async function ensureCredentials(run: string): Promise<Credentials> {
  const file = path.join(run, "credentials.json");
  const stored = await readCredentials(file);
  if (stored !== undefined) {
    await chmod(file, 0o600);
    return stored;
  }
  const made: Credentials = {
    root: newKey("root"),
    publisher: newKey("publisher"),
    pruner: newKey("pruner"),
  };
  await mkdir(run, { recursive: true });
  await writeFileAtomically(file, `${JSON.stringify(made)}\n`, { mode: 0o600 });
  return made;
}

async function readCredentials(file: string): Promise<Credentials | undefined> {
  try {
    return credentials.parse(JSON.parse(await readFile(file, "utf8")));
  } catch {
    // Not there yet, or damaged: new ones do, since the server reads them at its start.
    return undefined;
  }
}

function newKey(accessKeyId: string): AccessKey {
  return { accessKeyId, secretAccessKey: randomBytes(30).toString("base64url") };
}

/** Signs what this platform builds, so that its images are known from others. */
export interface SigningKey {
  /** The private key, in PEM, which only the user can read. */
  file: string;
  /** Who that is, as release/attest/signer.ts reads it. */
  signer: string;
}

/** The key of this platform, made at the first call; beside the store, since what it signed is there. */
export async function ensureSigningKey(folder: string): Promise<SigningKey> {
  const file = path.join(folder, "signing-key.pem");
  const signer = await readSigner(file);
  if (signer !== undefined) return { file, signer };
  // The kind that cosign makes: ECDSA on P-256.
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  await mkdir(folder, { recursive: true });
  await writeFileAtomically(file, privateKey.export({ format: "pem", type: "pkcs8" }).toString(), {
    mode: 0o600,
  });
  return { file, signer: keySigner(publicKey) };
}

async function readSigner(file: string): Promise<string | undefined> {
  try {
    return keySigner(createPublicKey(createPrivateKey(await readFile(file, "utf8"))));
  } catch {
    // Not there yet, or damaged. What the old one signed is not trusted any more.
    return undefined;
  }
}
