import type { Dated, Finding } from "./finding.js";

const dayMs = 24 * 60 * 60 * 1000;

/** Whole days from a day until a moment. */
export function ageInDays(day: string, now: Date): number {
  return Math.floor((now.getTime() - Date.parse(day)) / dayMs);
}

/** What there is, one line each: "runner   2.337.0 (2026-08-26, 91 days old) → 2.338.0 (2026-10-06, 50 days old)". */
export function table(findings: readonly Finding[], now: Date): string {
  const text = ({ name, day }: Dated) => {
    if (day === null) return `${name} (of unknown age)`;
    const days = ageInDays(day, now);
    return `${name} (${day}, ${days} ${days === 1 ? "day" : "days"} old)`;
  };
  const rows = findings.map(({ what, pinned, newest }) =>
    pinned.name === newest.name
      ? [what, text(pinned), "  is the newest"]
      : [what, text(pinned), `→ ${text(newest)}`],
  );
  const widths = [0, 1].map((column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map(([what, pinned, newest]) => `${what!.padEnd(widths[0]!)}  ${pinned!.padEnd(widths[1]!)} ${newest}`)
    .join("\n");
}
