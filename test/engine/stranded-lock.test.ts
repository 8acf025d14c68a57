import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { checkout, platformPaths } from "../../local/paths.js";
import { findEngine } from "../../local/tools/engine.js";
import { startNodeHost, type NodeHost } from "./node-host.js";

const engine = (await findEngine(platformPaths()))!;

/** A run of a workflow, as GitHub tells it. */
interface GitHubRun {
  status: string;
  path: string;
}

let host: NodeHost;
beforeAll(async () => (host = await startNodeHost()));
afterAll(() => host.close());

let folder: string;
beforeEach(async () => (folder = await realpath(await mkdtemp(path.join(tmpdir(), "stranded-lock-")))));
afterEach(() => rm(folder, { recursive: true, force: true }));

const text = (file: string) => readFile(path.join(folder, file), "utf8").catch(() => "");

async function command(name: string, script: string): Promise<void> {
  const file = path.join(folder, "bin", name);
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, script);
  await chmod(file, 0o755);
}

/** A GitHub which knows these attempts of runs. */
async function gitHub(runs: Record<string, GitHubRun> = {}): Promise<void> {
  const known = Object.entries(runs).map(([run, answer]) => {
    const [id, attempt] = run.split("-");
    return `  repos/octo/images/actions/runs/${id}/attempts/${attempt}) echo '${JSON.stringify(answer)}' ;;`;
  });
  await command(
    "gh",
    `#!/bin/sh
case $2 in
${known.join("\n")}
  *) echo '{"message": "Not Found"}'; exit 1 ;;
esac
`,
  );
}

/** What update.yml's step runs, as its own process. */
function startDeploy() {
  const script = path.join(checkout, ".github", "scripts", "deploy.ts");
  return spawn(process.execPath, ["--import", "tsx", script], {
    cwd: path.join(folder, "project"),
    env: {
      ...process.env,
      ...engineEnvironment(),
      PATH: `${folder}/bin:${process.env.PATH}`,
      GITHUB_REPOSITORY: "octo/images",
      GITHUB_STEP_SUMMARY: `${folder}/summary`,
      IMAGES_URL: "",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
}

async function deploy(): Promise<{ exitCode: number | null; printed: string }> {
  const child = startDeploy();
  let printed = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (part: string) => (printed += part));
  const [exitCode] = (await once(child, "close")) as [number | null];
  return { exitCode, printed };
}

function engineEnvironment(): Record<string, string> {
  return {
    PULUMI_HOME: path.join(folder, "home"),
    PULUMI_BACKEND_URL: `file://${folder}/state`,
    PULUMI_CONFIG_PASSPHRASE: "stranded",
    PULUMI_SKIP_UPDATE_CHECK: "1",
    PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "1",
  };
}

/** Makes a folder a checkout which has an image, as deploy.ts looks for. */
async function makeCheckout(project: string): Promise<void> {
  const git = (...args: string[]) =>
    execa("git", ["-c", "user.name=t", "-c", "user.email=t@example.org", ...args], { cwd: project });
  await git("init", "--quiet");
  await mkdir(path.join(project, "image"));
  await writeFile(path.join(project, "image", "Makefile"), "");
  await git("add", "image");
  await git("commit", "--quiet", "--message", "an image");
}

/** A project whose program makes nothing, so that no plugin is needed. */
async function makeProject(): Promise<void> {
  const project = path.join(folder, "project");
  for (const name of [project, path.join(folder, "state"), path.join(folder, "home")]) await mkdir(name);
  await makeCheckout(project);
  await writeFile(path.join(project, "Pulumi.yaml"), "name: stranded\nruntime: nodejs\n");
  await writeFile(path.join(project, "package.json"), '{ "main": "index.js" }\n');
  await writeFile(path.join(project, "index.js"), 'exports.answer = "42";\n');
  await symlink(path.join(checkout, "node_modules"), path.join(project, "node_modules"));
  await execa(engine, ["stack", "init", "prod", "--non-interactive"], {
    cwd: project,
    env: engineEnvironment(),
  });
}

describe("deploy.ts on the real engine, which finds the stack locked", () => {
  const locks = () => path.join(folder, "state/.pulumi/locks/organization/stranded/prod");

  /** The file which an engine on this machine leaves behind when it is killed. */
  async function lock(hostname: string): Promise<string> {
    await mkdir(locks(), { recursive: true });
    const file = path.join(locks(), `${crypto.randomUUID()}.json`);
    const content = { pid: 4001, username: "runner", hostname, timestamp: "2026-11-20T10:00:00.5Z" };
    await writeFile(file, JSON.stringify(content));
    return file;
  }
  const ended: GitHubRun = { status: "completed", path: ".github/workflows/deploy.yml" };

  beforeEach(async () => {
    await makeProject();
    // The engine itself; its verbs are noted, and the program is run as the vendor's language host would.
    await command(
      "pulumi",
      `#!/bin/sh
echo "$1" >> ${folder}/verbs
case $1 in
  up) exec ${engine} "$@" ${host.flags.join(" ")} ;;
  *) exec ${engine} "$@" ;;
esac
`,
    );
  });

  it("updates at once where there is no lock", async () => {
    await gitHub();
    const { exitCode, printed } = await deploy();
    expect(exitCode, printed + host.printed()).toBe(0);
    expect(await text("verbs")).toBe("up\n");
    expect(await text("summary")).toContain("## Deploy done");
  });

  it("removes the lock of a deploy run that has ended, and updates", async () => {
    const file = await lock("runner-images-deploy-123-2");
    await gitHub({ "123-2": ended });
    const { exitCode, printed } = await deploy();
    expect(exitCode, printed + host.printed()).toBe(0);
    expect(await text("verbs")).toBe("up\ncancel\nup\n");
    expect(existsSync(file)).toBe(false);
    expect(printed).toContain("removing the lock of the deploy run 123 (attempt 2), which has ended without");
    expect(printed).toContain("answer");
  });

  it.each<[string, string[], Record<string, GitHubRun>, RegExp]>([
    ["an administrator's", ["laptop"], {}, /locked by runner@laptop since 2026-11-20T10:00:00Z/],
    [
      "of a deploy run that is at work",
      ["runner-images-deploy-123-1"],
      { "123-1": { ...ended, status: "in_progress" } },
      /a deploy run which is in_progress/,
    ],
    [
      "of another attempt than the one that has ended",
      ["runner-images-deploy-123-2"],
      { "123-1": ended },
      /a run which GitHub does not tell about/,
    ],
    [
      "an administrator's, beside one of an ended run",
      ["runner-images-deploy-123-1", "laptop"],
      { "123-1": ended },
      /locked by runner@laptop/,
    ],
  ])(
    "leaves a lock alone that is %s, and names its owner and the way out",
    async (_, machines, runs, says) => {
      const files = await Promise.all(machines.map(lock));
      await gitHub(runs);
      const { exitCode, printed } = await deploy();
      expect(exitCode).not.toBe(0);
      expect(await text("verbs")).toBe("up\n");
      for (const file of files) expect(existsSync(file)).toBe(true);
      const errors = printed.split("\n").filter((line) => line.startsWith("error: the stack prod is locked"));
      expect(errors).toHaveLength(1);
      expect(errors[0]).toMatch(says);
      expect(errors[0]).toContain("pulumi cancel --stack prod --yes");
      expect(await text("summary")).toMatch(says);
    },
  );
});

describe("deploy.ts", () => {
  beforeEach(async () => {
    await mkdir(path.join(folder, "project"));
    await makeCheckout(path.join(folder, "project"));
    await symlink(path.join(checkout, "node_modules"), path.join(folder, "project/node_modules"));
  });

  it("passes a cancelled job's first signal on, once, and waits until Pulumi has ended", async () => {
    await gitHub();
    await command(
      "pulumi",
      `#!${process.execPath}
const { appendFileSync, existsSync, writeFileSync } = require("fs");
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => appendFileSync("${folder}/signals", signal + "\\n"));
// Its clean-up lasts until the test has sent all of its signals.
setInterval(() => {
  if (!existsSync("${folder}/all-sent") || !existsSync("${folder}/signals")) return;
  writeFileSync("${folder}/cleaned", "");
  process.exit(1);
}, 50);
console.log("at work");
setTimeout(() => process.exit(9), 20_000);
`,
    );
    const child = startDeploy();
    const ended = once(child, "close");
    await once(child.stdout, "data");
    child.kill("SIGINT");
    await vi.waitFor(async () => expect(await text("signals")).not.toBe(""));
    child.kill("SIGINT");
    child.kill("SIGTERM");
    await writeFile(path.join(folder, "all-sent"), "");
    expect(await ended).toEqual([130, null]);
    expect(await text("signals")).toBe("SIGINT\n");
    expect(existsSync(path.join(folder, "cleaned"))).toBe(true);
    expect(await text("summary")).toContain("## Deploy cancelled");
  });

  it("fails, with Pulumi's exit code, where the update fails", async () => {
    await gitHub();
    await command(
      "pulumi",
      `#!/bin/sh\necho "$*" >> ${folder}/ran\necho 'error: update failed' >&2\nexit 5\n`,
    );
    expect((await deploy()).exitCode).toBe(5);
    expect(await text("ran")).toMatch(
      /^up --yes --stack prod --continue-on-error [^\n]*--non-interactive[^\n]*\n$/,
    );
    expect(await text("summary")).toContain("## Deploy failed");
  });
});
