import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { execa } from "execa";
import { keys } from "../../../../release/store/keys.js";
import type { Manifest } from "../../../../release/store/records.js";

const zeros = "0".repeat(64);

export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The way `publish` compresses. */
export async function compress(disk: Buffer): Promise<Buffer> {
  const { stdout } = await execa("zstd", ["--long=27", "-c"], {
    input: disk,
    encoding: "buffer",
    stripFinalNewline: false,
  });
  return Buffer.from(stdout);
}

/** What the CDN serves for one published x86_64 image, to be bent by a test before it fetches. */
export class ImageServer {
  readonly objects = new Map<string, Buffer>();
  /** Sent for every object. */
  etag = '"v1"';
  /** Cuts the connection after so many bytes of the disk, for one answer each. */
  readonly cuts: number[] = [];
  /** Statuses to answer with before it answers properly. */
  readonly failures: number[] = [];
  /** Every request for the disk: its Range and If-Range. */
  readonly diskRequests: { range: string | undefined; ifRange: string | undefined }[] = [];
  /** Every request, and how it was answered. */
  readonly requests: { key: string; status: number }[] = [];
  /** Settles when the client has so many bytes on its disk: a cut before that would lose those in flight. */
  stored: (bytes: number) => Promise<void> = () => Promise.resolve();
  /** Runs at every request. */
  onRequest: () => void = () => undefined;

  private readonly server = createServer((request, response) => this.answer(request, response));

  url = "";

  private constructor(
    readonly commit: string,
    readonly disk: Buffer,
    readonly manifest: Manifest,
  ) {}

  static async start(commit: string, disk: Buffer, compressed: Buffer): Promise<ImageServer> {
    const server = new ImageServer(commit, disk, {
      schema: 1,
      commit,
      arch: "x86_64",
      compressed: {
        key: keys.disk(commit, "x86_64"),
        bytes: compressed.length,
        sha256: sha256(compressed),
      },
      disk: { bytes: disk.length, sha256: sha256(disk) },
      build: {
        arch: "x86_64",
        base: { kind: "debian", name: "test", sha256: zeros },
        runner: {
          kind: "fixture",
          version: "1",
          sha256: zeros,
          releasedAt: "2026-01-01",
        },
        builder: { packer: "1", qemu: "1", accelerator: "tcg" },
        virtualSize: 1024,
        seconds: 1,
      },
      publishedAt: "2026-01-01T00:00:00Z",
    });
    server.put(keys.latest, `${commit}\n`);
    server.publish(commit, disk, compressed);
    server.server.listen(0, "127.0.0.1");
    await once(server.server, "listening");
    server.url = `http://127.0.0.1:${(server.server.address() as AddressInfo).port}`;
    return server;
  }

  /** One more image, like the first but for its bytes. */
  publish(commit: string, disk: Buffer, compressed: Buffer): void {
    this.put(keys.disk(commit, "x86_64"), compressed);
    this.put(keys.diskSha256(commit, "x86_64"), `${sha256(disk)}\n`);
    const key = keys.disk(commit, "x86_64");
    const manifest: Manifest = {
      ...this.manifest,
      commit,
      compressed: { key, bytes: compressed.length, sha256: sha256(compressed) },
      disk: { bytes: disk.length, sha256: sha256(disk) },
    };
    this.put(keys.manifest(commit, "x86_64"), JSON.stringify(manifest));
  }

  get compressed(): Buffer {
    return this.objects.get(keys.disk(this.commit, "x86_64"))!;
  }

  put(key: string, content: string | Buffer): void {
    this.objects.set(key, Buffer.from(content));
  }

  putManifest(manifest: object): void {
    this.put(keys.manifest(this.commit, "x86_64"), JSON.stringify(manifest));
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, "close");
  }

  private answer(request: IncomingMessage, response: ServerResponse): void {
    this.onRequest();
    const key = request.url!.slice(1);
    const content = this.objects.get(key);
    const failure = this.failures.shift();
    const status =
      failure ?? (content === undefined ? 404 : request.headers["if-none-match"] === this.etag ? 304 : 200);
    this.requests.push({ key, status });
    if (status !== 200 || content === undefined) return void response.writeHead(status).end();

    const isDisk = key.endsWith(".zst");
    const { range, "if-range": ifRange } = request.headers;
    if (isDisk) this.diskRequests.push({ range, ifRange: ifRange as string | undefined });
    const start = range !== undefined && ifRange === this.etag ? Number(/\d+/.exec(range)![0]) : 0;
    const part = content.subarray(start);
    response.writeHead(start > 0 ? 206 : 200, {
      ...(this.etag !== "" && { etag: this.etag }),
      "content-length": part.length,
      ...(start > 0 && { "content-range": `bytes ${start}-${content.length - 1}/${content.length}` }),
    });
    const cut = isDisk ? this.cuts.shift() : undefined;
    if (cut === undefined) return void response.end(part);
    response.write(part.subarray(0, cut));
    void this.stored(start + cut).then(() => response.destroy());
  }
}
