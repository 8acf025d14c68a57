import { Readable } from "node:stream";
import {
  type _Object,
  AbortMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  type HeadObjectCommandOutput,
  ListMultipartUploadsCommand,
  paginateListObjectsV2,
  PutObjectCommand,
  S3Client,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import pRetry from "p-retry";
import { UserError } from "../process/errors.js";
import { checksummed } from "../process/hash.js";
import { objectHeaders } from "./headers.js";
import {
  ConflictError,
  RepeatUploadError,
  type ListedObject,
  type ObjectFacts,
  type PrunableStore,
  type StoredText,
} from "./store.js";
import { explainStoreError, isMissingBucket, statusOf } from "./store-errors.js";

// The SDK is pinned by the lockfile, so this notice about its future versions has nothing to say to the people who would see it.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= "true";

const mebi = 1024 * 1024;
/** Milliseconds to connect, and of silence on a connection, before an attempt counts as failed. */
const connectionTimeout = 5_000;
const socketTimeout = 120_000;
const maxAttempts = 4;
/** Parts in flight at once: with three, sending and compressing overlap, and memory stays small. */
const partsInFlight = 3;

/** Requests of a short look through a bucket, each of which brings 1,000 keys at most. */
const fewRequests = 2;

/** S3's own limits on a multipart upload: https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */
const maxParts = 10_000;
const usualPartSize = 5 * mebi;

/**
 * The size of a part, in bytes, for an object of at most `bytes`: 5 MiB, the smallest S3 takes, more only where 10,000 parts would not do.
 * It decides the memory an upload takes: three parts in flight and one being filled.
 */
export function partSizeFor(bytes: number): number {
  return Math.max(usualPartSize, Math.ceil(bytes / maxParts / mebi) * mebi);
}

/** A bucket of any S3-compatible server. */
export class S3Store implements PrunableStore {
  readonly where: string;
  readonly #bucket: string;
  readonly #client: S3Client;

  /** @param environment the AWS SDK's own variables are read from here */
  constructor(bucket: string, environment: NodeJS.ProcessEnv) {
    // An empty variable counts as unset.
    const endpoint = environment.AWS_ENDPOINT_URL_S3 || environment.AWS_ENDPOINT_URL || undefined;
    const region = environment.AWS_REGION || environment.AWS_DEFAULT_REGION || undefined;
    const accessKeyId = environment.AWS_ACCESS_KEY_ID || undefined;
    const secretAccessKey = environment.AWS_SECRET_ACCESS_KEY || undefined;
    const sessionToken = environment.AWS_SESSION_TOKEN || undefined;
    if (endpoint === undefined && region === undefined) throw new UserError("no region: set AWS_REGION");
    this.#bucket = bucket;
    this.where = `bucket "${bucket}" at ${endpoint ?? `AWS S3, ${region}`}`;
    this.#client = new S3Client({
      region: region ?? "us-east-1",
      ...(endpoint !== undefined && { endpoint, forcePathStyle: true }),
      ...(accessKeyId !== undefined &&
        secretAccessKey !== undefined && {
          credentials: { accessKeyId, secretAccessKey, ...(sessionToken !== undefined && { sessionToken }) },
        }),
      maxAttempts,
      requestHandler: { connectionTimeout, socketTimeout },
    });
    if (isSheltered(endpoint)) leavePartsUnsigned(this.#client);
  }

  async head(key: string): Promise<ObjectFacts | null> {
    const found = await this.#orMissing(
      this.#client.send(new HeadObjectCommand({ Bucket: this.#bucket, Key: key, ChecksumMode: "ENABLED" })),
      key,
    );
    if (found === null) return null;
    return {
      bytes: found.ContentLength ?? 0,
      // https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
      crc32: found.ChecksumType === "COMPOSITE" ? null : (found.ChecksumCRC32 ?? null),
      encoding: found.ContentEncoding ?? null,
      archive: archiveOf(found),
      metadata: found.Metadata ?? {},
    };
  }

  async get(key: string): Promise<StoredText | null> {
    const found = await this.#orMissing(
      this.#client.send(new GetObjectCommand({ Bucket: this.#bucket, Key: key })),
      key,
    );
    if (found === null) return null;
    const text = await found.Body?.transformToString().catch((error: unknown) => {
      throw explainStoreError(error, this.where, key);
    });
    return { text: text ?? "", etag: found.ETag ?? "" };
  }

  async list(prefix: string, after?: string): Promise<string[]> {
    const { found } = await this.#pages({ prefix, after });
    return found.map(({ Key = "" }) => Key).sort();
  }

  async listObjects(prefix: string): Promise<ListedObject[]> {
    return listed((await this.#pages({ prefix })).found);
  }

  async listFewObjects(prefix: string): Promise<ListedObject[] | null> {
    const { found, isWhole } = await this.#pages({ prefix, requests: fewRequests });
    return isWhole ? listed(found) : null;
  }

  async folders(): Promise<string[]> {
    const found: string[] = [];
    await this.#explained(async () => {
      const pages = paginateListObjectsV2({ client: this.#client }, { Bucket: this.#bucket, Delimiter: "/" });
      for await (const { CommonPrefixes = [] } of pages)
        found.push(...CommonPrefixes.map(({ Prefix = "" }) => Prefix.replace(/\/$/, "")));
    });
    return found;
  }

  async remove(key: string): Promise<void> {
    await this.#explained(
      () => this.#client.send(new DeleteObjectCommand({ Bucket: this.#bucket, Key: key })),
      key,
    );
  }

  /** A listing, of so many requests at most. */
  async #pages({
    prefix,
    after,
    requests = Infinity,
  }: {
    prefix: string;
    after?: string | undefined;
    requests?: number;
  }): Promise<{ found: _Object[]; isWhole: boolean }> {
    const found: _Object[] = [];
    return this.#explained(async () => {
      const what = { Bucket: this.#bucket, Prefix: prefix, StartAfter: after };
      let asked = 0;
      for await (const { Contents = [], IsTruncated } of paginateListObjectsV2(
        { client: this.#client },
        what,
      )) {
        found.push(...Contents);
        if (++asked === requests) return { found, isWhole: IsTruncated !== true };
      }
      return { found, isWhole: true };
    });
  }

  async create(key: string, text: string): Promise<void> {
    if (await this.#put(key, text, { IfNoneMatch: "*" })) return;
    const there = await this.get(key);
    // Also the answer to our own request, repeated because its first answer got lost.
    if (there?.text !== text) throw new ConflictError(key, this.where);
  }

  async replace(key: string, text: string, etag: string | null): Promise<boolean> {
    return this.#put(key, text, etag === null ? { IfNoneMatch: "*" } : { IfMatch: etag });
  }

  /**
   * Writes a create-only object, as multipart upload, and looks whether it arrived. An error of the body aborts the upload and leaves
   * no part behind.
   * @param atMost bytes the body will not exceed; decides the size of the parts
   * @returns the CRC32 of what was sent, as S3 writes it
   * @throws ConflictError where there is an object already
   * @throws RepeatUploadError
   */
  async upload(
    key: string,
    body: AsyncIterable<Buffer>,
    atMost: number,
    metadata: Record<string, string>,
  ): Promise<string> {
    const sent = checksummed(body);
    const stream = Readable.from(sent.chunks);
    const upload = new Upload({
      client: this.#client,
      params: {
        Bucket: this.#bucket,
        Key: key,
        Body: stream,
        Metadata: metadata,
        IfNoneMatch: "*",
        ChecksumAlgorithm: "CRC32",
        ChecksumType: "FULL_OBJECT",
        ...objectHeaders(key),
      },
      partSize: partSizeFor(atMost),
      queueSize: partsInFlight,
    });
    await this.#explained(async () => {
      try {
        await upload.done();
      } catch (error) {
        if (statusOf(error) === 412 || isUnknownUpload(error)) throw new ConflictError(key, this.where);
        if (statusOf(error) === 409)
          throw new RepeatUploadError(`${this.where} is busy with another write to ${key}: try again`);
        throw error;
      } finally {
        stream.destroy();
      }
    });
    // versitygw, killed while it completes an upload, says yes to the repetition and has nothing.
    const stored = await this.head(key);
    if (stored === null)
      throw new RepeatUploadError(`${this.where} took ${key} and does not have it: check that server`);
    if (stored.bytes !== sent.bytes() || (stored.crc32 !== null && stored.crc32 !== sent.crc32()))
      throw new ConflictError(key, this.where);
    return sent.crc32();
  }

  /** The content of an object that is there. */
  async download(key: string): Promise<Readable> {
    return this.#explained(async () => {
      const { Body } = await this.#client.send(new GetObjectCommand({ Bucket: this.#bucket, Key: key }));
      return Body as Readable;
    }, key);
  }

  /** Ends what killed uploads to `key` left behind. Only for a key whose object is there: such uploads cannot complete. */
  async abortUnfinishedUploads(key: string): Promise<void> {
    await this.#explained(async () => {
      // One page is plenty: killed uploads of one key.
      const { Uploads = [] } = await this.#client.send(
        new ListMultipartUploadsCommand({ Bucket: this.#bucket, Prefix: key }),
      );
      for (const { Key, UploadId } of Uploads) {
        if (Key !== key) continue;
        const command = new AbortMultipartUploadCommand({ Bucket: this.#bucket, Key, UploadId });
        await this.#orMissing(this.#client.send(command));
      }
    });
  }

  /** @returns false when the condition did not hold */
  async #put(
    key: string,
    text: string,
    condition: { IfNoneMatch: string } | { IfMatch: string },
  ): Promise<boolean> {
    const command = { Bucket: this.#bucket, Key: key, Body: text, ...objectHeaders(key), ...condition };
    return this.#explained(async () => {
      try {
        await pRetry(() => this.#client.send(new PutObjectCommand(command)), {
          retries: 6,
          minTimeout: 100,
          randomize: true,
          // S3 says so while another write to the key is under way, and asks to repeat the request.
          shouldRetry: ({ error }) => statusOf(error) === 409,
        });
        return true;
      } catch (error) {
        const status = statusOf(error);
        if (status === 412 || (status === 404 && "IfMatch" in condition && !isMissingBucket(error)))
          return false;
        throw error;
      }
    });
  }

  /** The answer, or null for a missing object. A missing bucket is an error, which openStore() finds first. */
  async #orMissing<T>(answer: Promise<T>, key?: string): Promise<T | null> {
    return this.#explained(async () => {
      try {
        return await answer;
      } catch (error) {
        if (statusOf(error) === 404 && !isMissingBucket(error)) return null;
        throw error;
      }
    }, key);
  }

  /** @param key what is read, for messages */
  async #explained<T>(work: () => Promise<T>, key?: string): Promise<T> {
    try {
      return await work();
    } catch (error) {
      throw explainStoreError(error, this.where, key);
    }
  }
}

function listed(found: _Object[]): ListedObject[] {
  return found
    .map(({ Key = "", Size = 0, LastModified = new Date() }) => ({
      key: Key,
      bytes: Size,
      modifiedAt: LastModified,
    }))
    .sort((a, b) => (a.key < b.key ? -1 : 1));
}

/**
 * Where an object lies that a GET cannot reach, unless a copy of it was restored for a while:
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_HeadObject.html
 */
export function archiveOf({
  StorageClass,
  ArchiveStatus,
  Restore,
}: Partial<HeadObjectCommandOutput>): string | null {
  if (Restore?.includes('ongoing-request="false"')) return null;
  if (StorageClass === "GLACIER" || StorageClass === "DEEP_ARCHIVE") return StorageClass;
  return ArchiveStatus ?? null;
}

/** The upload was ended by another publisher, who has stored the object (abortUnfinishedUploads). */
function isUnknownUpload(error: unknown): boolean {
  return error instanceof Error && error.name === "NoSuchUpload";
}

/** Whether what is sent cannot be changed on its way: it is encrypted, or never leaves this machine. */
function isSheltered(endpoint: string | undefined): boolean {
  if (endpoint === undefined) return true;
  const { protocol, hostname } = new URL(endpoint);
  return protocol === "https:" || hostname === "127.0.0.1" || hostname === "localhost";
}

/**
 * Leaves the content of parts out of the signature: the SDK would hash every byte once more, and so would the server. Each part has its
 * CRC32, and the whole object is compared in the end.
 */
function leavePartsUnsigned(client: S3Client): void {
  client.middlewareStack.add(
    (next, context) => (args) => {
      if (context.commandName === "UploadPartCommand") {
        const { headers } = args.request as { headers: Record<string, string> };
        headers["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD";
      }
      return next(args);
    },
    { step: "build" },
  );
}
