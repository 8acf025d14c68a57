import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, openSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import grpc from "@grpc/grpc-js";
import type { EngineEvent } from "@pulumi/pulumi/automation/events.js";
import languageService from "@pulumi/pulumi/proto/language_grpc_pb.js";
import { execa } from "execa";
import { standInExecutable } from "../../local/command-provider/executable.js";
import { checkout, platformPaths } from "../../local/paths.js";
import { findEngine } from "../../local/tools/engine.js";

const engine = process.env["PULUMI_ENGINE"] ?? (await findEngine(platformPaths()));
if (engine === undefined) throw new Error("no Pulumi engine here: npm run setup makes one");

/** No operation of these tests takes longer, however busy the machine; a hang shows as a failure. */
const operationLimitMs = 120_000;

/** A command plugin, installed in a PULUMI_HOME of its own. */
export interface Plugin {
  title: string;
  home: string;
  isStandIn: boolean;
}

/** The homes made here, for `removeHomes`. */
const homes: string[] = [];

async function makeHome(): Promise<string> {
  const home = await mkdtemp(path.join(tmpdir(), "conformance-home-"));
  homes.push(home);
  return home;
}

export async function removeHomes(): Promise<void> {
  await Promise.all(homes.map((home) => rm(home, { recursive: true, force: true })));
}

/** The stand-in of this checkout, installed the way `npm start` does it. */
export async function installStandIn(): Promise<Plugin> {
  const home = await makeHome();
  const executable = path.join(home, "stand-in");
  await writeFile(executable, standInExecutable(checkout), { mode: 0o755 });
  await installPlugin(home, ["--file", executable]);
  return { title: "the stand-in", home, isStandIn: true };
}

/**
 * The official plugin: from the PULUMI_HOME in OFFICIAL_PULUMI_HOME, else from the vendor's download site.
 * @throws Error whose first line says why it cannot be had
 */
export async function installOfficial(): Promise<Plugin> {
  const given = process.env["OFFICIAL_PULUMI_HOME"];
  const home = given ?? (await makeHome());
  const binary = path.join(home, "plugins/resource-command-v1.2.1/pulumi-resource-command");
  if (given === undefined) await installPlugin(home, []);
  if (!existsSync(binary)) throw new Error(`OFFICIAL_PULUMI_HOME has no ${binary}`);
  const start = (await readFile(binary)).subarray(0, 2).toString("latin1");
  if (start === "#!") throw new Error(`${binary} is a script, so it is not the official plugin`);
  return { title: "the official plugin", home, isStandIn: false };
}

async function installPlugin(home: string, args: string[]): Promise<void> {
  await execa(engine as string, ["plugin", "install", "resource", "command", "1.2.1", ...args], {
    env: environment(home, home),
    timeout: 60_000,
  });
}

/** Nothing of the user's own Pulumi: neither home nor backend. */
function environment(home: string, state: string): Record<string, string> {
  return {
    PULUMI_HOME: home,
    PULUMI_BACKEND_URL: `file://${state}`,
    PULUMI_CONFIG_PASSPHRASE: "conformance",
    PULUMI_SKIP_UPDATE_CHECK: "1",
    PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "1",
    PULUMI_DEBUG_COMMANDS: "1",
    PULUMI_AUTOMATION_API: "true",
  };
}

/** The Automation API's own server for inline programs. It is not in the SDK's types. */
const { LanguageServer } = createRequire(import.meta.url)("@pulumi/pulumi/automation/server.js") as {
  LanguageServer: new (program: Program) => grpc.UntypedServiceImplementation;
};

type Program = () => void;

/** A resource as the stack's state file has it. */
export interface StateResource {
  urn: string;
  id: string;
  inputs: Record<string, unknown>;
  outputs: Record<string, unknown>;
}

/**
 * One stack of a project of its own, in a temporary folder. It drives the engine as the Automation API does for an
 * inline program, without that API's extra CLI calls after each operation (0.7 s each time).
 */
export class Stack {
  private readonly runs: Run[] = [];

  private constructor(
    private readonly plugin: Plugin,
    /** The project's folder, where commands run. */
    readonly folder: string,
  ) {}

  static async create(plugin: Plugin): Promise<Stack> {
    const folder = await mkdtemp(path.join(tmpdir(), "conformance-"));
    await mkdir(path.join(folder, "state"));
    await writeFile(path.join(folder, "Pulumi.yaml"), "name: conformance\nruntime: nodejs\n");
    const stack = new Stack(plugin, folder);
    await execa(engine as string, ["stack", "init", "test", "--non-interactive"], {
      cwd: folder,
      env: stack.environment,
    });
    return stack;
  }

  private get environment(): Record<string, string> {
    return environment(this.plugin.home, path.join(this.folder, "state"));
  }

  up(program: Program, ...args: string[]): Promise<Result> {
    return this.start("up", program, ["--yes", "--skip-preview", ...args]).result;
  }

  preview(program: Program, ...args: string[]): Promise<Result> {
    return this.start("preview", program, args).result;
  }

  refresh(): Promise<Result> {
    return this.start("refresh", undefined, ["--yes", "--skip-preview"]).result;
  }

  destroy(...args: string[]): Promise<Result> {
    return this.start("destroy", undefined, ["--yes", "--skip-preview", ...args]).result;
  }

  start(verb: string, program: Program | undefined, args: string[]): Run {
    const run = new Run(verb, program, args, this.folder, this.environment);
    this.runs.push(run);
    return run;
  }

  /** What the state file holds, by the resource's name; the stack and the provider left out. */
  async resources(): Promise<Record<string, StateResource>> {
    const { resources = [] } = (await this.checkpoint()).latest ?? {};
    return Object.fromEntries(
      resources
        .filter((resource) => resource.urn.includes("::command:local:Command::"))
        .map((resource) => [nameOf(resource.urn), resource]),
    );
  }

  /** The operations which a killed run left behind, as the engine will warn of. */
  async pendingOperations(): Promise<number> {
    return (await this.checkpoint()).latest?.pending_operations?.length ?? 0;
  }

  private async checkpoint(): Promise<Checkpoint> {
    const file = path.join(this.folder, "state/.pulumi/stacks/conformance/test.json");
    return (JSON.parse(await readFile(file, "utf8")) as { checkpoint: Checkpoint }).checkpoint;
  }

  /** A file in the project's folder; undefined if there is none. */
  async file(name: string): Promise<string | undefined> {
    const file = path.join(this.folder, name);
    return existsSync(file) ? await readFile(file, "utf8") : undefined;
  }

  /** Waits until a file is there and has a whole line. */
  async waitForFile(name: string): Promise<string> {
    return await waitUntil(`${name} is written`, async () => {
      const content = await this.file(name);
      return content?.endsWith("\n") ? content.trim() : undefined;
    });
  }

  async isLocked(): Promise<boolean> {
    const locks = path.join(this.folder, "state/.pulumi/locks");
    return (
      existsSync(locks) && (await readdir(locks, { recursive: true })).some((file) => file.endsWith(".json"))
    );
  }

  /** Ends what a failed test left running, and removes the folder. */
  async remove(): Promise<void> {
    for (const run of this.runs) {
      await run.kill("SIGKILL");
      await run.result;
    }
    // What a test left alive may make its last files meanwhile: then the folder is not empty any more.
    await rm(this.folder, { recursive: true, force: true, maxRetries: 10 });
  }
}

interface Checkpoint {
  latest?: { resources?: StateResource[]; pending_operations?: unknown[] };
}

/** What one operation of the engine did. */
export interface Result {
  exitCode: number | null;
  /** What the CLI printed. */
  text: string;
  /** The operation on each resource: "create", "update", "same", "create-replacement", ... in order. */
  steps: { name: string; op: string }[];
  /** Error messages, by resource. */
  errors: Record<string, string>;
  /** Lines that passed by on each resource's row. */
  rows: Record<string, string[]>;
  /** Warnings of no resource in particular. */
  warnings: string[];
}

/** An operation of the engine under way. */
export class Run {
  readonly result: Promise<Result>;
  private readonly child: Promise<ChildProcess>;

  constructor(
    verb: string,
    program: Program | undefined,
    args: string[],
    private readonly folder: string,
    env: Record<string, string>,
  ) {
    const started = this.begin(verb, program, args, env);
    this.child = started.then(({ child }) => child);
    this.result = started.then(({ end }) => end);
  }

  private async begin(
    verb: string,
    program: Program | undefined,
    args: string[],
    env: Record<string, string>,
  ): Promise<{ child: ChildProcess; end: Promise<Result> }> {
    const host = program && (await hostProgram(program));
    const log = path.join(this.folder, "events.log");
    const output = path.join(this.folder, "output.log");
    await rm(log, { force: true });
    const words = [
      verb,
      "--stack",
      "test",
      "--non-interactive",
      "--color=never",
      "--event-log",
      log,
      ...args,
    ];
    if (host) words.push("--exec-kind=auto.inline", `--client=127.0.0.1:${host.port}`);
    const fd = openSync(output, "w");
    const child = spawn(engine as string, words, {
      cwd: this.folder,
      env: { ...process.env, ...env },
      // A file: a process the command left behind must not hold this run open.
      stdio: ["ignore", fd, fd],
    });
    closeSync(fd);
    const limit = setTimeout(() => child.kill("SIGKILL"), operationLimitMs);
    const end = once(child, "exit").then(async ([exitCode]) => {
      clearTimeout(limit);
      host?.close();
      const events = existsSync(log) ? await readFile(log, "utf8") : "";
      return readEvents(exitCode as number | null, await readFile(output, "utf8"), events);
    });
    return { child, end };
  }

  /** Sends a signal to the engine alone. */
  async kill(signal: NodeJS.Signals): Promise<void> {
    (await this.child).kill(signal);
  }

  async isRunning(): Promise<boolean> {
    const { exitCode, signalCode } = await this.child;
    return exitCode === null && signalCode === null;
  }
}

/** Serves a function as a Pulumi program, as the Automation API does. */
async function hostProgram(program: Program): Promise<{ port: number; close: () => void }> {
  const server = new grpc.Server();
  server.addService(languageService.LanguageRuntimeService, new LanguageServer(program));
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return { port, close: () => server.forceShutdown() };
}

function readEvents(exitCode: number | null, text: string, log: string): Result {
  const result: Result = { exitCode, text, steps: [], errors: {}, rows: {}, warnings: [] };
  const events = log
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as EngineEvent);
  for (const event of events) {
    const { resourcePreEvent: step, diagnosticEvent: message } = event;
    if (step?.metadata.type === "command:local:Command")
      result.steps.push({ name: nameOf(step.metadata.urn), op: step.metadata.op });
    if (message === undefined) continue;
    // The engine wraps messages in colour marks: "<{%reset%}>".
    const words = message.message.replaceAll(/<\{%.*?%\}>/g, "").replace(/\n$/, "");
    const name = nameOf(message.urn ?? "");
    if (message.severity === "error") result.errors[name] = (result.errors[name] ?? "") + words;
    else if (message.severity === "warning") result.warnings.push(words);
    else if (message.ephemeral === true) (result.rows[name] ??= []).push(words);
  }
  return result;
}

function nameOf(urn: string): string {
  return urn.split("::").slice(3).join("::");
}

/** Waits for a condition, at most 20 s. */
export async function waitUntil<T>(
  what: string,
  condition: () => Promise<T | undefined | false>,
): Promise<T> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const value = await condition();
    if (value !== undefined && value !== false) return value;
    if (Date.now() > deadline) throw new Error(`waited 20 s until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Whether a process exists and has not ended (a zombie has). */
export async function isAlive(pid: string | number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  return stat !== undefined && !/\) Z /.test(stat);
}
