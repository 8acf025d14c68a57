import { generateKeyPairSync, randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createTcpServer, type AddressInfo, type Server } from "node:net";
import { networkInterfaces } from "node:os";
import type { Manifest } from "../store/records.js";
import { guestService } from "./qemu.js";

/** Where QEMU's user network, were it not closed, would show the host's loopback interface to the guest. */
const hostLoopback = "10.0.2.2";
const maxBodyBytes = 1024 * 1024;

/** The job: says who runs it, and that this user can write to the disk. */
const job = `#!/bin/sh
set -eu
scratch=$(mktemp)
echo written >"$scratch"
rm "$scratch"
echo "user=$(id -un)"
`;

/** What the guest did, each with the moment it did it. */
export interface Seen {
  /** Every GET of the credential. Only the first was answered with it. */
  credentialFetches: Date[];
  /** The runner's first call to its service: the fixture asks for its job, the real runner for a session. */
  runnerCall: Date | null;
  /** Of the fixture's job: its exit status, and its output, cut to 4 KiB. */
  jobResult: { at: Date; exit: string; output: string } | null;
  /** What the image's contents answered, as it came (image/, /usr/lib/runner-image/check-contents). */
  contents: unknown;
  /** Connections, of whomever, to what the guest must not reach: `<address>:<port>` as the guest would name it. */
  trespasses: string[];
  /** The boot report as it came: JSON, or undefined where it was none. */
  report: { at: Date; content: unknown } | null;
}

export interface BootService {
  /** The port it listens on, which the guest is to reach as `guestService`. */
  port: number;
  /** For the credential `gha-jitconfig-url`, as the guest sees it. */
  jitConfigUrl: string;
  /** For the credential `gha-boot-report-url`, as the guest sees it. */
  reportUrl: string;
  seen: Seen;
  /** Settles when the runner has called its service for the first time. */
  runnerCalled: Promise<void>;
  /** Settles when the guest has said what the image's contents answered. */
  contentsChecked: Promise<void>;
  close: () => Promise<void>;
}

/**
 * Plays the services around one VM, on a loopback port: hands out the just-in-time runner configuration exactly
 * once, gives the fixture runner its job, takes the boot report, and notes when the real runner calls. Beside it listens what the guest
 * must not reach, and is asked to try: a port of the loopback interface, and one of this machine's address on its own network, which
 * stands for everything outside.
 */
export async function startBootService(runner: Manifest["build"]["runner"]["kind"]): Promise<BootService> {
  const seen: Seen = {
    credentialFetches: [],
    runnerCall: null,
    jobResult: null,
    contents: null,
    trespasses: [],
    report: null,
  };
  const paths = { credential: secretPath(), runner: secretPath(), report: secretPath() };
  let noteRunnerCall: () => void;
  const runnerCalled = new Promise<void>((resolve) => (noteRunnerCall = resolve));
  let noteContents: () => void;
  const contentsChecked = new Promise<void>((resolve) => (noteContents = resolve));

  const server = createServer((request, response) => {
    answer(request, response).catch(() => response.destroy());
  });
  const port = await listen(server, "127.0.0.1");
  const forbidden: string[] = [];
  const traps: Server[] = [];
  for (const [address, guestAddress] of [["127.0.0.1", hostLoopback], ...outsideAddresses()] as const) {
    const trap = createTcpServer((socket) => {
      seen.trespasses.push(`${guestAddress}:${trapPort}`);
      socket.destroy();
    });
    const trapPort = await listen(trap, address);
    traps.push(trap);
    forbidden.push(`${guestAddress} ${trapPort}\n`);
  }
  const base = `http://${guestService}`;
  const runnerUrl = `${base}${paths.runner}`;
  const jitConfig = runner === "fixture" ? fixtureJitConfig(runnerUrl) : githubJitConfig(runnerUrl);

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // What follows the query string's "?" may be garbage (see writeCredential), so it is only looked at for `exit`.
    const [path = "", query = ""] = (request.url ?? "").split("?", 2);
    const now = new Date();

    if (path.startsWith(`${paths.runner}/`)) {
      seen.runnerCall ??= now;
      noteRunnerCall();
      // The real runner is left without an answer: it waits, until the VM is asked to power off.
      if (runner === "github") return;
    }
    switch (`${request.method} ${path}`) {
      case `GET ${paths.credential}`:
        seen.credentialFetches.push(now);
        return seen.credentialFetches.length === 1 ? send(response, 200, jitConfig) : send(response, 410);
      case `GET ${paths.runner}/job`:
        return send(response, 200, job);
      case `POST ${paths.runner}/result`: {
        const output = (await body(request)).slice(0, 4096);
        seen.jobResult = { at: now, exit: new URLSearchParams(query).get("exit") ?? "", output };
        return send(response, 204);
      }
      case `GET ${paths.report}`:
        return send(response, 200, forbidden.join(""));
      case `POST ${paths.report}`: {
        const content = json(await body(request));
        if (content !== null && typeof content === "object" && "contents" in content) {
          seen.contents = content.contents;
          noteContents();
        } else {
          seen.report = { at: now, content };
        }
        return send(response, 204);
      }
      default:
        return send(response, 404);
    }
  }

  return {
    port,
    jitConfigUrl: `${base}${paths.credential}?x=1`,
    reportUrl: `${base}${paths.report}?x=1`,
    seen,
    runnerCalled,
    contentsChecked,
    close: async () => {
      server.closeAllConnections();
      for (const each of [server, ...traps]) {
        each.close();
        await once(each, "close");
      }
    },
  };
}

/** @returns the port */
async function listen(server: Server, address: string): Promise<number> {
  server.listen(0, address);
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}

/** This machine's first address on a network, if it is on one: twice, since a guest that gets out sees it as it is. */
function outsideAddresses(): [address: string, guestAddress: string][] {
  const addresses = Object.values(networkInterfaces()).flatMap((each) => each ?? []);
  const outside = addresses.find(({ family, internal }) => family === "IPv4" && !internal)?.address;
  return outside === undefined ? [] : [[outside, outside]];
}

/** A path that nobody can guess. */
function secretPath(): string {
  return `/${randomBytes(16).toString("hex")}`;
}

function send(response: ServerResponse, status: number, text = ""): void {
  response.writeHead(status, { "content-type": "text/plain" }).end(text);
}

async function body(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > maxBodyBytes) throw new Error("the body is too long");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function base64(content: object): string {
  return Buffer.from(JSON.stringify(content)).toString("base64");
}

function fixtureJitConfig(url: string): string {
  return base64({ fixture: { url } });
}

/**
 * A configuration of the form GitHub hands out (actions/runner, Runner.cs: file names to base64 of their content),
 * with a key made for this boot, and every address leading to `url`.
 */
function githubJitConfig(url: string): string {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const { n, e, d, p, q, dp, dq, qi } = privateKey.export({ format: "jwk" });
  const number = (value = ""): string => Buffer.from(value, "base64url").toString("base64");
  return base64({
    ".runner": base64({
      AgentId: "1",
      AgentName: "boot-test",
      PoolId: "1",
      PoolName: "Default",
      ServerUrl: url,
      ServerUrlV2: url,
      UseV2Flow: "true",
      GitHubUrl: `${url}/boot-test`,
      Ephemeral: "true",
      DisableUpdate: "true",
      WorkFolder: "_work",
    }),
    ".credentials": base64({
      scheme: "OAuth",
      data: { clientId: randomUUID(), authorizationUrl: `${url}/token`, requireFipsCryptography: "True" },
    }),
    ".credentials_rsaparams": base64({
      modulus: number(n),
      exponent: number(e),
      d: number(d),
      p: number(p),
      q: number(q),
      dp: number(dp),
      dq: number(dq),
      inverseQ: number(qi),
    }),
  });
}
