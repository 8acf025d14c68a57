import { z } from "zod";
import type { Entry } from "./disk.js";
import {
  judgePasswords,
  judgePaths,
  judgePermissions,
  judgeSudoers,
  judgeUsers,
  type Finding,
} from "./rules.js";

/** What `find` prints of an entry: type, mode, size and path. */
const found = /^(\S) ([0-7]+) (\d+) (\/.*)$/s;

/**
 * What a guest says of itself, after its job, for the rules of an image's disk (image/, /usr/lib/runner-image/boot-report): how those stand
 * who log in, and that nothing has undone them since.
 */
export const guestFacts = z.object({
  /** /etc/passwd, and /etc/shadow with an x for every hash. */
  passwd: z.string(),
  shadow: z.string(),
  /** Lines of sudoers, each behind its file and a colon. */
  sudoers: z.array(z.string()),
  /** Units: timers that wait for their time. */
  timers: z.array(z.string()),
  /** Whatever the rules could be about, as lines `<type> <mode> <bytes> <path>`. */
  files: z.array(z.string().regex(found)),
});
export type GuestFacts = z.infer<typeof guestFacts>;

const kinds: Partial<Record<string, Entry["kind"]>> = { d: "directory", f: "file", l: "link" };

/** The rules that hold in a guest too: it has host keys, a machine-id and logs of its own, and its job may have left files in /tmp. */
export function judgeGuest({ passwd, shadow, sudoers, timers, files }: GuestFacts): Finding[] {
  const entries = files.map((line): Entry => {
    const [, type, mode, bytes, path] = found.exec(line)!;
    return { path: path!, kind: kinds[type!] ?? "other", mode: parseInt(mode!, 8), bytes: Number(bytes) };
  });
  const lines = sudoers.map((text) => {
    const [path, line] = text.split(/:(.*)/s);
    return { path: path!, line: line ?? "" };
  });
  return [
    ...judgePasswords(shadow),
    ...judgeUsers(passwd),
    ...judgeSudoers(lines),
    ...judgePaths(entries, "guest"),
    ...judgePermissions(entries),
    ...timers.map((unit): Finding => ({ rule: "timer", path: unit, what: "runs beside a job" })),
  ];
}
