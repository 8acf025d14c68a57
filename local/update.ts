import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { RunError } from "@pulumi/pulumi";
import {
  LocalWorkspace,
  Stack,
  type EngineEvent,
  type StepEventMetadata,
} from "@pulumi/pulumi/automation/index.js";
import { UserError } from "../release/process/errors.js";
import { duration, say } from "../release/process/progress.js";
import { cancellation } from "../release/process/run.js";
import { stackName } from "./environment.js";
import type { PlatformPaths } from "./paths.js";
import { shieldedEngine } from "./shielded-engine.js";
import { stackFile, stackLeftovers } from "./stack-leftovers.js";

const projectName = "runner-images";
/** A line at least this often, also while Pulumi has nothing to say. */
const silenceMs = 10_000;
/** How long a cancelled update may take to clean up; then the engine is told a second time, and gives up at once. Less than `patience` of its shield. */
const cancelMs = 40_000;

export interface UpdateResult<Outputs> {
  /** What the program returned. */
  outputs: Outputs;
  /** What was done, in order: a resource's name and how long it took, in ms. */
  steps: { name: string; ms: number }[];
}

/**
 * Runs the program as an update of the local stack.
 * @param env of the engine and the commands (platformEnvironment); this process gets it too, as the program runs here
 * @throws UserError when the update fails or is cancelled; Pulumi has printed the reasons by then
 */
export async function update<Outputs extends object>(
  engine: string,
  program: () => Promise<Outputs>,
  paths: PlatformPaths,
  env: Record<string, string>,
): Promise<UpdateResult<Outputs>> {
  const leftovers = await stackLeftovers(paths.state, projectName, stackName);
  for (const file of leftovers.cutOff) await rm(file, { force: true });
  let outputs: Outputs;
  const remembered = async () => (outputs = await program());
  return withStack(engine, remembered, paths, env, async (stack, watch) => {
    if (leftovers.lock) {
      say(`stack ${stackName}: removing the lock of an update that was killed`);
      await stack.cancel();
    }
    if (leftovers.pendingOperations) {
      say(`stack ${stackName}: dropping its notes of commands that were cut off; they run again`);
      await stack.refresh({ clearPendingCreates: true });
    }
    // What up() asks of the engine afterwards, by a process each: the program has said it, or nobody wants to know it.
    stack.outputs = () => Promise.resolve({});
    stack.info = () => Promise.resolve(undefined);
    await stack.up({
      signal: cancellation.signal,
      onOutput: (text) => watch.print(text),
      onEvent: (event) => watch.note(event),
    });
    return { outputs, steps: watch.steps };
  });
}

/** Shows what an update would do. @throws UserError when the program refuses, with its reason */
export async function preview(
  engine: string,
  program: () => Promise<object>,
  paths: PlatformPaths,
  env: Record<string, string>,
): Promise<void> {
  await withStack(engine, program, paths, env, (stack, watch) =>
    stack.preview({ diff: true, signal: cancellation.signal, onOutput: (text) => watch.print(text) }),
  );
}

/** The stack through the Automation API: with the program inline, so that no language host is needed. */
async function withStack<T>(
  engine: string,
  program: () => Promise<object>,
  paths: PlatformPaths,
  env: Record<string, string>,
  work: (stack: Stack, watch: Watch) => Promise<T>,
): Promise<T> {
  Object.assign(process.env, env);
  let programError: UserError | undefined;
  const inline = async () => {
    try {
      return { ...(await program()) };
    } catch (error) {
      if (RunError.isInstance(error)) programError = new UserError(error.message);
      throw error;
    }
  };
  const pulumiCommand = await shieldedEngine(engine, paths);
  const workspace = await LocalWorkspace.create({
    program: inline,
    workDir: paths.root,
    envVars: env,
    pulumiCommand,
  });
  // Each of the engine's commands names the stack; to select it would only be one process more that looks for this file.
  const isThere = existsSync(stackFile(paths.state, projectName, stackName));
  if (isThere) workspace.selectStack = () => Promise.resolve();
  const stack = await Stack.createOrSelect(stackName, workspace);
  const watch = new Watch();
  const giveUp = () =>
    setTimeout(() => {
      say(`the update has not ended ${duration(cancelMs)} after it was cancelled: giving up`);
      process.exit(130);
    }, cancelMs).unref();
  cancellation.signal.addEventListener("abort", giveUp);
  try {
    return await work(stack, watch);
  } catch (error) {
    if (cancellation.signal.aborted) {
      throw new UserError("cancelled; nothing needs repair, npm start goes on where this run stopped");
    }
    // The Automation API's error repeats all that was printed; so does Pulumi the program's own.
    if (programError !== undefined) throw programError;
    if (watch.failed.size === 0) throw error;
    throw new UserError(
      `the update stopped at ${[...watch.failed].join(", ")}, for the reason above; nothing needs repair: mend that and repeat npm start`,
    );
  } finally {
    cancellation.signal.removeEventListener("abort", giveUp);
    watch.end();
  }
}

/** Follows an update: passes on what Pulumi prints, fills silences, notes times and failures. */
class Watch {
  readonly steps: UpdateResult<object>["steps"] = [];
  /** Names of what failed. */
  readonly failed = new Set<string>();
  private readonly running = new Map<string, number>();
  private readonly start = Date.now();
  private lastOutput = this.start;
  private unfinished = "";
  private readonly timer = setInterval(() => this.fillSilence(), 1_000);

  /** Passes whole lines on, but for Pulumi's rows of dots: its own sign of life has no line end. */
  print(text: string): void {
    const lines = (this.unfinished + text).split("\n");
    this.unfinished = lines.pop()!;
    for (const line of lines) this.say(line);
  }

  note({ resourcePreEvent, resOutputsEvent, resOpFailedEvent }: EngineEvent): void {
    if (resourcePreEvent !== undefined && isWork(resourcePreEvent.metadata)) {
      this.running.set(resourcePreEvent.metadata.urn, Date.now());
    }
    const ended = (resOutputsEvent ?? resOpFailedEvent)?.metadata;
    const began = ended === undefined ? undefined : this.running.get(ended.urn);
    if (ended !== undefined && began !== undefined && isWork(ended)) {
      this.running.delete(ended.urn);
      this.steps.push({ name: nameOf(ended.urn), ms: Date.now() - began });
    }
    if (resOpFailedEvent !== undefined) this.failed.add(nameOf(resOpFailedEvent.metadata.urn));
  }

  end(): void {
    clearInterval(this.timer);
    if (this.unfinished !== "") this.say(this.unfinished);
  }

  private fillSilence(): void {
    if (Date.now() - this.lastOutput < silenceMs) return;
    const doing = [...this.running.keys()].map(nameOf).join(", ") || "update";
    this.say(`${doing}: ${duration(Date.now() - this.start)} so far`);
  }

  private say(line: string): void {
    if (line.startsWith("@ ")) return;
    this.lastOutput = Date.now();
    say(line);
  }
}

/** Whether this is a command that runs, and not bookkeeping: a replacement shows up as three operations. */
function isWork({ urn, op }: StepEventMetadata): boolean {
  return urn.includes("command:local:Command::") && ["create", "create-replacement", "update"].includes(op);
}

function nameOf(urn: string): string {
  return urn.slice(urn.lastIndexOf("::") + 2);
}
