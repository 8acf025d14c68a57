import { cancellation } from "./run.js";

const exitCodes = { SIGINT: 130, SIGTERM: 143 } as const;
let cancelledBy: keyof typeof exitCodes | null = null;

/**
 * The first SIGINT or SIGTERM aborts `cancellation`, so that every tool and transfer ends and cleans up after itself; the second
 * one ends this process at once, and the tools with it.
 */
export function onCancel(): void {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (cancelledBy !== null) process.exit(exitCodes[cancelledBy]);
      cancelledBy = signal;
      cancellation.abort();
    });
  }
}

/** 130 or 143 once a signal came; null before. */
export function cancellationExitCode(): number | null {
  return cancelledBy === null ? null : exitCodes[cancelledBy];
}
