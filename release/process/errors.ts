/** The exit codes of the release commands, which scripts rely on (docs/hosts.md). Besides: 130 and 143, cancelled by SIGINT and SIGTERM. */
export const exitCodes = {
  done: 0,
  /** It failed for a reason that has no code of its own. */
  failed: 1,
  usage: 2,
  /** Nobody answers, or a server that is broken or busy: later it may work. */
  unreachable: 3,
  /** What is served is not what was published, or was not built by whom it should have been: somebody has to look. */
  refused: 4,
  /** There is not enough room on the disk. */
  noSpace: 5,
  bug: 70,
} as const;

export type FailureKind = "failed" | "unreachable" | "refused" | "noSpace";

/**
 * An error a person can cause and mend. Its message is one clear line: what is wrong, where, what is allowed,
 * and the command that fixes it. Anything else that is thrown is a bug and keeps its stack trace.
 */
export class UserError extends Error {
  override readonly name = "UserError";

  /** What a script is told (see `exitCodes`). */
  readonly kind: FailureKind;

  constructor(message: string, options: ErrorOptions & { kind?: FailureKind } = {}) {
    super(message, options);
    this.kind = options.kind ?? "failed";
  }
}

/** What a command exits with that threw this. */
export function exitCodeOf(error: unknown): number {
  return error instanceof UserError ? exitCodes[error.kind] : exitCodes.bug;
}

/** Why fetch() got no answer: the network's code, as in ECONNREFUSED, else what it says. */
export function fetchReason(error: unknown): string {
  const { cause, message } = error as Error & { cause?: { code?: string } };
  return cause?.code ?? message;
}

/** The text to show for anything thrown: the message of a `UserError`, the stack of a bug. */
export function describeError(error: unknown): string {
  if (error instanceof UserError) return `error: ${error.message}`;
  if (error instanceof Error) return `bug: ${error.stack ?? error.message}`;
  return `bug: ${String(error)}`;
}
