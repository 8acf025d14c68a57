import { once } from "node:events";
import { accessSync, constants, statSync } from "node:fs";
import path from "node:path";
import { startChild } from "./child.js";
import { errorText, exitText, quote } from "./go-text.js";
import type { CommandInputs } from "./inputs.js";
import { LineCutter, longestLine } from "./lines.js";

/** What a command printed, each without one trailing newline. */
export interface Output {
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  /** What the previous run printed, for PULUMI_COMMAND_STDOUT and PULUMI_COMMAND_STDERR. */
  previous: Output;
  /** Called with each line as it is printed; awaited before the next one, so that the order holds. */
  onLine: (line: string) => Promise<void>;
  /** Kills the command. As in the official plugin: its direct child only, by SIGKILL. */
  signal: AbortSignal;
}

/**
 * Runs one command as the official plugin does (pulumi/pulumi-command, provider/pkg/provider/local/commandOutputs.go).
 * It ends when the process has ended *and* nobody holds its output any more.
 * @throws Error "<why>: running "<command>":\n<everything it printed>"
 */
export async function runCommand(
  command: string,
  inputs: CommandInputs,
  options: RunOptions,
): Promise<Output> {
  const printed = new Printed();
  try {
    await runTo(printed, command, inputs, options);
  } catch (error) {
    throw new Error(`${(error as Error).message}: running ${quote(command)}:\n${printed.all()}`, {
      cause: error,
    });
  }
  return { stdout: printed.text("stdout"), stderr: printed.text("stderr") };
}

async function runTo(
  printed: Printed,
  command: string,
  inputs: CommandInputs,
  { previous, onLine, signal }: RunOptions,
): Promise<void> {
  if (signal.aborted) throw new Error("context canceled");
  const words = inputs.interpreter?.length ? inputs.interpreter : ["/bin/sh", "-c"];
  const file = lookUp(words[0] ?? "");
  checkFolder(inputs.dir);
  const child = await startChild(file, {
    argv: [...words, command],
    cwd: inputs.dir,
    env: environment(inputs, previous),
    stdin: inputs.stdin ?? "",
  });
  signal.addEventListener("abort", child.kill);
  if (signal.aborted) child.kill();

  let logged = Promise.resolve();
  const lines = new LineCutter((line) => {
    logged = logged.then(() => onLine(line));
  });
  const refused = new Promise<never>((_, refuse) => {
    for (const stream of ["stdout", "stderr"] as const)
      child[stream].on("data", (chunk: Buffer) => {
        printed.add(stream, chunk);
        if (!isLogged(inputs.logging, stream) || lines.push(chunk)) return;
        printed.drop();
        refuse(
          new Error(
            `a line of its output is longer than ${longestLine} bytes, on which the official command plugin hangs for` +
              ` good (break the line, send it to a file, or set logging: "none")`,
          ),
        );
      });
  });
  try {
    const ended = Promise.all([child.exit, once(child.stdout, "close"), once(child.stderr, "close")]);
    const [{ code, signal }] = await Promise.race([ended, refused]);
    lines.end();
    await logged;
    if (code !== 0) throw new Error(exitText(code, signal));
  } finally {
    signal.removeEventListener("abort", child.kill);
    child.kill();
    child.stdout.destroy();
    child.stderr.destroy();
  }
}

/** What a command prints, by stream and in the order of arrival. */
class Printed {
  private chunks: { stream: keyof Output; chunk: Buffer }[] = [];

  add(stream: keyof Output, chunk: Buffer): void {
    this.chunks.push({ stream, chunk });
  }

  drop(): void {
    this.chunks = [];
  }

  all(): string {
    return Buffer.concat(this.chunks.map(({ chunk }) => chunk)).toString("utf8");
  }

  /** @throws Error in the official words: a protobuf string holds UTF-8 only */
  text(stream: keyof Output): string {
    const chunks = this.chunks.filter((entry) => entry.stream === stream).map(({ chunk }) => chunk);
    try {
      const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
      return decoder.decode(Buffer.concat(chunks)).replace(/\n$/, "");
    } catch (error) {
      throw new Error("grpc: error while marshaling: string field contains invalid UTF-8", { cause: error });
    }
  }
}

function isLogged(logging: string | undefined, stream: keyof Output): boolean {
  return logging === undefined || logging === stream || logging === "stdoutAndStderr";
}

function environment(inputs: CommandInputs, previous: Output): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env, ...inputs.environment };
  if (inputs.addPreviousOutputInEnv === false) return env;
  if (previous.stdout !== "") env["PULUMI_COMMAND_STDOUT"] = previous.stdout;
  if (previous.stderr !== "") env["PULUMI_COMMAND_STDERR"] = previous.stderr;
  return env;
}

/** os/exec.LookPath: this process's PATH decides, not the command's. */
function lookUp(name: string): string {
  if (name.includes("/")) return name;
  for (const folder of (process.env["PATH"] ?? "").split(":")) {
    const file = path.join(folder || ".", name);
    try {
      accessSync(file, constants.X_OK);
      if (statSync(file).isFile()) return file;
    } catch {
      // Not in this folder.
    }
  }
  throw new Error(`exec: ${quote(name)}: executable file not found in $PATH`);
}

/** os.StartProcess looks at the folder first, since the system's own error would name the program. */
function checkFolder(dir: string | undefined): void {
  if (dir === undefined) return;
  try {
    statSync(dir);
  } catch (error) {
    throw new Error(`chdir ${dir}: ${errorText(error)}`, { cause: error });
  }
}
