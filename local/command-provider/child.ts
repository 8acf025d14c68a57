import { spawn } from "node:child_process";
import { closeSync } from "node:fs";
import { Socket } from "node:net";
import { errorText } from "./go-text.js";
import { openPipe, openText } from "./pipe.js";

export interface ChildOptions {
  /** The program's first word as it calls itself, then its arguments. */
  argv: string[];
  cwd: string | undefined;
  env: NodeJS.ProcessEnv;
  /** Its whole standard input; empty: /dev/null. */
  stdin: string;
}

/** A running process. Its output may outlive it, in processes it started. */
export interface Child {
  /** @throws Error "fork/exec <file>: <why>" if it could not be started */
  exit: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  stdout: Socket;
  stderr: Socket;
  /** SIGKILL, to this process alone. */
  kill: () => void;
}

/** Starts a program in this process's own process group, on pipes a script can open by name. */
export async function startChild(file: string, { argv, cwd, env, stdin }: ChildOptions): Promise<Child> {
  const stdout = await openPipe();
  const stderr = await openPipe();
  const input = stdin === "" ? undefined : await openText(stdin);
  const [argv0 = file, ...args] = argv;
  let kill = () => {};

  const exit = new Promise<Awaited<Child["exit"]>>((resolve, reject) => {
    const child = spawn(file, args, {
      argv0,
      ...(cwd !== undefined && { cwd }),
      env,
      stdio: [input ?? "ignore", stdout.write, stderr.write],
    });
    child.on("exit", (code, signal) => resolve({ code, signal })).on("error", reject);
    kill = () => void child.kill("SIGKILL");
  }).catch((error: unknown) => {
    throw new Error(`fork/exec ${file}: ${errorText(error)}`, { cause: error });
  });
  // The child has its own copies; without these the output ends when it does.
  for (const fd of [stdout.write, stderr.write, input]) if (fd !== undefined) closeSync(fd);

  return { exit, stdout: reader(stdout.read), stderr: reader(stderr.read), kill };
}

function reader(fd: number): Socket {
  return new Socket({ fd, readable: true, writable: false });
}
