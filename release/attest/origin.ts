import { UserError } from "../process/errors.js";
import { say } from "../process/progress.js";
import { imageName, keys } from "../store/keys.js";
import type { StoreReader } from "../store/store.js";
import { signerText, type Trust } from "./signer.js";
import type { Subject } from "./statement.js";

/** Who built an image, as far as its attestation shows. One line each. */
export interface Origin {
  /** Why it is not believed; null: it is. */
  problem: string | null;
  /** What has to be known of an image that is believed without an attestation. */
  warning: string | null;
  /** Who signed it; null: nobody did, or nobody asked. */
  signer: string | null;
}

/** Reads and verifies the attestation of a disk that is published. Without a trust, nobody asks. */
export async function proveOrigin(
  store: Pick<StoreReader, "get">,
  subject: Subject,
  trust: Trust | null,
  now: Date,
): Promise<Origin> {
  if (trust === null) return { problem: null, warning: null, signer: null };
  const { commit, arch, sha256 } = subject;
  const key = keys.attestation(commit, arch, sha256);
  const stored = await store.get(key);
  if (stored === null) return withoutAttestation(key, trust, now);
  // Its modules are many, and where nobody asks nobody needs them.
  const { objection } = await import("./bundle.js");
  const why = objection(stored.text, subject, trust.signer);
  return why === null
    ? { problem: null, warning: null, signer: signerText(trust.signer) }
    : { problem: `${key} ${why}`, warning: null, signer: null };
}

/**
 * The same, where an image is about to be used.
 * @param refusal the sentence around what is wrong
 * @throws UserError
 */
export async function requireOrigin(
  store: Pick<StoreReader, "get">,
  subject: Subject,
  trust: Trust | null,
  refusal: (problem: string) => string,
): Promise<void> {
  const { problem, warning } = await proveOrigin(store, subject, trust, new Date());
  if (warning !== null) say(`warning: ${warning}`);
  if (problem !== null) throw new UserError(refusal(problem), { kind: "refused" });
}

function withoutAttestation(key: string, { signer, unsignedUntil }: Trust, now: Date): Origin {
  if (unsignedUntil !== null && now.toISOString().slice(0, 10) < unsignedUntil) {
    const warning = `${key} is missing, so nobody says who built it: accepted until ${unsignedUntil} (unsignedUntil)`;
    return { problem: null, warning, signer: null };
  }
  return {
    problem: `${key} is missing: nothing says that ${signerText(signer)} built it (published before there were attestations? config unsignedUntil)`,
    warning: null,
    signer: null,
  };
}

/** "ubuntu-x86_64: signed by https://..." */
export function originText({ arch }: Pick<Subject, "arch">, { signer }: Origin): string {
  return `${imageName(arch)}: signed by ${signer ?? "nobody"}`;
}
