import { createHash, generateKeyPairSync } from "node:crypto";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { bundleToJSON } from "@sigstore/bundle";
import { fulcioHandler, initializeCA, initializeCTLog, initializeTLog, rekorHandler } from "@sigstore/mock";
import { DSSEBundleBuilder, FulcioSigner, RekorWitness } from "@sigstore/sign";
import { githubIssuer } from "../../../../release/attest/signer.js";

/**
 * Sigstore's own library signs against an instance on this machine: @sigstore/mock plays Fulcio and Rekor, behind HTTP. Its certificates
 * need pkijs as it was when it was written (package.json, overrides).
 */
export class Sigstore {
  private constructor(
    private readonly server: Server,
    private readonly url: string,
    /** What release/attest reads as SIGSTORE_TRUSTED_ROOT. */
    readonly trustedRoot: TrustedRootJson,
  ) {}

  static async start(): Promise<Sigstore> {
    const pair = () => generateKeyPairSync("ec", { namedCurve: "P-256" });
    const server = createServer();
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const ctLog = await initializeCTLog(pair());
    const ca = await initializeCA(pair(), ctLog);
    const tLog = await initializeTLog(url, pair());
    const handlers = [fulcioHandler(ca), rekorHandler(tLog)];
    server.on("request", (request, response) => {
      const answer = async () => {
        const handler = handlers.find(({ path }) => request.url === path);
        if (handler === undefined) return response.writeHead(404).end();
        const { statusCode, response: body, contentType } = await handler.fn(await bodyOf(request));
        return response.writeHead(statusCode, { "content-type": contentType ?? "text/plain" }).end(body);
      };
      answer().catch(() => response.destroy());
    });
    const validFor = { start: "2020-01-01T00:00:00Z" };
    const log = (baseUrl: string, key: Buffer, id: Buffer) => ({
      baseUrl,
      hashAlgorithm: "SHA2_256",
      publicKey: {
        rawBytes: Buffer.from(key).toString("base64"),
        keyDetails: "PKIX_ECDSA_P256_SHA_256",
        validFor,
      },
      logId: { keyId: Buffer.from(id).toString("base64") },
    });
    return new Sigstore(server, url, {
      mediaType: "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
      tlogs: [log(url, tLog.publicKey, createHash("sha256").update(tLog.publicKey).digest())],
      ctlogs: [log(url, ctLog.publicKey, ctLog.logID)],
      certificateAuthorities: [
        {
          subject: { organization: "sigstore.mock", commonName: "sigstore" },
          uri: url,
          certChain: { certificates: [{ rawBytes: Buffer.from(ca.rootCertificate).toString("base64") }] },
          validFor,
        },
      ],
      timestampAuthorities: [],
    });
  }

  async stop(): Promise<void> {
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, "close");
  }

  /** A bundle as a job of that workflow gets it. */
  async sign(statement: string, identity: string, issuer = githubIssuer): Promise<string> {
    const part = (content: object) => Buffer.from(JSON.stringify(content)).toString("base64url");
    const token = `${part({ alg: "none" })}.${part({ sub: identity, iss: issuer })}.`;
    const builder = new DSSEBundleBuilder({
      signer: new FulcioSigner({
        fulcioBaseURL: this.url,
        identityProvider: { getToken: () => Promise.resolve(token) },
      }),
      witnesses: [new RekorWitness({ rekorBaseURL: this.url, entryType: "intoto" })],
    });
    const bundle = await builder.create({
      type: "application/vnd.in-toto+json",
      data: Buffer.from(statement),
    });
    return JSON.stringify(bundleToJSON(bundle));
  }
}

export interface TrustedRootJson {
  mediaType: string;
  tlogs: object[];
  ctlogs: object[];
  certificateAuthorities: {
    subject: object;
    uri: string;
    certChain: object;
    validFor: { start: string; end?: string };
  }[];
  timestampAuthorities: object[];
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
