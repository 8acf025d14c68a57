import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { UserError } from "../../../../release/process/errors.js";
import { objectHeaders } from "../../../../release/store/headers.js";
import { keys } from "../../../../release/store/keys.js";
import { manifest } from "../../../../release/store/records.js";
import { explainStoreError } from "../../../../release/store/store-errors.js";
import { archiveOf, partSizeFor, S3Store } from "../../../../release/store/s3-store.js";
import { getJson, parseJson } from "../../../../release/store/store.js";
import { manifestOf, MemoryStore } from "../memory-store.js";

const commit = "c".repeat(40);
const mebi = 1024 ** 2;

describe("the size of a part", () => {
  it("is the smallest that S3 takes, 5 MiB, for every image of usual size", () => {
    expect(partSizeFor(0)).toBe(5 * mebi);
    expect(partSizeFor(50_000 * mebi)).toBe(5 * mebi);
  });

  it("is whole MiB, and never leads to more than 10,000 parts", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 5 * 1024 ** 4 }), (bytes) => {
        const size = partSizeFor(bytes);
        expect(size % mebi).toBe(0);
        expect(Math.ceil(bytes / size)).toBeLessThanOrEqual(10_000);
      }),
    );
  });

  it("never shrinks as the image grows", () => {
    fc.assert(
      fc.property(fc.nat(5 * 1024 ** 4), fc.nat(1024 ** 4), (bytes, more) => {
        expect(partSizeFor(bytes + more)).toBeGreaterThanOrEqual(partSizeFor(bytes));
      }),
    );
  });
});

describe("the headers of an object", () => {
  it.each([
    [keys.latest, "text/plain", "max-age=60"],
    [keys.latestJson, "application/json", "max-age=60"],
    [keys.page, "text/html; charset=utf-8", "max-age=60"],
    [keys.feed, "application/atom+xml", "max-age=60"],
    [keys.moves(200), "text/html; charset=utf-8", "max-age=60"],
    [keys.pointer(1), "application/json", "max-age=31536000, immutable"],
    [keys.disk(commit, "x86_64"), "application/zstd", "max-age=31536000, immutable"],
    [keys.diskSha256(commit, "x86_64"), "text/plain", "max-age=31536000, immutable"],
    [keys.manifest(commit, "aarch64"), "application/json", "max-age=31536000, immutable"],
    [keys.bootRecord(commit, "aarch64"), "application/json", "max-age=31536000, immutable"],
  ])("of %s are %s, %s, and nothing else", (key, ContentType, CacheControl) => {
    expect(objectHeaders(key)).toEqual({ ContentType, CacheControl });
  });
});

describe("an object that was moved to an archive", () => {
  it.each<[string, Parameters<typeof archiveOf>[0], string | null]>([
    ["can be read in S3 Standard, of which S3 says nothing", {}, null],
    ["can be read at once from Glacier Instant Retrieval", { StorageClass: "GLACIER_IR" }, null],
    ["cannot be read from Glacier", { StorageClass: "GLACIER" }, "GLACIER"],
    ["cannot be read from Deep Archive", { StorageClass: "DEEP_ARCHIVE" }, "DEEP_ARCHIVE"],
    [
      "cannot be read from an archive tier of Intelligent-Tiering",
      { StorageClass: "INTELLIGENT_TIERING", ArchiveStatus: "ARCHIVE_ACCESS" },
      "ARCHIVE_ACCESS",
    ],
    [
      "cannot be read while it is restored",
      { StorageClass: "GLACIER", Restore: 'ongoing-request="true"' },
      "GLACIER",
    ],
    [
      "can be read while it stays restored",
      {
        StorageClass: "GLACIER",
        Restore: 'ongoing-request="false", expiry-date="Fri, 21 Dec 2029 00:00:00 GMT"',
      },
      null,
    ],
  ])("%s", (_, answer, archive) => {
    expect(archiveOf(answer)).toBe(archive);
  });
});

describe("trouble with the store", () => {
  const failure = (name: string, status?: number, code?: string) =>
    Object.assign(new Error("x"), { name, $metadata: { httpStatusCode: status }, ...(code && { code }) });

  it.each([
    ["a missing bucket", failure("NoSuchBucket", 404), /does not exist: create it/],
    ["an unknown key", failure("InvalidAccessKeyId", 403), /refuses the credentials/],
    ["a wrong secret", failure("SignatureDoesNotMatch", 403), /refuses the credentials/],
    ["an expired session", failure("ExpiredToken", 400), /refuses the credentials/],
    ["no credentials at all", failure("CredentialsProviderError"), /set AWS_ACCESS_KEY_ID/],
    ["a denied request", failure("AccessDenied", 403), /denies this/],
    ["another region", failure("PermanentRedirect", 301), /AWS_REGION/],
    ["a closed port", failure("Error", undefined, "ECONNREFUSED"), /cannot be reached \(ECONNREFUSED\)/],
    ["an unknown host", failure("Error", undefined, "ENOTFOUND"), /cannot be reached/],
    ["silence", failure("TimeoutError"), /cannot be reached/],
    ["a full disk", failure("InsufficientStorage", 507), /is full/],
    ["a broken server", failure("InternalError", 500), /answers 500/],
    ["a busy server", failure("TooManyRequests", 429), /answers 429/],
    ["two writers", failure("ConditionalRequestConflict", 409), /answers 409/],
    ["an upload that stalls", failure("RequestTimeout", 400), /answers 400 \(RequestTimeout\): try again/],
    ["content damaged on its way", failure("XAmzContentSHA256Mismatch", 400), /did not arrive as it was/],
    ["a part damaged on its way", failure("BadDigest", 400), /did not arrive as it was/],
  ])("is one line for %s", (_, error, message) => {
    const explained = explainStoreError(error, "the store");
    expect(explained).toBeInstanceOf(UserError);
    expect((explained as UserError).message).toMatch(message);
    expect((explained as UserError).message).toMatch(/^the store|(for|to) the store/);
    expect((explained as UserError).message).not.toContain("\n");
  });

  it("names the object where that is what cannot be read", () => {
    for (const error of [failure("AccessDenied", 403), failure("InternalError", 500)])
      expect((explainStoreError(error, "the store", "images/x") as UserError).message).toContain("images/x");
    expect(
      (explainStoreError(failure("ExpiredToken", 400), "the store", "images/x") as UserError).message,
    ).not.toContain("images/x");
  });

  it("stays a bug where it is not known", () => {
    const error = new TypeError("x is not a function");
    expect(explainStoreError(error, "the store")).toBe(error);
  });

  it("names AWS_REGION where neither region nor endpoint is set", () => {
    expect(() => new S3Store("images", {})).toThrow(/AWS_REGION/);
    expect(() => new S3Store("images", { AWS_REGION: "" })).toThrow(/AWS_REGION/);
  });
});

describe("a record in the store", () => {
  it("reads back as it was written", async () => {
    const store = new MemoryStore();
    const record = manifestOf(commit, "x86_64");
    await store.create("key", JSON.stringify(record));
    expect(await getJson(store, "key", manifest)).toEqual(record);
  });

  it("is null where there is none, and an error that names it where it is spoilt", async () => {
    const store = new MemoryStore();
    expect(await getJson(store, "key", manifest)).toBeNull();
    await store.create("key", "[]");
    await expect(getJson(store, "key", manifest)).rejects.toThrow(
      'key in bucket "memory" is not a valid record',
    );
  });

  it.each([
    ["an upper-case hash", { disk: { bytes: 1, sha256: "A".repeat(64) } }],
    ["a short commit", { commit: "abc" }],
    ["an unknown architecture", { arch: "riscv64" }],
    ["an empty disk", { disk: { bytes: 0, sha256: "5".repeat(64) } }],
    ["another schema", { schema: 2 }],
  ])("is refused with %s", (_, change) => {
    expect(parseJson(JSON.stringify({ ...manifestOf(commit, "x86_64"), ...change }), manifest)).toBeNull();
  });
});
