/**
 * The longest line the display can take, in bytes without its newline: the official plugin reads lines through Go's
 * bufio.Scanner (MaxScanTokenSize, 64 KiB with the newline) and hangs for good on a longer one.
 */
export const longestLine = 64 * 1024 - 1;

/** Cuts chunks of output into lines, as Go's bufio.ScanLines does: without "\n", without one "\r" before it. */
export class LineCutter {
  private rest: Buffer = Buffer.alloc(0);

  constructor(private readonly onLine: (line: string) => void) {}

  /** @returns false if a line is longer than `longestLine`; nothing more may be pushed then */
  push(chunk: Buffer): boolean {
    let from = 0;
    for (let end = chunk.indexOf("\n"); end !== -1; end = chunk.indexOf("\n", from)) {
      if (!this.take(chunk.subarray(from, end))) return false;
      this.flush();
      from = end + 1;
    }
    return this.take(chunk.subarray(from));
  }

  /** The last line, if it did not end in a newline. */
  end(): void {
    if (this.rest.length > 0) this.flush();
  }

  private take(part: Buffer): boolean {
    this.rest = this.rest.length === 0 ? part : Buffer.concat([this.rest, part]);
    return this.rest.length <= longestLine;
  }

  private flush(): void {
    this.onLine(this.rest.toString("utf8").replace(/\r$/, ""));
    this.rest = Buffer.alloc(0);
  }
}
