import { setTimeout as sleep } from "node:timers/promises";
import {
  Agent,
  createServer,
  request,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { execa } from "execa";
import { platformPaths } from "../../local/paths.js";
import { answers } from "../../local/services/service.js";
import { freePort } from "../../local/services/ports.js";
import { requireTool, toxiproxy } from "../../local/tools/go-tools.js";
import { until } from "../engine/s3.js";
import { isOfNetwork, type Fault, type HttpFault, type NetworkFault } from "./scenarios.js";

/** The server of toxiproxy, for all links: https://github.com/Shopify/toxiproxy#http-api. */
export class Toxiproxy {
  private constructor(
    private readonly api: string,
    readonly stop: () => Promise<void>,
  ) {}

  static async start(): Promise<Toxiproxy> {
    const port = await freePort();
    const command = await requireTool(toxiproxy, platformPaths());
    const server = execa(
      "setpriv",
      ["--pdeathsig", "KILL", command, "-host", "127.0.0.1", "-port", String(port)],
      { env: { LOG_LEVEL: "error" }, stdio: "ignore", reject: false },
    );
    const api = `http://127.0.0.1:${port}`;
    await until(() => answers(`${api}/version`, 200));
    const stop = async () => {
      server.kill();
      await server;
    };
    return new Toxiproxy(api, stop);
  }

  async ask(method: string, path: string, body?: object): Promise<void> {
    const answer = await fetch(`${this.api}${path}`, {
      method,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    if (!answer.ok) throw new Error(`toxiproxy: ${method} ${path}: ${answer.status} ${await answer.text()}`);
    await answer.body?.cancel();
  }
}

/**
 * A way to a server on which a fault may lie: client -> toxiproxy, which disturbs connections -> a proxy here, which knows requests, and
 * disturbs those -> server.
 */
export class FaultyLink {
  /** Requests so far. */
  requests = 0;
  /** Those of them, since a fault is armed, that it can strike. */
  private candidates = 0;
  /** Whether the armed fault has struck. */
  struck = false;
  private armed: { fault: Fault; at: number; crash: (later: number) => Promise<void> } | undefined;
  private readonly disturbances: Promise<void>[] = [];
  /** One connection a request: a server that is killed would leave others behind. */
  private readonly agent = new Agent({ keepAlive: false });

  private constructor(
    private readonly name: string,
    private readonly toxics: Toxiproxy,
    private readonly proxy: Server,
    /** Where clients connect to. */
    readonly port: number,
    private readonly upstream: number,
    private readonly tell: () => void,
  ) {}

  /** @param tell is called at each request and each answer */
  static async open(
    name: string,
    toxics: Toxiproxy,
    upstream: number,
    tell: () => void,
  ): Promise<FaultyLink> {
    const port = await freePort();
    const proxy = createServer((incoming, outgoing) => void link.handle(incoming, outgoing));
    const link = new FaultyLink(name, toxics, proxy, port, upstream, tell);
    await new Promise<void>((listening) => proxy.listen(0, "127.0.0.1", listening));
    const behind = (proxy.address() as AddressInfo).port;
    await toxics.ask("POST", "/proxies", {
      name,
      listen: `127.0.0.1:${port}`,
      upstream: `127.0.0.1:${behind}`,
      enabled: true,
    });
    return link;
  }

  /** Lets a fault strike at the request of that number, from 1, of those that it can strike. */
  arm(fault: Fault, at: number, crash: (later: number) => Promise<void>): void {
    this.armed = { fault, at, crash };
    this.requests = this.candidates = 0;
  }

  /** Nothing is wrong from here on. */
  async heal(): Promise<void> {
    this.armed = undefined;
    await Promise.all(this.disturbances);
  }

  async close(): Promise<void> {
    await this.heal();
    await this.toxics.ask("DELETE", `/proxies/${this.name}`);
    this.proxy.closeAllConnections();
    await new Promise((closed) => this.proxy.close(closed));
    this.agent.destroy();
  }

  private async handle(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    this.requests += 1;
    const struck = await this.strike(incoming);
    this.tell();
    try {
      if (struck?.name === "status") return refuse(incoming, outgoing, struck.status);
      if (struck?.name === "silence" && struck.where === "before") {
        await sleep(struck.ms);
        return void outgoing.destroy();
      }
      await this.pass(incoming, outgoing, struck);
    } catch {
      // Client or server have gone: so does the other one.
      outgoing.destroy();
    } finally {
      this.tell();
    }
  }

  /** What happens to this request itself, where it is one of those that are struck. */
  private async strike(incoming: IncomingMessage): Promise<HttpFault | undefined> {
    if (this.armed === undefined) return undefined;
    const { at, crash, fault: scenario } = this.armed;
    const { fault, lasts, times } = scenario;
    if (!canStrike(fault, incoming)) return undefined;
    this.candidates += 1;
    if (this.candidates < at || this.candidates >= at + times) return undefined;
    const isFirst = !this.struck;
    this.struck = true;
    if (fault.name === "crash") {
      if (isFirst) this.disturbances.push(crash(fault.later));
      return undefined;
    }
    if (!isOfNetwork(fault)) return fault;
    // The request waits until the fault lies on its connection.
    if (isFirst) await this.disturb(fault, lasts);
    return undefined;
  }

  private async disturb(fault: NetworkFault, lasts: number): Promise<void> {
    const proxy = `/proxies/${this.name}`;
    if (fault.name === "refused") {
      await this.toxics.ask("POST", proxy, { enabled: false });
      this.disturbances.push(sleep(lasts).then(() => this.toxics.ask("POST", proxy, { enabled: true })));
      return;
    }
    const { name, ...attributes } = fault;
    const type = { latency: "latency", reset: "reset_peer", stall: "timeout", cut: "limit_data" }[name];
    for (const stream of ["upstream", "downstream"])
      await this.toxics.ask("POST", `${proxy}/toxics`, { name: stream, type, stream, attributes });
    this.disturbances.push(
      sleep(lasts).then(async () => {
        for (const stream of ["upstream", "downstream"])
          await this.toxics.ask("DELETE", `${proxy}/toxics/${stream}`);
      }),
    );
  }

  private async pass(
    incoming: IncomingMessage,
    outgoing: ServerResponse,
    struck: Exclude<HttpFault, { name: "status" }> | undefined,
  ): Promise<void> {
    const { method, url, headers } = incoming;
    // The signature covers the header Host, so it goes on unchanged.
    const onward = request({
      host: "127.0.0.1",
      port: this.upstream,
      path: url,
      method,
      headers,
      agent: this.agent,
    });
    const answered = new Promise<IncomingMessage>((resolve, reject) => {
      onward.on("response", resolve).on("error", reject);
    });
    const isPut = method === "PUT";
    const there = struck?.name === "wrong byte" && isPut ? [flipByte(struck.where, lengthOf(incoming))] : [];
    const [reply] = await Promise.all([answered, pipeline([incoming, ...there, onward])]);
    if (struck?.name === "lost answer") {
      for await (const _ of reply) void _;
      return void outgoing.destroy();
    }
    outgoing.writeHead(reply.statusCode!, reply.headers);
    const back =
      struck?.name === "wrong byte" && !isPut
        ? [flipByte(struck.where, lengthOf(reply))]
        : struck?.name === "silence"
          ? [silentAfter(lengthOf(reply) / 2, struck.ms)]
          : [];
    await pipeline([reply, ...back, outgoing]);
  }
}

function canStrike(fault: Fault["fault"], { method, url = "", headers }: IncomingMessage): boolean {
  // The content of an object, there or back: elsewhere it would be another request or answer, and nothing damaged.
  if (fault.name === "wrong byte")
    return (method === "GET" || method === "PUT") && /^[^?]*\/(images|pointer|latest)/.test(url);
  // S3 answers so where two write one key.
  if (fault.name === "status" && fault.status === 409)
    return "if-none-match" in headers || "if-match" in headers;
  return true;
}

function lengthOf({ headers }: IncomingMessage): number {
  return Number(headers["content-length"] ?? 0);
}

/** Changes one bit of the byte at that share of the content. */
function flipByte(where: number, length: number): Duplex {
  const at = Math.floor(where * length);
  return Duplex.from(async function* (chunks: AsyncIterable<Buffer>) {
    let passed = 0;
    for await (const chunk of chunks) {
      const index = at - passed;
      if (index >= 0 && index < chunk.length) chunk[index]! ^= 1;
      passed += chunk.length;
      yield chunk;
    }
  });
}

/** Sends the beginning, nothing for a while, and then ends the connection. */
function silentAfter(bytes: number, ms: number): Duplex {
  return Duplex.from(async function* (chunks: AsyncIterable<Buffer>) {
    let passed = 0;
    for await (const chunk of chunks) {
      if (passed + chunk.length > bytes) {
        yield chunk.subarray(0, Math.floor(bytes - passed));
        await sleep(ms);
        throw new Error("silence");
      }
      passed += chunk.length;
      yield chunk;
    }
  });
}

/** An answer as S3 words it, without asking the server. */
function refuse(incoming: IncomingMessage, outgoing: ServerResponse, status: number): void {
  const codes: Record<number, string> = {
    403: "AccessDenied",
    404: "NoSuchKey",
    409: "ConditionalRequestConflict",
    429: "TooManyRequests",
    503: "SlowDown",
  };
  incoming.resume();
  outgoing.writeHead(status, { "content-type": "application/xml" });
  outgoing.end(
    `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${codes[status] ?? "InternalError"}</Code><Message>a fault</Message></Error>`,
  );
}
