import { execa } from "execa";
import getPort from "get-port";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { createServer, request, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  S3Client,
} from "@aws-sdk/client-s3";
import { platformPaths } from "../../local/paths.js";
import { requireTool, versitygw } from "../../local/tools/go-tools.js";

const bucket = "images";
const key = { id: "test-root", secret: "test-secret" };

/** A real S3 server on a folder and port of its own, with one empty bucket, for what the release commands ask of a store. */
export class TestS3 {
  private constructor(
    private readonly folder: string,
    readonly endpoint: string,
    /** Of the server's process. */
    readonly pid: number,
    private readonly end: () => Promise<void>,
    readonly admin: S3Client,
  ) {}

  /**
   * @param sidecar keeps what it notes of an object in files, and not in extended attributes, of which ext4 takes 4 KiB: the list of some
   * 700 parts is larger
   */
  static async start({ sidecar = false } = {}): Promise<TestS3> {
    const command = process.env.VERSITYGW ?? (await requireTool(versitygw, platformPaths()));
    const folder = await mkdtemp(path.join(tmpdir(), "runner-images-s3-"));
    const [iam, versions, data, notes] = ["iam", "versions", "data", "notes"].map((name) =>
      path.join(folder, name),
    ) as [string, string, string, string];
    for (const each of [iam, versions, data, notes]) await mkdir(each);
    const port = await getPort({ host: "127.0.0.1" });
    const server = execa(
      "setpriv",
      [
        ...["--pdeathsig", "KILL", command, "--port", `127.0.0.1:${port}`, "--health", "/_health", "--quiet"],
        ...["--iam-dir", iam, "posix", "--versioning-dir", versions],
        ...(sidecar ? ["--sidecar", notes] : []),
        data,
      ],
      { env: { ROOT_ACCESS_KEY: key.id, ROOT_SECRET_KEY: key.secret }, stdio: "ignore", reject: false },
    );
    const endpoint = `http://127.0.0.1:${port}`;
    await until(() =>
      fetch(`${endpoint}/_health`).then(
        (answer) => answer.ok,
        () => false,
      ),
    );
    const admin = new S3Client({
      endpoint,
      region: "us-east-1",
      credentials: { accessKeyId: key.id, secretAccessKey: key.secret },
      forcePathStyle: true,
    });
    await admin.send(new CreateBucketCommand({ Bucket: bucket }));
    const end = async () => {
      server.kill();
      await server;
    };
    return new TestS3(folder, endpoint, server.pid!, end, admin);
  }

  /** What the release commands need to reach it. */
  get environment(): Record<string, string> {
    return {
      BUCKET: bucket,
      AWS_ENDPOINT_URL_S3: this.endpoint,
      AWS_REGION: "us-east-1",
      AWS_ACCESS_KEY_ID: key.id,
      AWS_SECRET_ACCESS_KEY: key.secret,
      AWS_EC2_METADATA_DISABLED: "true",
    };
  }

  async keys(prefix = ""): Promise<string[]> {
    const { Contents = [] } = await this.admin.send(
      new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix }),
    );
    return Contents.map((object) => object.Key!).sort();
  }

  async bytesOf(key: string): Promise<number> {
    return (await this.admin.send(new HeadObjectCommand({ Bucket: bucket, Key: key }))).ContentLength!;
  }

  /** What only an administrator can do. */
  async delete(...keys: string[]): Promise<void> {
    for (const Key of keys) await this.admin.send(new DeleteObjectCommand({ Bucket: bucket, Key }));
  }

  /** Multipart uploads that were begun and neither completed nor aborted. */
  async unfinishedUploads(): Promise<string[]> {
    const { Uploads = [] } = await this.admin.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
    return Uploads.map((upload) => upload.Key!);
  }

  async stop(): Promise<void> {
    this.admin.destroy();
    await this.end();
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** A proxy in front of an S3 server that answers some requests itself, as a server in trouble would. */
export async function interpose(
  endpoint: string,
  answer: (request: IncomingMessage, response: ServerResponse) => boolean | Promise<boolean>,
): Promise<{ endpoint: string; stop: () => void }> {
  const handle = async (incoming: IncomingMessage, outgoing: ServerResponse) => {
    if (await answer(incoming, outgoing)) {
      incoming.resume();
      return;
    }
    const { method, url, headers } = incoming;
    // The signature covers the Host header, so it goes on unchanged.
    const onward = request(endpoint + url, { method, headers }, (reply) => {
      outgoing.writeHead(reply.statusCode!, reply.headers);
      reply.pipe(outgoing);
    });
    onward.on("error", () => outgoing.destroy());
    incoming.pipe(onward);
  };
  const server = createServer((incoming, outgoing) => void handle(incoming, outgoing));
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  return {
    endpoint: `http://127.0.0.1:${port}`,
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

/** Waits for a condition, at most a minute, on a machine that may be busy. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`never came true: ${condition.toString()}`);
    await sleep(20);
  }
}
