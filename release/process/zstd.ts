import type { Writable } from "node:stream";
import { execa, type ExecaError } from "execa";
import { UserError } from "./errors.js";
import { cancellation } from "./run.js";

/** zstd rejects its input, or was killed. */
export class ZstdError extends UserError {}

export interface Zstd {
  input: Writable;
  output: AsyncIterable<Buffer>;
  /** Rejects unless it exits with 0. */
  ended: Promise<unknown>;
  kill: () => void;
}

/** zstd between two pipes; it ends with this process, however that ends. */
export function startZstd(args: string[]): Zstd {
  const child = execa("setpriv", ["--pdeathsig", "KILL", "zstd", "-q", "-c", ...args], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
    buffer: { stdout: false, stderr: true },
    encoding: "buffer",
    cancelSignal: cancellation.signal,
  });
  const ended = child.catch((error: ExecaError<{ encoding: "buffer" }>) => {
    const said = Buffer.from(error.stderr ?? [])
      .toString("utf8")
      .trim()
      .split("\n")
      .join("; ");
    throw new ZstdError(`zstd failed: ${said === "" ? error.shortMessage : said}`, { cause: error });
  });
  ended.catch(() => undefined);
  // Execa throws away what comes before somebody reads, unless told to wait: https://github.com/sindresorhus/execa/issues/730
  child.stdout.pause();
  return { input: child.stdin, output: child.stdout, ended, kill: () => void child.kill() };
}
