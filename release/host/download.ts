import { open, readFile, rm, stat, writeFile } from "node:fs/promises";
import pRetry from "p-retry";
import { UserError } from "../process/errors.js";
import { cancellation } from "../process/run.js";

/** A request or a transfer that is silent for this long is given up and tried again. */
const silenceMs = 30_000;
/** More than any text of this project: a server that sends more is not the one that was meant. */
const maxTextBytes = 1024 * 1024;
/** A try that brought this much is no failure: a long download over a bad line ends as long as it moves. */
const progressBytes = 1024 * 1024;
/** A quarter of a second, then twice as long each time, at most ten seconds: all seven retries take about 26 s. */
const backoff = { retries: 7, factor: 2, minTimeout: 250, maxTimeout: 10_000 };

export interface DownloadOptions {
  /** What is downloaded, for the error when the server does not have it, e.g. "ubuntu-x86_64 of 3f2a…". */
  what: string;
  /** How often a failure is tried again while nothing new arrives; default 7. */
  retries?: number | undefined;
}

/** What another try may mend: no connection, a cut transfer, silence, a busy or broken server. */
class Interruption extends Error {}

/** A small text, and what the server calls this version of it; null: nothing. */
export interface Text {
  text: string;
  etag: string | null;
}

/**
 * GETs a small text.
 * @throws UserError when the server does not have it or cannot be reached
 */
export async function downloadText(url: string, options: DownloadOptions): Promise<string> {
  const answer = await downloadNewText(url, null, options);
  return (answer as Text).text;
}

/**
 * GETs a small text, unless it is still what it was.
 * @param known the ETag of the version that is known; null: none is
 * @returns null where that is the newest
 */
export async function downloadNewText(
  url: string,
  known: string | null,
  options: DownloadOptions,
): Promise<Text | null> {
  return await persistently(url, options, async () => {
    const { status, headers, body } = await get(
      url,
      known === null ? {} : { "if-none-match": known },
      options.what,
    );
    if (status === 304) return null;
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of body) {
      chunks.push(chunk);
      length += chunk.length;
      if (length > maxTextBytes)
        throw new UserError(`${url} is over 1 MiB: it is not ${options.what}`, { kind: "refused" });
    }
    return { text: Buffer.concat(chunks).toString("utf8"), etag: headers.get("etag") };
  });
}

/**
 * GETs a file of a known size into `file`, and goes on from where an earlier call or run was cut: what is there is
 * kept as long as the server still serves the same bytes, which its ETag says (`<file>.etag`, sent as If-Range).
 * The bytes are not verified here.
 * @param report gets the number of bytes that are there
 * @returns whether bytes of an earlier run were used
 * @throws UserError when the server does not have it, sends another size, or cannot be reached
 */
export async function downloadFile(
  url: string,
  file: string,
  bytes: number,
  options: DownloadOptions & { report: (have: number) => void },
): Promise<{ resumed: boolean }> {
  const etagFile = `${file}.etag`;
  let resumed: boolean | undefined;
  let grown = false;
  await persistently(
    url,
    options,
    async () => {
      grown = false;
      const etag = await readFile(etagFile, "utf8").catch(() => undefined);
      let have = etag === undefined ? 0 : await sizeOf(file);
      if (have > bytes) have = 0;
      if (have < bytes) {
        const headers = etag !== undefined && have > 0 ? { range: `bytes=${have}-`, "if-range": etag } : {};
        const answer = await get(url, headers, options.what);
        if (answer.status !== 206) have = 0;
        else if (!answer.headers.get("content-range")?.startsWith(`bytes ${have}-`))
          throw new UserError(`${url} answered with another range than it was asked for`);
        resumed ??= have > 0;
        const start = have;
        const target = await open(file, "a");
        try {
          await target.truncate(start);
          options.report(start);
          // Only a strong ETag promises the same bytes; without one the next try starts at the beginning.
          const newTag = answer.headers.get("etag");
          if (newTag !== null && !newTag.startsWith("W/")) await writeFile(etagFile, newTag);
          else await rm(etagFile, { force: true });
          for await (const chunk of answer.body) {
            have += chunk.length;
            if (have > bytes)
              throw new UserError(`${url} is longer than the ${bytes} bytes its manifest says`, {
                kind: "refused",
              });
            await target.appendFile(chunk);
            grown = have - start >= progressBytes;
            options.report(have);
          }
        } finally {
          await target.close();
        }
      }
      resumed ??= true;
      options.report(have);
      if (have < bytes) throw new Interruption(`the transfer ended at ${have} of ${bytes} bytes`);
    },
    () => grown,
  );
  return { resumed: resumed === true };
}

/** Counts the bytes that come through the network, by what `downloadFile` reports; what an earlier run left is none of them. */
export function receivedBytes(): { note: (have: number) => void; count: () => number } {
  let last: number | undefined;
  let received = 0;
  return {
    note: (have) => {
      received += Math.max(0, have - (last ?? have));
      last = have;
    },
    count: () => received,
  };
}

async function sizeOf(file: string): Promise<number> {
  const stats = await stat(file).catch(() => undefined);
  return stats?.size ?? 0;
}

interface Answer {
  status: number;
  headers: Headers;
  /** Ends in an `Interruption` when the transfer is cut or falls silent. */
  body: AsyncIterable<Uint8Array>;
}

/** One GET, up to the headers. Silence, in the headers or later in the body, ends it. */
async function get(url: string, headers: Record<string, string>, what: string): Promise<Answer> {
  const silence = new AbortController();
  const timer = setTimeout(
    () => silence.abort(new Interruption(`nothing came for ${silenceMs / 1000} s`)),
    silenceMs,
  ).unref();
  try {
    const response = await fetch(url, {
      // Otherwise Node asks for gzip, and what it then writes is not what the server stores.
      headers: { "accept-encoding": "identity", ...headers },
      signal: AbortSignal.any([cancellation.signal, silence.signal]),
    });
    const { status, body } = response;
    if (response.ok || (status === 304 && "if-none-match" in headers)) {
      return { status, headers: response.headers, body: watched(response, () => timer.refresh()) };
    }
    await body?.cancel();
    // A store which does not let everyone list it says 403 for what does not exist.
    if ([403, 404, 410].includes(status))
      throw new UserError(`${what} is not published there: ${url} answered ${status}`);
    if (status >= 500 || status === 408 || status === 429) throw new Interruption(`it answered ${status}`);
    throw new UserError(`${url} answered ${status}`);
  } catch (error) {
    throw error instanceof UserError ? error : interruption(error);
  }
}

/** Takes the answer and not its body: Node ends a body that nobody reads yet once its answer is garbage (https://github.com/nodejs/undici/pull/3199). */
async function* watched(response: Response, alive: () => void): AsyncGenerator<Uint8Array> {
  try {
    for await (const chunk of (response.body ?? []) as AsyncIterable<Uint8Array>) {
      alive();
      yield chunk;
    }
  } catch (error) {
    throw interruption(error);
  }
}

/** Node says only "fetch failed" or "terminated"; the reason is in the cause. */
function interruption(error: unknown): Interruption {
  if (error instanceof Interruption) return error;
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const { code, message } = cause as NodeJS.ErrnoException;
  return new Interruption([message, code].filter((text) => text !== undefined && text !== "").join(" "));
}

/**
 * Tries until it works, as long as another try may help.
 * @param progressed whether the failed try brought enough not to count
 */
async function persistently<T>(
  url: string,
  options: DownloadOptions,
  attempt: () => Promise<T>,
  progressed: () => boolean = () => false,
): Promise<T> {
  try {
    return await pRetry(attempt, {
      ...backoff,
      retries: options.retries ?? backoff.retries,
      signal: cancellation.signal,
      shouldRetry: ({ error }) => error instanceof Interruption,
      shouldConsumeRetry: () => !progressed(),
    });
  } catch (error) {
    if (cancellation.signal.aborted) throw new UserError(`the download of ${url} was cancelled`);
    if ((error as NodeJS.ErrnoException).code === "ENOSPC")
      throw new UserError(`the disk became full during the download of ${url}: free some space and repeat`, {
        kind: "noSpace",
      });
    if (error instanceof Interruption)
      throw new UserError(`cannot download ${url}: ${error.message}`, { kind: "unreachable" });
    throw error;
  }
}
