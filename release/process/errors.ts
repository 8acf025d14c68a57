/**
 * An error a person can cause and mend. Its message is one clear line: what is wrong, where, what is allowed,
 * and the command that fixes it. Anything else that is thrown is a bug and keeps its stack trace.
 */
export class UserError extends Error {
  override readonly name = "UserError";
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
