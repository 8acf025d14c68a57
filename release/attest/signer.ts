import { createPublicKey, type KeyObject } from "node:crypto";
import { z } from "zod";
import { UserError } from "../process/errors.js";

/** Who has to have signed what an image was built from. */
export type Signer =
  /** A workflow on GitHub, by the identity and the issuer that Fulcio puts into its certificate. */
  | { kind: "workflow"; identity: string; issuer: string }
  /** Whoever holds the private half. */
  | { kind: "key"; publicKey: KeyObject; text: string };

/** Which images are believed. */
export interface Trust {
  signer: Signer;
  /** Images published before there were attestations have none, and are accepted before this date (ISO, UTC); null: never. */
  unsignedUntil: string | null;
}

/** Of GitHub's tokens: https://docs.github.com/en/actions/reference/security/oidc */
export const githubIssuer = "https://token.actions.githubusercontent.com";

const keyPrefix = "key:";
/** The form of the claim job_workflow_ref, which is what Fulcio makes the certificate's name of. */
const workflowPattern =
  /^https:\/\/[\w.-]+\/[\w.-]+\/[\w.-]+\/\.github\/workflows\/[\w.-]+\.ya?ml@refs\/(heads|tags)\/[\w./-]+$/;

export const signerForm =
  "a workflow's identity like https://github.com/<owner>/<name>/.github/workflows/deploy.yml@refs/heads/main, or key:<public key, DER in base64>";

/** A day that exists, as in 2026-12-31. */
export const day = z.iso.date("must be a date like 2026-12-31");

/** @returns null where the text is neither form */
export function parseSigner(text: string, issuer: string = githubIssuer): Signer | null {
  if (workflowPattern.test(text)) return { kind: "workflow", identity: text, issuer };
  if (!text.startsWith(keyPrefix)) return null;
  try {
    const der = Buffer.from(text.slice(keyPrefix.length), "base64");
    return { kind: "key", publicKey: createPublicKey({ key: der, format: "der", type: "spki" }), text };
  } catch {
    return null;
  }
}

/** The text that `parseSigner` reads. */
export function keySigner(publicKey: KeyObject): string {
  return keyPrefix + publicKey.export({ format: "der", type: "spki" }).toString("base64");
}

export function signerText(signer: Signer): string {
  return signer.kind === "workflow" ? signer.identity : signer.text;
}

/** The variables by which the release commands know whom to believe. */
export interface TrustEnvironment {
  IMAGES_SIGNER?: string | undefined;
  IMAGES_SIGNER_ISSUER?: string | undefined;
  IMAGES_UNSIGNED_UNTIL?: string | undefined;
}

/** @returns null where no signer is named: then nobody is asked who built an image */
export function readTrust(environment: TrustEnvironment): Trust | null {
  const { IMAGES_SIGNER: text, IMAGES_SIGNER_ISSUER: issuer, IMAGES_UNSIGNED_UNTIL: until } = environment;
  if (!text) return null;
  const signer = parseSigner(text, issuer || undefined);
  if (signer === null)
    throw new UserError(`IMAGES_SIGNER is ${text.slice(0, 100)}; it must be ${signerForm}`);
  if (until && !day.safeParse(until).success)
    throw new UserError(`IMAGES_UNSIGNED_UNTIL is ${until.slice(0, 100)}; it must be a date like 2026-12-31`);
  return { signer, unsignedUntil: until || null };
}
