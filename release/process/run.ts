import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { mkdir, open } from "node:fs/promises";
import path from "node:path";
import { execa } from "execa";
import { withoutCredentials } from "./environment.js";
import { UserError } from "./errors.js";
import { endingWithUs } from "./parent-death.js";
import { printable } from "./progress.js";

/** Aborted once, by the first SIGINT or SIGTERM (see `onCancel` in cli.ts): everything long-running listens to it. */
export const cancellation = new AbortController();

/** How long a tool gets to clean up after SIGTERM before SIGKILL. Pulumi itself is killed 10 s after a job is cancelled. */
const graceMs = 8_000;

export interface RunOptions {
  cwd?: string;
  env?: Record<string, string>;
  /** It runs others' code, so it gets no credential of this process's environment. */
  withoutCredentials?: boolean;
  /** Everything the tool prints goes to this file, which is made afresh; the error names it. */
  log: string;
  /** Milliseconds after which the tool is ended. */
  timeout?: number;
  /** Cancels the tool alone. */
  signal?: AbortSignal;
}

/**
 * Runs a tool to its end with its output in a file. It gets SIGTERM when this process is cancelled *or dies* (parent-death.ts), so that
 * not even `kill -9` leaves it behind.
 * @throws UserError with the end of the log when it fails or takes too long
 */
export async function run(command: string, args: string[], options: RunOptions): Promise<void> {
  await mkdir(path.dirname(options.log), { recursive: true });
  const log = createWriteStream(options.log);
  await once(log, "open");
  try {
    const result = await execa(...(await endingWithUs("TERM", command, args)), {
      cwd: options.cwd ?? process.cwd(),
      env: { ...(options.withoutCredentials ? withoutCredentials(process.env) : {}), ...options.env },
      extendEnv: !options.withoutCredentials,
      timeout: options.timeout ?? 0,
      stdin: "ignore",
      // An open file: the tool writes to it itself, nothing passes through this process.
      stdout: log,
      stderr: log,
      buffer: false,
      cancelSignal: AbortSignal.any([cancellation.signal, ...(options.signal ? [options.signal] : [])]),
      forceKillAfterDelay: graceMs,
      reject: false,
    });
    if (result.isCanceled) throw new UserError(`${command} was cancelled`);
    if (result.timedOut)
      throw new UserError(`${command} took longer than ${options.timeout} ms (whole log: ${options.log})`);
    if (result.failed) {
      const why =
        result.signal === undefined ? `exited with ${result.exitCode}` : `was ended by ${result.signal}`;
      throw new UserError(`${command} ${why}; whole log: ${options.log}\n${await lastLines(options.log)}`);
    }
  } finally {
    log.end();
  }
}

/** The last lines of a log file, for an error message. Bounded, since one very long line hangs Pulumi's display. */
export async function lastLines(file: string, count = 20): Promise<string> {
  const handle = await open(file, "r");
  try {
    const { size } = await handle.stat();
    const length = Math.min(size, 16 * 1024);
    const { buffer } = await handle.read({ buffer: Buffer.alloc(length), position: size - length });
    const lines = buffer
      .toString("utf8")
      .split(/[\r\n]+/)
      .filter((line) => line.trim() !== "");
    return lines
      .slice(-count)
      .map((line) => `  | ${printable(line)}`)
      .join("\n");
  } finally {
    await handle.close();
  }
}
