import { spawn } from "node:child_process";
import { once } from "node:events";
import { rm } from "node:fs/promises";
import path from "node:path";
import { Command, Option } from "commander";
import type { StoreUser } from "./environment.js";
import { describeError, UserError } from "../release/process/errors.js";
import { architectures, type Architecture } from "../release/store/keys.js";
import { readCalendar } from "../release/pointer/runner-releases.js";
import { exclusively } from "../release/process/lock.js";
import { say } from "../release/process/progress.js";
import { cancellation } from "../release/process/run.js";
import { checkout } from "./paths.js";
import { platform } from "./platform.js";
import { hasLanguageHost, setUp, setUpRelease } from "./setup.js";
import {
  configuredArchitectures,
  configuredChannels,
  configuredPin,
  releaseEnvironment,
} from "./stack-file.js";
import { readManifests, renderSummary } from "./summary.js";
import { findEngine } from "./tools/engine.js";

const here = platform();

const cli = new Command("local")
  .description("The whole path on this machine: engine, S3 server and CDN, all below .local/")
  .enablePositionalOptions();

cli
  .command("start")
  .description("set up, start the servers and update the stack: build, publish, boot-test, promote")
  .action(start);

cli
  .command("preview")
  .description("show what start would do to the stack, and do nothing")
  .action(async () => {
    await ready();
    const { program } = await import("../program.js");
    const { preview } = await import("./update.js");
    await preview(await requireEngine(), () => program(checkout), here.paths, await here.environment());
  });

cli
  .command("setup")
  .description("set up only; looks for the official command plugin again")
  .addOption(
    new Option(
      "--release",
      "instead what an update of the production stack needs that starts no guest; prints the folders to put on PATH, one a line",
    ).default(false),
  )
  .addOption(
    new Option("--build", "instead, or besides, what a build needs: no engine; prints the same").default(
      false,
    ),
  )
  .addOption(
    new Option("--boot", "instead, or besides, what a boot test needs: no engine; prints the same").default(
      false,
    ),
  )
  .addOption(
    new Option("--engine", "the same, but only what its preview needs: nothing that builds or boots")
      .default(false)
      .conflicts(["release", "build", "boot", "architectures"]),
  )
  .addOption(
    new Option(
      "--architectures <names...>",
      "whose images are built and booted (default: the local stack's; of --build and --boot: all)",
    ).choices(architectures),
  )
  .action(async ({ release, build, boot, engine, architectures: chosen }: SetUpChoice) => {
    if (!release && !build && !boot && !engine) {
      return setUp(here.paths, { retryVendor: true, architectures: chosen });
    }
    const all = chosen ?? [...architectures];
    const folders = await setUpRelease(here.paths, {
      engine: release || engine,
      publishes: release,
      boots: boot ? all : [],
      builds: build ? all : [],
    });
    for (const folder of folders) process.stdout.write(`${folder}\n`);
  });

interface SetUpChoice {
  release: boolean;
  build: boolean;
  boot: boolean;
  engine: boolean;
  architectures?: Architecture[];
}

cli
  .command("stop")
  .description("end the servers; data stays")
  .action(() =>
    alone(async () => {
      say((await here.stop()) ? "S3 server and CDN: stopped" : "S3 server and CDN: not running");
    }),
  );

cli
  .command("reset")
  .description("end the servers and remove state, store, CDN, builds and logs; tools and caches stay")
  .option("--all", "remove tools, plugins and caches too", false)
  .action(({ all }: { all: boolean }) => reset(all));

passOn(
  "pulumi",
  "run this platform's engine, e.g. npm run pulumi -- config set latest <commit>",
  async (args) => {
    const engine = await requireEngine();
    await requireLanguageHost(engine, args);
    await passThrough(engine, args);
  },
);

passOn(
  "release",
  "run a release command against this platform's store, e.g. npm run release -- status",
  async (args) => {
    const release = path.join(checkout, "release", "main.mjs");
    // Only who removes images can, and nothing else.
    const user = args[0] === "prune" && args.includes("--delete") ? "pruner" : "publisher";
    const pin = await configuredPin(checkout);
    // `status` tells everybody's, `prune` takes them all.
    const channels = args[0] === "prune" ? await configuredChannels(checkout) : [];
    const pins = [pin, ...channels.flatMap(({ pinned }) => pinned ?? [])];
    await passThrough(
      process.execPath,
      [release, ...args],
      { PINNED: pins.join(" ").trim(), ...(await releaseEnvironment(checkout)) },
      user,
    );
  },
);

/** A command whose arguments are all another program's. */
function passOn(name: string, description: string, run: (args: string[]) => Promise<void>): void {
  cli
    .command(name)
    .description(description)
    .argument("[args...]")
    .allowUnknownOption()
    .passThroughOptions()
    .helpOption(false)
    .action(async (args: string[]) => {
      await ready();
      await run(args);
    });
}

/** The platform, set up and running. */
async function ready(): Promise<void> {
  await setUp(here.paths, { retryVendor: false });
  await here.start();
}

async function start(): Promise<void> {
  await alone(async () => {
    const steps: { name: string; ms: number }[] = [];
    const timed = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
      const began = Date.now();
      const result = await work();
      steps.push({ name, ms: Date.now() - began });
      return result;
    };
    const began = Date.now();
    const [{ program }, { update }] = await Promise.all([
      import("../program.js"),
      import("./update.js"),
      timed("set-up", () => setUp(here.paths, { retryVendor: false })),
    ]);
    await timed("servers", () => here.start());

    const env = await here.environment();
    const result = await update(await requireEngine(), () => program(checkout), here.paths, env);
    steps.push(...result.steps, { name: "all", ms: Date.now() - began });

    const { latest, pinned, channels = {} } = result.outputs;
    const url = env.IMAGES_URL!;
    const architectures: Architecture[] = await configuredArchitectures(checkout);
    const manifests = await readManifests(url, latest, architectures);
    const { usability } = await readCalendar({ root: checkout, environment: process.env });
    const images = await Promise.all(
      manifests.map(async (manifest) => ({ manifest, usability: await usability(manifest.build.runner) })),
    );
    const summary = { latest, pinned, channels, url, images, steps };
    process.stdout.write(renderSummary(summary, new Date()));
  });
}

async function reset(all: boolean): Promise<void> {
  await alone(async () => {
    await here.stop();
    const { base, state, store, cdn, builds, logs } = here.paths;
    for (const folder of all ? [base, builds] : [state, store, cdn, builds, logs]) {
      await rm(folder, { recursive: true, force: true });
    }
    say(all ? `removed ${base} and ${builds}` : "removed state, store, CDN, builds and logs; tools stay");
  });
}

/** One start, stop or reset of a checkout at a time. */
async function alone(work: () => Promise<void>): Promise<void> {
  await exclusively(path.join(here.paths.run, "start"), "npm start, stop or reset of this checkout", work, 0);
}

async function requireEngine(): Promise<string> {
  const engine = await findEngine(here.paths);
  if (engine === undefined) throw new UserError("there is no Pulumi engine; set it up: npm run setup");
  return engine;
}

/** An engine built from its Go module has no language host, and needs none for what `npm start` does. */
async function requireLanguageHost(engine: string, args: string[]): Promise<void> {
  const verb = args.find((arg) => ["up", "update", "preview", "pre", "watch"].includes(arg));
  if (verb === undefined) return;
  if (await hasLanguageHost(engine)) return;
  throw new UserError(
    `pulumi ${verb} needs Pulumi's Node language host, which only the vendor's release of the engine has; npm run preview and npm start do without`,
  );
}

/** Runs a program in the platform's environment, with this terminal, and ends as it ends. */
async function passThrough(
  command: string,
  args: string[],
  environment: Record<string, string> = {},
  as?: StoreUser,
): Promise<void> {
  const child = spawn(command, args, {
    cwd: checkout,
    env: { ...process.env, ...(await here.environment(as)), ...environment },
    stdio: "inherit",
  });
  // A terminal sends Ctrl-C to the program itself; told twice, Pulumi cuts off the clean-up of its commands.
  cancellation.signal.addEventListener("abort", () => process.stdin.isTTY || child.kill("SIGINT"));
  const [code] = (await once(child, "close")) as [number | null];
  process.exitCode = code ?? 130;
}

// A terminal, and npm once more, may send the same Ctrl-C several times: the first counts.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => cancellation.abort());

try {
  await cli.parseAsync();
} catch (error) {
  say(describeError(error));
  process.exitCode = cancellation.signal.aborted ? 130 : 1;
}
