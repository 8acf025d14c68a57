import { createHash, sign, type KeyObject } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { bundleFromJSON, bundleToJSON, type Bundle } from "@sigstore/bundle";
import { TrustedRoot } from "@sigstore/protobuf-specs";
import { DSSEBundleBuilder } from "@sigstore/sign";
import { toSignedEntity, toTrustMaterial, Verifier } from "@sigstore/verify";
import { UserError } from "../process/errors.js";
import { printable } from "../process/progress.js";
import { signerText, type Signer } from "./signer.js";
import { contradiction, payloadType, type Subject } from "./statement.js";

/** A Sigstore bundle of a statement, signed with a key of this machine. */
export async function signStatement(
  statement: string,
  privateKey: KeyObject,
  publicKey: KeyObject,
): Promise<string> {
  const key = { $case: "publicKey", publicKey: pem(publicKey), hint: hint(publicKey) } as const;
  const builder = new DSSEBundleBuilder({
    signer: { sign: (data) => Promise.resolve({ signature: sign("sha256", data, privateKey), key }) },
    witnesses: [],
  });
  const bundle = await builder.create({ type: payloadType, data: Buffer.from(statement) });
  return `${JSON.stringify(bundleToJSON(bundle))}\n`;
}

/**
 * Whether a bundle is the signer's, and speaks of the subject.
 * @returns why not, as the end of a sentence that begins with the bundle's name; null: it is, and does
 */
export function objection(text: string, subject: Subject, signer: Signer): string | null {
  let bundle: Bundle;
  try {
    bundle = bundleFromJSON(JSON.parse(text));
  } catch {
    return "is not a Sigstore bundle";
  }
  const { content, verificationMaterial } = bundle;
  if (content.$case !== "dsseEnvelope" || content.dsseEnvelope.payloadType !== payloadType)
    return "holds no in-toto statement";
  const signedByKey = verificationMaterial.content.$case === "publicKey";
  if (signedByKey !== (signer.kind === "key"))
    return `is signed by a ${signedByKey ? "key" : "workflow"}, and only ${signerText(signer)} is trusted`;
  const verifier = signer.kind === "key" ? keyVerifier(signer.publicKey) : workflowVerifier();
  try {
    const { identity } = verifier.verify(toSignedEntity(bundle));
    // By ourselves, since the library takes what it is given as a regular expression without bounds.
    if (signer.kind === "workflow") {
      const { subjectAlternativeName: name = "nobody", extensions } = identity ?? {};
      if (name !== signer.identity)
        return `is signed by ${printable(name)}, and only ${signer.identity} is trusted`;
      if (extensions?.issuer !== signer.issuer)
        return `is signed by a token of ${printable(extensions?.issuer ?? "nobody")}, and only those of ${signer.issuer} are trusted`;
    }
  } catch (error) {
    return `does not prove to be signed by ${signerText(signer)}: ${printable((error as Error).message)}${rootAge(signer)}`;
  }
  return contradiction(content.dsseEnvelope.payload.toString("utf8"), subject);
}

/** A key that we hold needs no log and no clock: whoever trusts it trusts its holder. */
function keyVerifier(publicKey: KeyObject): Verifier {
  const noRoot = TrustedRoot.fromJSON({});
  const trust = toTrustMaterial(noRoot, { [hint(publicKey)]: { rawBytes: spki(publicKey), keyDetails: 0 } });
  return new Verifier(trust, { tlogThreshold: 0, ctlogThreshold: 0, timestampThreshold: 0 });
}

/** Needs a certificate in the certificate log, an entry in the transparency log and a time when the certificate was valid. */
function workflowVerifier(): Verifier {
  return new Verifier(toTrustMaterial(trustedRoot()));
}

/**
 * Sigstore's authorities and logs. Those of the package @sigstore/tuf, which is pinned by its hash: renewed by a pull request like every
 * other package, and never at the time of a verification. Another file where an instance of one's own signs.
 */
function trustedRoot(): TrustedRoot {
  const file = process.env["SIGSTORE_TRUSTED_ROOT"];
  try {
    if (file) return TrustedRoot.fromJSON(JSON.parse(readFileSync(file, "utf8")));
    const seeds = createRequire(import.meta.url).resolve("@sigstore/tuf/seeds.json");
    const repositories = JSON.parse(readFileSync(seeds, "utf8")) as Record<
      string,
      { targets: Record<string, string> }
    >;
    const root = repositories["https://tuf-repo-cdn.sigstore.dev"]!.targets["trusted_root.json"]!;
    return TrustedRoot.fromJSON(JSON.parse(Buffer.from(root, "base64").toString("utf8")));
  } catch (error) {
    const where = file ? `${file} (SIGSTORE_TRUSTED_ROOT)` : "@sigstore/tuf";
    throw new UserError(`${where} holds no Sigstore trusted root: ${printable((error as Error).message)}`);
  }
}

/** What else may be wrong where a workflow's signature is refused. */
function rootAge({ kind }: Signer): string {
  return kind === "workflow" ? " (where Sigstore has new keys since: npm install @sigstore/tuf@latest)" : "";
}

function hint(publicKey: KeyObject): string {
  return createHash("sha256").update(spki(publicKey)).digest("base64");
}

function spki(publicKey: KeyObject): Buffer {
  return publicKey.export({ format: "der", type: "spki" });
}

function pem(publicKey: KeyObject): string {
  return publicKey.export({ format: "pem", type: "spki" }).toString();
}
