/**
 * Updates with nothing to do, by `npm start` and by the command line with the language host, each against a bare Pulumi program with as many
 * resources; and a rollback by `npm start`, up to the moved pointer. Taken in turns, in a clone of the committed checkout with the images of the
 * engine tests: no guest is built or booted.
 */
import { cp, mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { execa } from "execa";
import { checkout } from "../local/paths.js";
import { platform } from "../local/platform.js";
import { say } from "../release/process/progress.js";
import { startNodeHost } from "../test/engine/node-host.js";
import { inTurns, report } from "./result.js";

const rounds = 5;
const promisedRatio = 1.15;
const promisedSeconds = 5;

const tests = path.join(checkout, "test", "engine");
const folder = await realpath(await mkdtemp(path.join(checkout, ".local", "bench-")));
const root = path.join(folder, "checkout");
const bare = path.join(folder, "bare");
const here = platform({ root });
process.env.PATH = `${path.join(tests, "fake-qemu")}:${process.env.PATH}`;

async function git(...args: string[]): Promise<string> {
  const identity = ["-c", "user.name=bench", "-c", "user.email=bench@example.com"];
  return (await execa("git", [...identity, ...args], { cwd: root })).stdout;
}

async function commitImage(content: string): Promise<string> {
  await writeFile(path.join(root, "image", "salt"), content);
  await git("add", "--all", "image");
  await git("commit", "--quiet", "--message", "change the image");
  return git("rev-parse", "HEAD");
}

const start = () => execa("npm", ["start"], { cwd: root });

/** @returns when the store named that commit first, in ms since 1970 */
async function movedAt(commit: string): Promise<number> {
  const latest = path.join(here.paths.store, "data", "runner-images", "latest");
  while ((await readFile(latest, "utf8").catch(() => "")) !== `${commit}\n`) await delay(20);
  return Date.now();
}

/** A project of its own, with our options of the language host. */
async function makeBareProject(): Promise<void> {
  await mkdir(bare);
  await symlink(path.join(checkout, "node_modules"), path.join(bare, "node_modules"));
  const project = await readFile(path.join(checkout, "Pulumi.yaml"), "utf8");
  await writeFile(path.join(bare, "Pulumi.yaml"), `${project.slice(0, project.indexOf("\nconfig:"))}\n`);
  await writeFile(path.join(bare, "package.json"), '{ "type": "module" }');
  const resources = path.join(checkout, "bench", "bare-resources.js");
  await writeFile(path.join(bare, "index.ts"), `export { program as default } from "${resources}";\n`);
}

try {
  await execa("git", ["clone", "--quiet", checkout, root]);
  // Hard links, as an `npm ci` that goes through a symbolic link would empty the checkout's own.
  await execa("cp", ["--archive", "--link", path.join(checkout, "node_modules"), root]);
  await mkdir(here.paths.base);
  await symlink(path.join(checkout, ".local", "tools"), here.paths.tools);
  await rm(path.join(root, "image"), { recursive: true });
  await cp(path.join(tests, "fake-image"), path.join(root, "image"), { recursive: true });
  await makeBareProject();

  say("publishing two images ...");
  const first = await commitImage("first");
  await start();
  const second = await commitImage("second");
  await start();

  const environment = await here.environment();
  const bareEnvironment = {
    ...environment,
    PULUMI_BACKEND_URL: `file://${bare}`,
    PULUMI_STACK: "bare",
  };
  const host = await startNodeHost(environment);
  const up = (cwd: string, env: Record<string, string>) =>
    execa("pulumi", ["up", "--yes", "--skip-preview", "--non-interactive", ...host.flags], { cwd, env });
  const runBare = () =>
    execa("node", ["--import", "tsx", path.join(checkout, "bench", "bare-program.ts"), bare], {
      cwd: checkout,
      env: bareEnvironment,
    });
  await runBare();

  const [bareInline, ours, rollback] = [
    "bare program",
    "`npm start`",
    "`npm start` that rolls back",
  ] as const;
  const [bareHosted, oursHosted] = ["bare program, language host", "this program, language host"] as const;
  const untilMoved: number[] = [];
  let live = second;
  const measured = await inTurns(rounds, {
    [bareInline]: runBare,
    [ours]: start,
    [bareHosted]: () => up(bare, bareEnvironment),
    [oursHosted]: () => up(root, environment),
    [rollback]: async () => {
      live = live === second ? first : second;
      const config = ["config", "set", "latest", live, "--non-interactive"];
      await execa("pulumi", config, { cwd: root, env: environment });
      const began = Date.now();
      const [moved] = await Promise.all([movedAt(live), start()]);
      untilMoved.push((moved - began) / 1000);
    },
  });
  host.close();

  const moved = "`npm start` up to the moved pointer";
  const beyond = "the same, beyond one with nothing to do";
  const side = (name: keyof typeof measured) => ({ name, rounds: measured[name] });
  await report({
    name: "noop",
    title: "Nothing to do, and a rollback",
    about:
      "A bare program has as many resources of the same types. Inline: through the Automation API, as `npm start` does. Language host: `pulumi up --skip-preview`, as in production, by the SDK's own loader.",
    comparisons: [
      {
        title: "nothing to do, inline",
        sides: [side(bareInline), side(ours)],
        promises: [
          { quantity: "cpuSeconds", of: ours, by: bareInline, atMost: promisedRatio },
          { quantity: "seconds", of: ours, by: bareInline, atMost: promisedRatio },
        ],
      },
      {
        title: "nothing to do, language host",
        sides: [side(bareHosted), side(oursHosted)],
        promises: [{ quantity: "cpuSeconds", of: oursHosted, by: bareHosted, atMost: null }],
      },
      {
        title: "a rollback",
        sides: [
          { name: moved, rounds: { seconds: untilMoved } },
          {
            name: beyond,
            rounds: { seconds: untilMoved.map((seconds, round) => seconds - measured[ours].seconds[round]!) },
          },
          side(rollback),
        ],
        promises: [{ quantity: "seconds", of: beyond, by: null, atMost: promisedSeconds }],
      },
    ],
    notes: ["The engine, the S3 server and the CDN are real, the images are the engine tests'."],
  });
} finally {
  await here.stop();
  await rm(folder, { recursive: true, force: true });
}
