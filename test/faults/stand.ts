import { createPrivateKey, createPublicKey } from "node:crypto";
import { cp, mkdir, mkdtemp, readFile, realpath, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { S3Client } from "@aws-sdk/client-s3";
import { execa } from "execa";
import { platformEnvironment } from "../../local/environment.js";
import { checkout, platformPaths } from "../../local/paths.js";
import { platform } from "../../local/platform.js";
import { cdn } from "../../local/services/cdn.js";
import { ensureCredentials } from "../../local/services/credentials.js";
import { assignPorts } from "../../local/services/ports.js";
import { awsSdkSettings, bucket, region, s3Server, s3Url } from "../../local/services/s3-server.js";
import { answers, type Service } from "../../local/services/service.js";
import { requireTool, versitygw } from "../../local/tools/go-tools.js";
import { runnerReleasesFile } from "../../release/pointer/runner-releases.js";
import { kill, processesOf } from "../engine/processes.js";
import { until } from "../engine/s3.js";
import {
  auditBucket,
  auditCdn,
  auditHost,
  heldLocks,
  listFiles,
  nothing,
  readBucket,
  unfinishedUploads,
  withoutCommit,
  type Findings,
} from "./audit.js";
import { FaultyLink, Toxiproxy } from "./links.js";
import { verbs, type Link, type Scenario, type Target } from "./scenarios.js";

/** What `npm start` takes of a checkout. It finds its own folder by that of `local/`, which is copied; the rest is this checkout's. */
const copied = ["local", "package.json", "package-lock.json", "Pulumi.yaml", "Pulumi.local.yaml"];
const borrowed = [
  ...["index.ts", "program.ts", "config.ts", "infrastructure.ts", "preflight.ts", "components", "release"],
  ...["node_modules", "tsconfig.json", ".local/tools"],
];
/** Bytes: three parts of an upload, three slices of the CDN. */
const diskBytes = 17 * 1024 * 1024;
/** After this a run counts as hung: the longest fault lasts 4 s, and a download tries again for 26. */
const patienceMs = 120_000;
const linkNames: Link[] = ["store", "cdn", "origin"];

/** What a run without a fault does: by that, moments are told. */
interface Course {
  /** Requests, answers and lines. */
  events: number;
  requests: Record<Link, number>;
}

/** How a run ended. */
export interface Ended {
  exitCode: number | undefined;
  text: string;
  /** Whether the fault struck: a kill may come too late. */
  struck: boolean;
}

/**
 * Where runs begin: the folder of a platform on which one image is live, and a newer commit of image/ is published, booted and promoted, with
 * a copy of the folder from before each of those steps.
 */
export class Template {
  readonly courses = new Map<Target, Course>();
  /** What a run without a fault leaves on a machine. */
  private readonly usual = new Set<string>();

  private constructor(
    readonly folder: string,
    readonly toxics: Toxiproxy,
    /** The commit that is to go live. */
    readonly commit: string,
  ) {}

  static async make(): Promise<Template> {
    const folder = await realpath(await mkdtemp(path.join(tmpdir(), "runner-images-faults-")));
    const world = path.join(folder, "first");
    const root = path.join(world, "repository");
    for (const name of ["tmp", "repository/.local", "repository/pins"])
      await mkdir(path.join(world, name), { recursive: true });
    for (const name of copied)
      await cp(path.join(checkout, name), path.join(root, name), { recursive: true });
    for (const name of borrowed) await symlink(path.join(checkout, name), path.join(root, name));
    await cp(path.join(import.meta.dirname, "../engine/fake-image"), path.join(root, "image"), {
      recursive: true,
    });
    await writeFile(path.join(root, "image/random-bytes"), `${diskBytes}\n`);
    await writeFile(path.join(root, runnerReleasesFile), JSON.stringify({ releases: [] }));
    await git(root, "init", "--quiet", "--initial-branch=main");
    await commitImage(root);

    const toxics = await Toxiproxy.start();
    const first = new Stand(world, toxics);
    const course = await first.measure("npm start");
    const usual = await listFiles(world);
    await first.close();
    const template = new Template(folder, toxics, await changeImage(root));
    template.courses.set("npm start", course);
    template.learn(usual);
    await rename(world, template.before("publish"));
    for (const [index, verb] of verbs.entries()) {
      const stand = await template.stand(verb);
      template.courses.set(verb, await stand.measure(verb));
      template.learn(await listFiles(stand.folder));
      await stand.close();
      const next = verbs[index + 1];
      if (next !== undefined) await rename(stand.folder, template.before(next));
    }
    return template;
  }

  /** A platform of its own for a run of that target. */
  async stand(target: Target): Promise<Stand> {
    const folder = await mkdtemp(path.join(this.folder, "run-"));
    await execa("cp", ["-a", "--reflink=auto", `${this.before(target)}/.`, folder]);
    const stand = new Stand(folder, this.toxics);
    await stand.settleIn(this.before(target));
    if (target !== "npm start") await stand.startServers();
    return stand;
  }

  private learn(files: string[]): void {
    for (const file of files) this.usual.add(withoutCommit(file));
  }

  /** Files that a run without a fault does not leave. */
  unusual(files: string[]): string[] {
    return files.filter((file) => !this.usual.has(withoutCommit(file)));
  }

  async remove(): Promise<void> {
    await this.toxics.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  private before(target: Target): string {
    return path.join(this.folder, `before-${target === "npm start" ? "publish" : target}`);
  }
}

/** A platform of one run: S3 server and CDN, the links to them, a checkout, and all processes that it starts. */
export class Stand {
  readonly root: string;
  private readonly tmp: string;
  private readonly links = new Map<Link, FaultyLink>();
  private readonly servers = new Map<Service["name"], Server>();
  private client: S3Client | undefined;
  /** Requests, answers and lines of the run that is under way. */
  private events = 0;
  private onEvent: (() => void) | undefined;

  constructor(
    readonly folder: string,
    private readonly toxics: Toxiproxy,
  ) {
    this.root = path.join(folder, "repository");
    this.tmp = path.join(folder, "tmp");
  }

  /** Makes a copied folder another platform: with ports and servers of its own, and an empty CDN. */
  async settleIn(from: string): Promise<void> {
    const local = path.join(this.root, ".local");
    for (const name of ["run/ports.json", "run/s3.json", "run/cdn.json", "cdn"])
      await rm(path.join(local, name), { recursive: true, force: true });
    // The stand-in for the command plugin is a script which names its checkout.
    const plugin = path.join(local, "pulumi-home/plugins/resource-command-v1.2.1/pulumi-resource-command");
    const text = await readFile(plugin, "utf8");
    if (text.startsWith("#!")) await writeFile(plugin, text.replace(this.firstRoot(from), this.root));
  }

  private firstRoot(from: string): string {
    return path.join(path.dirname(from), "first", "repository");
  }

  async startServers(): Promise<void> {
    const { run, store, cdn: cdnFolder } = this.paths;
    const ports = await assignPorts(run);
    const credentials = await ensureCredentials(run);
    const command = await requireTool(versitygw, this.paths);
    await this.serve(await s3Server({ command, port: ports.s3, store, credentials }));
    await this.connect("store", ports.s3);
    const origin = await this.connect("origin", ports.s3);
    const options = { port: ports.cdn, folder: cdnFolder, s3Port: origin, bucket, latestTtlSeconds: 1 };
    await this.serve(await cdn(options));
    await this.connect("cdn", ports.cdn);
  }

  private async serve(service: Service): Promise<void> {
    this.servers.set(service.name, await startServer(service));
  }

  private async connect(name: Link, upstream: number): Promise<number> {
    const link = await FaultyLink.open(`${path.basename(this.folder)}-${name}`, this.toxics, upstream, () =>
      this.note(),
    );
    this.links.set(name, link);
    return link.port;
  }

  /** Runs a target without a fault. */
  async measure(target: Target): Promise<Course> {
    const { exitCode, text } = await this.run(target);
    if (exitCode !== 0) throw new Error(`${target} without a fault: exit code ${exitCode}\n${text}`);
    const requests = { store: 0, cdn: 0, origin: 0 };
    for (const name of linkNames) requests[name] = this.links.get(name)?.requests ?? 0;
    return { events: this.events, requests };
  }

  /** Runs a target with what the scenario does to it. */
  async disturbed(scenario: Scenario, course: Course): Promise<Ended> {
    if (scenario.kind === "kill") {
      const { at, later, whom } = scenario;
      const moment = 1 + Math.floor(at * course.events);
      return this.run(scenario.target, { moment, later, whom });
    }
    const link = this.links.get(scenario.link)!;
    const moment = 1 + Math.floor(scenario.at * course.requests[scenario.link]);
    link.arm(scenario, moment, (later) => this.crash(scenario.link, later, scenario.lasts));
    const ended = await this.run(scenario.target);
    await link.heal();
    return { ...ended, struck: link.struck };
  }

  /** One run of a target to its end, or until it is killed. */
  async run(
    target: Target,
    killing?: { moment: number; later: number; whom: "group" | "leader" | "all" },
  ): Promise<Ended> {
    const [command, ...args] =
      target === "npm start"
        ? ["npm", "start"]
        : ["node", "release/main.mjs", target, ...(target === "publish" ? ["--build"] : [])];
    const environment = await this.environment(target);
    this.events = 0;
    const child = execa(command, args, {
      cwd: this.root,
      env: environment,
      extendEnv: false,
      detached: true,
      reject: false,
      stdin: "ignore",
      all: true,
    });
    const state = { ended: false, struck: false };
    child.once("exit", () => (state.ended = true));
    createInterface({ input: child.all }).on("line", () => this.note());
    let killed: Promise<void> | undefined;
    this.onEvent = () => {
      if (killing === undefined || this.events !== killing.moment) return;
      killed = sleep(killing.later).then(async () => {
        if (state.ended) return;
        state.struck = true;
        if (killing.whom === "all") for (const { pid } of await processesOf(this.tmp)) kill(pid);
        kill(killing.whom === "leader" ? child.pid! : -child.pid!);
      });
    };
    const hung = setTimeout(() => kill(-child.pid!), patienceMs);
    const result = await child;
    clearTimeout(hung);
    this.onEvent = undefined;
    await killed;
    return { exitCode: result.exitCode, text: result.all, struck: state.struck };
  }

  private note(): void {
    this.events += 1;
    this.onEvent?.();
  }

  /** Waits until the processes of the last run are gone. @returns those that stay */
  async processesLeft(): Promise<string[]> {
    const left = async () => processesOf(this.tmp);
    await until(async () => (await left()).length === 0).catch(() => undefined);
    return (await left()).map(({ pid, command }) => `process ${pid} is left: ${command}`);
  }

  /** Looks at the bucket in the middle of things, where there is a server. */
  async auditNow(): Promise<Findings> {
    const { s3 } = await assignPorts(this.paths.run);
    if (!(await answers(`${s3Url(s3)}/_health`, 200))) return nothing();
    return auditBucket(await readBucket(await this.admin(), bucket), await this.publicKey());
  }

  /** Looks at everything, after a run that has to have mended all. */
  async auditEnd(template: Template, target: Target): Promise<Findings> {
    const admin = await this.admin();
    const stored = await readBucket(admin, bucket);
    const found = await auditBucket(stored, await this.publicKey(), template.commit);
    const { cdn: port } = await assignPorts(this.paths.run);
    found.objects.push(...(await auditCdn(`http://127.0.0.1:${port}`, stored)));
    if (target !== "npm start") {
      const image = path.join(this.paths.cache, "images", template.commit, "ubuntu-x86_64.qcow2");
      found.objects.push(...(await auditHost(image, stored, template.commit)));
    }
    const files = await listFiles(this.folder);
    found.leftovers.push(
      ...(await unfinishedUploads(admin, bucket)),
      ...(await heldLocks(this.folder, files)),
      ...template.unusual(files).map((file) => `${file} is left`),
    );
    return found;
  }

  async close(): Promise<void> {
    for (const { pid } of await processesOf(this.tmp)) kill(pid);
    for (const link of this.links.values()) await link.close();
    for (const server of this.servers.values()) await server.kill();
    await platform({ root: this.root }).stop();
    this.client?.destroy();
  }

  async remove(): Promise<void> {
    await this.close();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Kills a server, and starts it again after a while. */
  private async crash(link: Link, later: number, lasts: number): Promise<void> {
    await sleep(later);
    const { service, kill } = this.servers.get(link === "cdn" ? "cdn" : "s3")!;
    await kill();
    await sleep(lasts);
    await this.serve(service);
  }

  private get paths() {
    return platformPaths(this.root);
  }

  private async environment(target: Target): Promise<Record<string, string>> {
    const fakeQemu = path.join(import.meta.dirname, "../engine/fake-qemu");
    const own = {
      HOME: process.env["HOME"] ?? "/",
      TMPDIR: this.tmp,
      // No run depends on the runner's releases of the day, and none writes to the user's home.
      GITHUB_API_URL: "",
      npm_config_logs_dir: path.join(this.root, "npm-logs"),
      npm_config_update_notifier: "false",
    };
    if (target === "npm start") return { ...own, PATH: `${fakeQemu}:${process.env["PATH"] ?? ""}` };
    const settings = await platformEnvironment(this.paths);
    return {
      ...settings,
      ...own,
      PATH: `${fakeQemu}:${settings["PATH"]}`,
      AWS_ENDPOINT_URL_S3: s3Url(this.links.get("store")!.port),
      IMAGES_URL: `http://127.0.0.1:${this.links.get("cdn")!.port}`,
      COMMIT: await git(this.root, "rev-parse", "HEAD"),
      ...{ ARCH: "x86_64", ARCHITECTURES: "x86_64", BASE: "debian", PROFILE: "small", RUNNER: "fixture" },
    };
  }

  /** May do everything with the bucket, on the straight way. */
  async admin(): Promise<S3Client> {
    const { s3 } = await assignPorts(this.paths.run);
    const { root: credentials } = await ensureCredentials(this.paths.run);
    Object.assign(process.env, awsSdkSettings);
    this.client ??= new S3Client({
      endpoint: s3Url(s3),
      region,
      credentials,
      forcePathStyle: true,
      // Each object is compared by its sha256.
      responseChecksumValidation: "WHEN_REQUIRED",
    });
    return this.client;
  }

  private async publicKey(): Promise<string> {
    const pem = await readFile(path.join(this.paths.store, "signing-key.pem"), "utf8");
    return createPublicKey(createPrivateKey(pem)).export({ type: "spki", format: "pem" }).toString();
  }
}

/** A server of the local platform, which here ends with this process. */
interface Server {
  service: Service;
  kill: () => Promise<void>;
}

async function startServer(service: Service): Promise<Server> {
  const { command, args, env, cwd } = service;
  const server = execa("setpriv", ["--pdeathsig", "KILL", command, ...args], {
    ...{ cwd, env, extendEnv: false, stdio: "ignore", reject: false },
    // A process group of its own: the CDN's workers outlive a killed master.
    detached: true,
  });
  await until(service.isHealthy);
  const end = async () => {
    kill(-server.pid!);
    await server;
  };
  return { service, kill: end };
}

async function git(root: string, ...args: string[]): Promise<string> {
  const identity = ["-c", "user.name=faults", "-c", "user.email=faults@example.com"];
  return (await execa("git", [...identity, ...args], { cwd: root })).stdout;
}

async function commitImage(root: string): Promise<string> {
  await git(root, "add", "image");
  await git(root, "commit", "--quiet", "-m", "an image");
  return git(root, "rev-parse", "HEAD");
}

async function changeImage(root: string): Promise<string> {
  await writeFile(path.join(root, "image/salt"), "another image\n");
  return commitImage(root);
}
