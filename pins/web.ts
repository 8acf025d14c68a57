import { createHash } from "node:crypto";
import { createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import pRetry from "p-retry";
import prettyBytes from "pretty-bytes";
import type { z } from "zod";
import { UserError } from "../release/process/errors.js";
import { printable } from "../release/process/progress.js";
import { cancellation } from "../release/process/run.js";

/** Milliseconds that a publisher may be silent, before an answer begins and in its middle. */
const silenceMs = 30_000;
/** More than any text that is asked for; the largest, Ubuntu's list of images, has a few MB. */
const longestText = 64 * 1024 * 1024;
/** Three more tries, after 0.25, 0.75 and 2.25 s: enough for a hiccup, and tomorrow there is another run. */
const backoff = { retries: 3, minTimeout: 250, factor: 3 };

const tryLater = "try again later";
const newForm = "look at it there: if it stays so, pins/publishers/ has to learn the new form";

export interface WebOptions {
  /** GH_TOKEN, for GitHub's API alone: without one it answers 60 questions an hour. */
  token?: string | undefined;
  /**
   * PINS_MIRROR: a server that has what a publisher serves below the name of its host, so https://host/path is asked for as
   * <mirror>/host/path. Nothing of it is believed without the publisher's checksum or signature, as far as there is one.
   */
  mirror?: string | undefined;
}

/** What another try may mend: no connection, a cut transfer, silence, a busy or broken server. */
class Interruption extends Error {}

/** A publisher, asked for one thing. Its errors say what for, where, what was expected there, and what to do. */
export class Publisher {
  constructor(
    /** What is looked up, for errors: "base image". */
    readonly what: string,
    private readonly options: WebOptions,
  ) {}

  /** The error for an answer that is not what it was. */
  wrong(where: string, expected: string, remedy = newForm): UserError {
    return new UserError(`${this.what}: ${where}: expected ${expected}; ${remedy}`);
  }

  /** GETs JSON of a form. @throws UserError for no answer, or one of another form */
  async json<T>(url: string, schema: z.ZodType<T>): Promise<T> {
    const text = await this.text(url);
    let parsed: unknown;
    try {
      parsed = JSON.parse(text);
    } catch {
      throw this.wrong(url, `JSON, not ${startOf(text)}`);
    }
    return this.form(url, parsed, schema);
  }

  /** Holds what was read at `where` to a form. @throws UserError that names the first part which does not fit */
  form<T>(where: string, value: unknown, schema: z.ZodType<T>): T {
    const { data, error } = schema.safeParse(value);
    if (error === undefined) return data;
    const [issue] = error.issues;
    throw this.wrong(where, `its known form (${issue!.path.join(".") || "all of it"}: ${issue!.message})`);
  }

  async text(url: string): Promise<string> {
    return (await this.bytes(url)).toString("utf8");
  }

  /** GETs a text, or something as small, that is not empty. @throws UserError for no answer, or an empty one */
  async bytes(url: string): Promise<Buffer> {
    const chunks: Uint8Array[] = [];
    await this.get(url, async (body) => {
      chunks.length = 0;
      let length = 0;
      for await (const chunk of body) {
        chunks.push(chunk);
        length += chunk.length;
        if (length > longestText) throw this.wrong(url, `at most ${prettyBytes(longestText)}`);
      }
    });
    const bytes = Buffer.concat(chunks);
    if (bytes.length === 0) throw this.wrong(url, "an answer, not an empty one", tryLater);
    return bytes;
  }

  /**
   * GETs a file of any size.
   * @param report gets how far it is, e.g. "12 MB"
   * @returns the sha256 of what is in `file`
   */
  async download(url: string, file: string, report: (progress: string) => void): Promise<string> {
    let sha256 = "";
    await this.get(url, async (body) => {
      const hash = createHash("sha256");
      let length = 0;
      const counted = async function* () {
        for await (const chunk of body) {
          hash.update(chunk);
          length += chunk.length;
          report(prettyBytes(length));
          yield chunk;
        }
      };
      await pipeline(Readable.from(counted()), createWriteStream(file));
      sha256 = hash.digest("hex");
    });
    return sha256;
  }

  private async get(url: string, read: (body: AsyncIterable<Uint8Array>) => Promise<void>): Promise<void> {
    try {
      await pRetry(() => this.attempt(url, read), {
        ...backoff,
        signal: cancellation.signal,
        shouldRetry: ({ error }) => error instanceof Interruption,
      });
    } catch (error) {
      if (cancellation.signal.aborted) throw new UserError(`${this.what}: cancelled`);
      if (error instanceof Interruption)
        throw this.wrong(url, `an answer (${printable(error.message)})`, tryLater);
      throw error;
    }
  }

  private async attempt(
    url: string,
    read: (body: AsyncIterable<Uint8Array>) => Promise<void>,
  ): Promise<void> {
    const silence = new AbortController();
    const silent = () => silence.abort(new Interruption(`nothing came for ${silenceMs / 1000} s`));
    const timer = setTimeout(silent, silenceMs);
    try {
      const response = await fetch(this.address(url), {
        headers: this.headers(url),
        signal: AbortSignal.any([cancellation.signal, silence.signal]),
      });
      if (!response.ok || response.body === null) {
        await response.body?.cancel();
        throw this.refusal(url, response);
      }
      await read(
        (async function* () {
          // Of the answer, which must not become garbage before: https://github.com/nodejs/undici/pull/3199
          for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
            timer.refresh();
            yield chunk;
          }
        })(),
      );
    } catch (error) {
      if (error instanceof UserError || error instanceof Interruption || isOfTheDisk(error)) throw error;
      // Node says only "fetch failed" or "terminated"; the reason is in the cause.
      const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
      const { code, message } = cause as NodeJS.ErrnoException;
      throw new Interruption([message, code].filter(Boolean).join(" "));
    } finally {
      clearTimeout(timer);
    }
  }

  private address(url: string): string {
    return this.options.mirror === undefined ? url : url.replace("https:/", this.options.mirror);
  }

  private headers(url: string): Record<string, string> {
    // Otherwise Node asks for gzip, and a file would be hashed as it is unpacked.
    const headers: Record<string, string> = { "accept-encoding": "identity" };
    if (!url.startsWith("https://api.github.com/")) return headers;
    headers.accept = "application/vnd.github+json";
    const { token, mirror } = this.options;
    // Not for a mirror to see.
    if (token !== undefined && mirror === undefined) headers.authorization = `Bearer ${token}`;
    return headers;
  }

  /** https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#checking-the-status-of-your-rate-limit */
  private refusal(url: string, { status, headers }: Response): Error {
    if ([403, 429].includes(status) && headers.get("x-ratelimit-remaining") === "0")
      return this.wrong(
        url,
        "an answer, but GitHub's limit of questions is used up",
        "set GH_TOKEN (gh auth token), or try again in an hour",
      );
    if (status >= 500 || status === 408 || status === 429) return new Interruption(`it answers ${status}`);
    return this.wrong(url, `an answer, not ${status}`, tryLater);
  }
}

function startOf(text: string): string {
  return /^\s*<(!doctype|html)/i.test(text) ? "HTML" : `"${printable(text.slice(0, 40))}"`;
}

function isOfTheDisk(error: unknown): boolean {
  return ["ENOSPC", "EACCES", "EROFS"].includes((error as NodeJS.ErrnoException).code ?? "");
}
