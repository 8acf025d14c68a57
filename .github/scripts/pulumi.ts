import { once } from "node:events";
import { spawn, type ChildProcess } from "node:child_process";
import { stripVTControlCharacters } from "node:util";
import { configuredState } from "../../local/stack-file.js";

/** The production stack. */
export const stack = "prod";

let running: ChildProcess | undefined;
let cancelledBy: NodeJS.Signals | null = null;

/**
 * GitHub cancels a job by SIGINT to the step's own process, SIGTERM 7.5 s later, and a kill 2.5 s after that. Pulumi is told once: told
 * twice, it cuts off the clean-up of its commands.
 */
export function passSignalOn(): void {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => {
      if (cancelledBy !== null) return;
      cancelledBy = signal;
      running?.kill("SIGINT");
    });
  }
}

/** Whether this job was cancelled: nothing new may be started. */
export function isCancelled(): boolean {
  return cancelledBy !== null;
}

export interface PulumiResult {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/**
 * Runs Pulumi; all it prints goes to the log as it comes, and is kept. Its state is where the reviewed stack file says: a variable of the
 * repository could be changed by whoever may push, and Pulumi would load the plugins that the state there names, beside the role.
 */
export async function pulumi(args: string[], env: Record<string, string> = {}): Promise<PulumiResult> {
  const state = await configuredState(process.cwd(), stack);
  const child = spawn("pulumi", [...args, "--non-interactive", "--color", "never"], {
    env: { ...process.env, ...(state !== undefined && { PULUMI_BACKEND_URL: state }), ...env },
    stdio: ["ignore", "pipe", "pipe"],
    // In a group of its own: a terminal's Ctrl-C would reach it a second time.
    detached: true,
  });
  running = child;
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    process.stdout.write(text);
    stdout += text;
  });
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    process.stderr.write(text);
    stderr += text;
  });
  try {
    const [code] = (await once(child, "close")) as [number | null];
    return { exitCode: code ?? 130, stdout, stderr: stripVTControlCharacters(stderr) };
  } finally {
    running = undefined;
  }
}
