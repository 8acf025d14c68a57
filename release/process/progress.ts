import prettyMilliseconds from "pretty-ms";

/** How often a step that is still running says so. The promise to users is a line at least every 15 seconds. */
const heartbeatMs = 10_000;

/** A short line for people. Results for machines go to stdout, everything else goes here, to stderr. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

/** "42.1s", "3m 20s": how long something took. */
export function duration(ms: number): string {
  return prettyMilliseconds(ms, { secondsDecimalDigits: 1, unitCount: 2 });
}

/**
 * Runs one step of long work: says that it starts, every ten seconds how far it is, and at the end how long it took.
 * @param title what is being done, e.g. "build ubuntu-x86_64"
 * @param work gets `report`, which sets how far it is (shown with the next heartbeat), e.g. report("120 of 489 MB")
 */
export async function step<T>(
  title: string,
  work: (report: (progress: string) => void) => Promise<T>,
): Promise<T> {
  const start = Date.now();
  let progress = "";
  say(`${title} ...`);
  const timer = setInterval(() => {
    say(`${title}: ${progress === "" ? "" : `${progress}, `}${duration(Date.now() - start)} so far`);
  }, heartbeatMs);
  try {
    const result = await work((text) => (progress = text));
    say(`${title}: done in ${duration(Date.now() - start)}`);
    return result;
  } catch (error) {
    say(`${title}: failed after ${duration(Date.now() - start)}`);
    throw error;
  } finally {
    clearInterval(timer);
  }
}

/** Makes one short line of what may be anything: no escape sequences, no control characters, at most 200 characters. */
export function printable(text: string): string {
  const plain = text.replaceAll(/\p{Cc}\[[0-9;?]*[A-Za-z]/gu, "").replaceAll(/\p{Cc}+/gu, " ");
  return plain.trim().slice(0, 200);
}
