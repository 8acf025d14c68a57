import { constants } from "node:os";

/** The texts of Go's standard library which the official plugin's error messages are made of. */

const escapes: Record<string, string> = {
  "\x07": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
  "\\": "\\\\",
  '"': '\\"',
};

/** strconv.Quote, what `%q` prints. */
export function quote(text: string): string {
  // eslint-disable-next-line no-control-regex -- control characters are what it is about
  const escaped = text.replace(/[\x00-\x1f"\\\x7f]/g, (character) => {
    return escapes[character] ?? `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
  return `"${escaped}"`;
}

const signalTexts: Partial<Record<NodeJS.Signals, string>> = {
  SIGHUP: "hangup",
  SIGINT: "interrupt",
  SIGQUIT: "quit",
  SIGILL: "illegal instruction",
  SIGTRAP: "trace/breakpoint trap",
  SIGABRT: "aborted",
  SIGBUS: "bus error",
  SIGFPE: "floating point exception",
  SIGKILL: "killed",
  SIGUSR1: "user defined signal 1",
  SIGSEGV: "segmentation fault",
  SIGUSR2: "user defined signal 2",
  SIGPIPE: "broken pipe",
  SIGALRM: "alarm clock",
  SIGTERM: "terminated",
};

/** os.ProcessState.String of a process that did not succeed. */
export function exitText(code: number | null, signal: NodeJS.Signals | null): string {
  if (signal === null) return `exit status ${code}`;
  return `signal: ${signalTexts[signal] ?? `signal ${constants.signals[signal]}`}`;
}

const errorTexts: Record<string, string> = {
  ENOENT: "no such file or directory",
  EACCES: "permission denied",
  ENOTDIR: "not a directory",
  E2BIG: "argument list too long",
  ENOEXEC: "exec format error",
  ENOMEM: "cannot allocate memory",
  EAGAIN: "resource temporarily unavailable",
  EMFILE: "too many open files",
};

/** The text of a system error. Whatever Node refuses before asking the system (a NUL in an argument) is EINVAL in Go. */
export function errorText(error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : "";
  return errorTexts[code] ?? (code.startsWith("ERR_") || code === "" ? "invalid argument" : code);
}
