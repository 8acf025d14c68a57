import {
  createServer,
  request as forward,
  type IncomingMessage,
  type RequestListener,
  type ServerResponse,
} from "node:http";
import { createServer as createTlsServer } from "node:https";
import { readFile } from "node:fs/promises";
import type { AddressInfo, Server } from "node:net";
import path from "node:path";
import { execa } from "execa";

export interface LocalServer {
  port: number;
  stop: () => void;
}

/** What STS and GitHub say about who calls and what there is; a test may change it at any time. */
export interface Answers {
  /** The account of whoever asks STS; undefined: STS refuses the credentials. */
  account: string | undefined;
  /** The repositories GitHub shows, by the `owner/name` that is asked for. Of the runner it shows no release: no test depends on the day's. */
  repositories: Record<string, { full_name: string; id: number; owner: { id: number } }>;
}

/** AWS's STS and GitHub's API, as far as a preflight asks them. Each says what it takes to be pointed at it. */
export async function startServices(
  answers: Answers,
): Promise<LocalServer & { environment: Record<string, string> }> {
  const server = await listen(
    createServer((request, response) => {
      // Both requests are answered without their bodies.
      request.resume();
      if (request.method === "POST") answerSts(answers, response);
      else answerGitHub(answers, request, response);
    }),
  );
  const url = `http://127.0.0.1:${server.port}`;
  return { ...server, environment: { AWS_ENDPOINT_URL_STS: url, GITHUB_API_URL: url } };
}

function answerSts({ account }: Answers, response: ServerResponse): void {
  const xmlns = 'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"';
  response.setHeader("content-type", "text/xml");
  if (account === undefined) {
    response.writeHead(403)
      .end(`<ErrorResponse ${xmlns}><Error><Type>Sender</Type><Code>InvalidClientTokenId</Code>
      <Message>The security token included in the request is invalid.</Message></Error></ErrorResponse>`);
    return;
  }
  response.end(`<GetCallerIdentityResponse ${xmlns}><GetCallerIdentityResult>
    <Arn>arn:aws:iam::${account}:user/alice</Arn><UserId>AIDAEXAMPLE</UserId><Account>${account}</Account>
    </GetCallerIdentityResult></GetCallerIdentityResponse>`);
}

function answerGitHub({ repositories }: Answers, { url }: IncomingMessage, response: ServerResponse): void {
  const name = /^\/repos\/([^/]+\/[^/?]+)$/.exec(url!)?.[1];
  const found = url!.startsWith("/repos/actions/runner/releases?") ? [] : repositories[name ?? ""];
  response.setHeader("content-type", "application/json");
  if (url!.endsWith("/codeowners/errors")) {
    response.end(JSON.stringify({ errors: [] }));
    return;
  }
  response.writeHead(found === undefined ? 404 : 200);
  response.end(JSON.stringify(found ?? { message: "Not Found", status: "404" }));
}

/**
 * HTTPS in front of the local CDN, as a distribution is reached by HTTPS only.
 * @param folder for the certificate of `localhost`, which is made anew: clients trust it by NODE_EXTRA_CA_CERTS
 */
export async function startTlsFront(
  cdn: string,
  folder: string,
): Promise<LocalServer & { environment: Record<string, string> }> {
  const [certificate, key] = [path.join(folder, "localhost.pem"), path.join(folder, "localhost.key")];
  await execa("openssl", [
    ...["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"],
    ...[
      "-subj",
      "/CN=localhost",
      "-addext",
      "subjectAltName=DNS:localhost",
      "-out",
      certificate,
      "-keyout",
      key,
    ],
  ]);
  const passOn: RequestListener = ({ method, url, headers }, response) => {
    const onward = forward(cdn + url, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    onward.end();
  };
  const server = await listen(
    createTlsServer({ cert: await readFile(certificate), key: await readFile(key) }, passOn),
  );
  return { ...server, environment: { NODE_EXTRA_CA_CERTS: certificate } };
}

async function listen(server: Server & { closeAllConnections(): void }): Promise<LocalServer> {
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    port: (server.address() as AddressInfo).port,
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
