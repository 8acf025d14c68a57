import { UserError } from "../process/errors.js";

/** What the AWS SDK and Node put on the errors they throw; all of it optional. */
interface Failure {
  name?: string;
  code?: string;
  message?: string;
  $metadata?: { httpStatusCode?: number };
  errors?: unknown[];
}

const unreachable = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  "EPIPE",
  "ETIMEDOUT",
  "TimeoutError",
]);
const wrongCredentials = new Set([
  "InvalidAccessKeyId",
  "InvalidClientTokenId",
  "SignatureDoesNotMatch",
  "InvalidToken",
  "ExpiredToken",
  "ExpiredTokenException",
  "TokenRefreshRequired",
]);
/** What was sent is not what arrived: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html. */
const damagedOnTheWay = new Set(["BadDigest", "XAmzContentSHA256Mismatch"]);
/** Below 500, and not what the request is to blame for: the server is busy, or waited for us in vain. */
const passing = new Set([408, 409, 429]);
const noCredentials = new Set(["CredentialsProviderError", "TokenProviderError"]);

/** An object cannot be read as what it was stored as. */
export class DamagedError extends UserError {}

/**
 * An error of a request to the store as the one line a person can act on.
 * @param where the bucket and its server, e.g. `bucket "images" at http://127.0.0.1:9000`
 * @param key the object, where one was read
 * @returns anything unknown as it was: it is a bug and keeps its stack
 */
export function explainStoreError(error: unknown, where: string, key?: string): unknown {
  if (error instanceof UserError || !(error instanceof Error)) return error;
  if (key !== undefined && error.name === "InvalidObjectState")
    return new DamagedError(`${key} in ${where} is archived: restore it before it can be read`);
  // The SDK compares with the checksum that the store keeps, and has no class for the difference.
  if (key !== undefined && error.message.startsWith("Checksum mismatch"))
    return new DamagedError(
      `${key} in ${where} is damaged: it does not have the checksum it was stored with`,
    );
  const failure = error as Failure;
  const status = failure.$metadata?.httpStatusCode;
  const name = failure.name ?? "";
  const cause = failure.code ?? name;
  const user = (line: string) => new UserError(line, { cause: error });

  if (name === "NoSuchBucket")
    return user(`${where} does not exist: create it with pulumi up, or correct BUCKET`);
  const credentials = explainCredentials(error, where);
  if (credentials !== null) return credentials;
  if (status === 403)
    return user(
      key === undefined
        ? `${where} denies this to the credentials in use (${name}): they need to list, read and write it`
        : `${key} in ${where} is denied to the credentials in use (${name}): they need to read it`,
    );
  if (status === 301 || name === "AuthorizationHeaderMalformed" || name === "PermanentRedirect")
    return user(`${where} is in another region: set AWS_REGION to the bucket's own`);
  if (unreachable.has(cause))
    return user(`${where} cannot be reached (${cause}): is it running, and AWS_ENDPOINT_URL_S3 right?`);
  if (damagedOnTheWay.has(name))
    return user(
      `what was sent to ${where} did not arrive as it was (${name}): look at the network, and try again`,
    );
  if (status === 507) return user(`${where} is full: free some space there`);
  if (status !== undefined && (status >= 500 || passing.has(status) || name === "RequestTimeout"))
    return user(
      `${where} answers ${status} (${name})${key === undefined ? "" : ` for ${key}`}: try again later`,
    );
  return error;
}

/** The line about credentials that are absent or not accepted; null where they are not what is wrong. */
export function explainCredentials(error: unknown, where: string): UserError | null {
  const { name = "" } = error as Failure;
  if (noCredentials.has(name))
    return new UserError(
      `no credentials for ${where}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE`,
      { cause: error },
    );
  if (wrongCredentials.has(name))
    return new UserError(
      `${where} refuses the credentials (${name}): check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN`,
      { cause: error },
    );
  return null;
}

/** The HTTP status of an S3 error, or undefined. */
export function statusOf(error: unknown): number | undefined {
  return (error as Failure | undefined)?.$metadata?.httpStatusCode;
}

export function isMissingBucket(error: unknown): boolean {
  return error instanceof Error && error.name === "NoSuchBucket";
}
