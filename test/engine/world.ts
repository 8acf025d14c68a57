import { createPrivateKey, createPublicKey } from "node:crypto";
import { cp, mkdir, mkdtemp, readFile, realpath, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import {
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutBucketPolicyCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
  S3Client,
} from "@aws-sdk/client-s3";
import {
  type EngineEvent,
  LocalWorkspace,
  type OutputMap,
  PulumiCommand,
  type Stack,
  type UpResult,
} from "@pulumi/pulumi/automation/index.js";
import { execa } from "execa";
import { parseDocument } from "yaml";
import { platform, type Platform, type PlatformOptions } from "../../local/platform.js";
import { checkout } from "../../local/paths.js";
import { bucketPolicy } from "../../local/services/bucket-policy.js";
import { ensureCredentials } from "../../local/services/credentials.js";
import { findEngine } from "../../local/tools/engine.js";
import { program } from "../../program.js";
import { signStatement } from "../../release/attest/bundle.js";
import { makeStatement } from "../../release/attest/statement.js";
import { runnerReleasesFile, type RunnerRelease } from "../../release/pointer/runner-releases.js";
import { keys, type Architecture } from "../../release/store/keys.js";
import type { BootRecord, Manifest } from "../../release/store/records.js";
import { manifestOf } from "../unit/release/memory-store.js";

type Changes = Record<string, string | undefined>;

/**
 * Programs that run in this process and have not ended. After a refusal that may be later than their engine's end: then the SDK, which keeps
 * one connection for the whole process, closes that of the next program, whose calls fail as if its engine were gone. Such a failure it takes
 * for an end without an error (automation/server.js). So the next program waits, though not for good: some never end,
 * which one whose call nobody answers any more would explain. A user's process runs one program.
 */
const programs = new Set<Promise<void>>();
const lateEndMs = 2_000;
type Run = (this: unknown, ...given: unknown[]) => Promise<void>;
const { LanguageServer } = createRequire(import.meta.url)("@pulumi/pulumi/automation/server.js") as {
  LanguageServer: { prototype: { run: Run } };
};
const { run } = LanguageServer.prototype;
LanguageServer.prototype.run = function (...given) {
  const ended = run.apply(this, given);
  const program = ended.finally(() => programs.delete(program));
  programs.add(program);
  return ended;
};

const arch: Architecture = "x86_64";
const bucket = "runner-images";
/** What the program and its commands need of a checkout; the rest of a world's repository is its own. */
const borrowed = [
  ...["index.ts", "program.ts", "config.ts", "infrastructure.ts", "preflight.ts", "components", "release"],
  ...["node_modules", "package.json", "tsconfig.json"],
];

/**
 * A repository with a fake image/, and a real engine, S3 server and CDN of its own.
 * Only the guest is played: `fake-qemu` stands first on PATH.
 */
export class World {
  private constructor(
    private readonly folder: string,
    readonly root: string,
    private readonly platform: Platform,
    private readonly admin: S3Client,
    private readonly engine: PulumiCommand,
    /** The stack's name: whose file of the checkout this world begins with. */
    private readonly stackName: string,
    /** The base URL of the CDN. */
    readonly url: string,
    readonly environment: Record<string, string>,
    public imageCommit: string,
  ) {}

  /** @param times of its CDN; `{}`: those of the local platform */
  static async create(
    stackName = "local",
    times: Pick<PlatformOptions, "latestTtlSeconds"> = { latestTtlSeconds: 1 },
  ): Promise<World> {
    const folder = await realpath(await mkdtemp(path.join(tmpdir(), "runner-images-world-")));
    const root = path.join(folder, "repository");
    await mkdir(root);
    for (const file of ["Pulumi.yaml", `Pulumi.${stackName}.yaml`])
      await cp(path.join(checkout, file), path.join(root, file));
    await cp(path.join(import.meta.dirname, "fake-image"), path.join(root, "image"), { recursive: true });
    await writeFile(
      path.join(root, ".gitignore"),
      [...borrowed, "build", ".local", "image/build", ""].join("\n"),
    );
    await borrow(root);
    await mkdir(path.join(root, "pins"));
    await writeRunnerReleases(root, []);

    const local = platform({ root, shared: checkout, ...times });
    await local.start();
    const environment = await local.environment();
    environment.PATH = `${path.join(import.meta.dirname, "fake-qemu")}:${environment.PATH}`;
    const { root: rootKey } = await ensureCredentials(local.paths.run);
    const admin = new S3Client({
      endpoint: environment.AWS_ENDPOINT_URL_S3!,
      region: environment.AWS_REGION!,
      credentials: rootKey,
      forcePathStyle: true,
    });
    // The engine's first call, for its version, would otherwise write logs to the user's own home.
    process.env.PULUMI_HOME = local.paths.pulumiHome;
    const engine = await PulumiCommand.get({
      root: path.dirname(path.dirname((await findEngine(local.paths))!)),
    });
    environment.PULUMI_STACK = stackName;
    // Worlds run side by side, and their builds take next to no space: each asks for its own only.
    environment.TMPDIR = path.join(folder, "tmp");
    await mkdir(environment.TMPDIR);
    // On GitHub's machines: no world depends on the releases of the day.
    environment.GITHUB_API_URL = "";
    const url = environment.IMAGES_URL!;
    const world = new World(folder, root, local, admin, engine, stackName, url, environment, "");
    await world.git("init", "--quiet", "--initial-branch=main");
    world.imageCommit = await world.commit("a fake image");
    return world;
  }

  async remove(): Promise<void> {
    await this.platform.stop();
    this.admin.destroy();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** The same world seen with another environment, e.g. wrong credentials; undefined removes a variable. */
  withEnvironment(changes: Changes): World {
    return this.seenFrom(this.root, changes);
  }

  /** As the one who may remove images, and nothing else. */
  async asPruner(): Promise<World> {
    const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY } = await this.platform.environment("pruner");
    return this.withEnvironment({ AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY });
  }

  /** Another checkout of the same repository, with the same store; with the same state, or with none. */
  async secondMachine({ withState = true } = {}): Promise<World> {
    const root = await mkdtemp(path.join(this.folder, "machine-"));
    await execa("git", ["clone", "--quiet", this.root, root]);
    await borrow(root);
    const state = path.join(root, ".local/state");
    await mkdir(state, { recursive: true });
    return this.seenFrom(root, withState ? {} : { PULUMI_BACKEND_URL: `file://${state}` });
  }

  /** Another stack of the same checkout, with the same config: pointed at the same bucket. */
  async secondStack(name: string): Promise<World> {
    await cp(path.join(this.root, this.stackFile), path.join(this.root, `Pulumi.${name}.yaml`));
    await this.commit(`add the stack ${name}`);
    return this.seenFrom(this.root, { PULUMI_STACK: name }, name);
  }

  private seenFrom(root: string, changes: Changes, stackName = this.stackName): World {
    const environment = Object.entries({ ...this.environment, ...changes }).filter(
      (entry): entry is [string, string] => entry[1] !== undefined,
    );
    return new World(
      this.folder,
      root,
      this.platform,
      this.admin,
      this.engine,
      stackName,
      this.url,
      Object.fromEntries(environment),
      this.imageCommit,
    );
  }

  // The repository

  async git(...args: string[]): Promise<string> {
    const identity = ["-c", "user.name=world", "-c", "user.email=world@example.com"];
    return (await execa("git", [...identity, ...args], { cwd: this.root })).stdout;
  }

  async write(file: string, text: string): Promise<void> {
    await writeFile(path.join(this.root, file), text);
  }

  async commit(message: string): Promise<string> {
    await this.git("add", "-A");
    await this.git("commit", "--quiet", "-m", message);
    return this.git("rev-parse", "HEAD");
  }

  /** The releases of actions/runner that this checkout knows. */
  async setRunnerReleases(releases: RunnerRelease[]): Promise<void> {
    await writeRunnerReleases(this.root, releases);
    await this.commit("set the runner's releases");
  }

  /** A new commit in image/. */
  async changeImage(): Promise<string> {
    await this.write("image/salt", `${Math.random()}\n`);
    return this.commit("change the image");
  }

  // The stack

  /** Edits one line of the stack's file and commits that, as a person would; undefined removes it. */
  async setConfig(key: string, value: unknown): Promise<void> {
    const document = parseDocument(await readFile(path.join(this.root, this.stackFile), "utf8"));
    const place = ["config", `runner-images:${key}`];
    if (value === undefined) document.deleteIn(place);
    else document.setIn(place, document.createNode(value));
    await this.write(this.stackFile, document.toString({ lineWidth: 0 }));
    await this.commit(`set ${key}`);
  }

  private get stackFile(): string {
    return `Pulumi.${this.stackName}.yaml`;
  }

  async pin(commit: string | undefined): Promise<void> {
    await this.setConfig("latest", commit);
  }

  /** @param options `continueOnError`: as the deploy workflow does */
  async up(
    options: { continueOnError?: boolean } = {},
  ): Promise<Log & { summary: UpResult["summary"]; outputs: Record<string, unknown>; text: string }> {
    return this.withProcessEnvironment(async () => {
      const log = new EventLog();
      const { summary, outputs, stdout, stderr } = await (
        await this.stack()
      ).up({ ...options, color: "never", onEvent: log.note });
      return { ...log.read(), summary, outputs: plain(outputs), text: stdout + stderr };
    });
  }

  async preview(): Promise<Log & { changeSummary: Record<string, number>; text: string }> {
    return this.withProcessEnvironment(async () => {
      const log = new EventLog();
      const { changeSummary, stdout } = await (
        await this.stack()
      ).preview({ color: "never", onEvent: log.note });
      return { ...log.read(), changeSummary, text: stdout };
    });
  }

  /** What the engine remembers of each resource. */
  async state(): Promise<ResourceState[]> {
    return this.withProcessEnvironment(async () => {
      const exported = (await (await this.stack()).exportStack()) as Exported;
      const { resources = [] } = exported.deployment;
      return resources.map((resource) => ({ ...resource, name: nameOf(resource.urn) }));
    });
  }

  /** What a person reads when `work` fails, as it must. */
  async failure(work: () => Promise<unknown>): Promise<string> {
    try {
      await work();
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
    throw new Error("it succeeded, but should have failed");
  }

  /** The engine's own command line, as in production. */
  async pulumi(...args: string[]) {
    return execa(this.engine.command, [...args, "--non-interactive", "--color", "never"], {
      cwd: this.root,
      env: this.environment,
      reject: false,
      all: true,
    });
  }

  /** One verb of the release command line, as the command resources run it. */
  async release(verb: string, environment: Record<string, string> = {}, ...args: string[]) {
    return execa("node", ["release/main.mjs", verb, ...args], {
      cwd: this.root,
      env: { ...this.environment, ...environment },
      reject: false,
    });
  }

  private async stack(): Promise<Stack> {
    return LocalWorkspace.createOrSelectStack(
      { stackName: this.stackName, projectName: "runner-images", program: () => program(this.root) },
      { workDir: this.root, pulumiCommand: this.engine, envVars: this.environment },
    );
  }

  /** An inline program runs in this process and reads this process's environment. */
  private async withProcessEnvironment<T>(work: () => Promise<T>): Promise<T> {
    await Promise.race([Promise.allSettled(programs), pause(lateEndMs)]);
    programs.clear();
    const before = { ...process.env };
    Object.assign(process.env, this.environment);
    try {
      return await work();
    } finally {
      for (const name of Object.keys(process.env)) if (!(name in before)) delete process.env[name];
      Object.assign(process.env, before);
    }
  }

  // The store and the CDN

  async served(key: string): Promise<string> {
    const response = await fetch(`${this.url}/${key}`);
    if (!response.ok) throw new Error(`${key}: ${response.status}`);
    return response.text();
  }

  async keys(prefix = ""): Promise<string[]> {
    const { Contents = [] } = await this.admin.send(
      new ListObjectsV2Command({ Bucket: bucket, Prefix: prefix }),
    );
    return Contents.map((object) => object.Key!).sort();
  }

  /** The moves of the pointer, newest first: number, commit, the commit before. */
  async history(): Promise<[number, string, string | null][]> {
    const { stdout } = await this.release("status", {}, "--json");
    const { history } = JSON.parse(stdout) as {
      history: { seq: number; commit: string; previous: string | null }[];
    };
    return history.map(({ seq, commit, previous }) => [seq, commit, previous]);
  }

  /** A bucket, with the policy of the local platform; of a stranger: with none, so that nobody else may look into it. */
  async createBucket({ name = bucket, stranger = false } = {}): Promise<void> {
    await this.admin.send(new CreateBucketCommand({ Bucket: name }));
    if (stranger) return;
    const policy = bucketPolicy(name, this.environment.AWS_ACCESS_KEY_ID!, "pruner");
    await this.admin.send(new PutBucketPolicyCommand({ Bucket: name, Policy: JSON.stringify(policy) }));
  }

  /** Takes the empty bucket away that every world begins with. */
  async deleteBucket(): Promise<void> {
    await this.admin.send(new DeleteBucketCommand({ Bucket: bucket }));
  }

  /** What only an administrator can do: write past every rule. */
  async overwrite(
    key: string,
    body: string | Uint8Array,
    given: Partial<PutObjectCommandInput> = {},
  ): Promise<void> {
    await this.admin.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: body, ...given }));
  }

  /** What time and a broken disk do: one bit of an object changes below the server. @returns what mends it */
  async damage(key: string): Promise<() => Promise<void>> {
    const file = path.join(this.root, ".local", "store", "data", bucket, key);
    const whole = await readFile(file);
    const damaged = Buffer.from(whole);
    damaged[damaged.length >> 1]! ^= 1;
    await writeFile(file, damaged);
    return () => writeFile(file, whole);
  }

  /** Sets an object's time below the server, as if it had been stored so many days ago. */
  async age(key: string, days: number): Promise<void> {
    const then = new Date(Date.now() - days * 24 * 60 * 60 * 1000);
    await utimes(path.join(this.root, ".local", "store", "data", bucket, key), then, then);
  }

  /** A rule of the bucket that lets nobody read one of its objects. @returns what takes it back */
  async deny(key: string): Promise<() => Promise<void>> {
    const policy = bucketPolicy(bucket, this.environment.AWS_ACCESS_KEY_ID!, "pruner");
    const denied = {
      Sid: "Denied",
      Effect: "Deny",
      Principal: "*",
      Action: ["s3:GetObject"],
      Resource: `arn:aws:s3:::${bucket}/${key}`,
    };
    const put = (Statement: object[]) =>
      this.admin.send(
        new PutBucketPolicyCommand({ Bucket: bucket, Policy: JSON.stringify({ ...policy, Statement }) }),
      );
    await put([...policy.Statement, denied]);
    return async () => void (await put(policy.Statement));
  }

  /** A published image under another commit's name, as if this platform had built it, without the object that ends in `without`. */
  async copyImage(from: string, to: string, { without }: { without?: string }): Promise<string> {
    for (const key of await this.keys(keys.imagesPrefix(from))) {
      if (without !== undefined && key.endsWith(without)) continue;
      const bytes = await this.bytes(key);
      const attested = /\.(?<sha256>[0-9a-f]{64})\.sigstore\.json$/.exec(key)?.groups;
      if (attested !== undefined) {
        await this.overwrite(key.replace(from, to), await this.attestation(to, attested["sha256"]!));
        continue;
      }
      await this.overwrite(
        key.replace(from, to),
        /(?<!\.cdx)\.json$/.test(key) ? renamed(bytes, from, to) : bytes,
      );
    }
    return to;
  }

  /** What this world's platform says of a disk that it has built from a commit. */
  async attestation(commit: string, sha256: string): Promise<string> {
    const privateKey = createPrivateKey(await readFile(this.environment.ATTESTATION_KEY_FILE!, "utf8"));
    const statement = makeStatement({ commit, arch, sha256 }, manifestOf(commit, arch).build);
    return signStatement(statement, privateKey, createPublicKey(privateKey));
  }

  async deleteImage(commit: string): Promise<void> {
    for (const key of await this.keys(keys.imagesPrefix(commit))) await this.deleteObject(key);
  }

  async deleteObject(key: string): Promise<void> {
    await this.admin.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }));
  }

  /** An object as it is stored, past the CDN and its cache. */
  async bytes(key: string): Promise<Uint8Array> {
    const { Body } = await this.admin.send(new GetObjectCommand({ Bucket: bucket, Key: key }));
    return Body!.transformToByteArray();
  }

  async manifest(commit: string): Promise<Manifest> {
    return JSON.parse(await this.served(keys.manifest(commit, arch))) as Manifest;
  }

  async bootRecord(commit: string): Promise<BootRecord> {
    return JSON.parse(await this.served(keys.bootRecord(commit, arch))) as BootRecord;
  }

  /** A PATH with what previews need and nothing else. */
  async pathOf(...commands: string[]): Promise<string> {
    const folder = await mkdtemp(path.join(this.folder, "path-"));
    for (const command of commands) {
      const { stdout } = await execa("sh", ["-c", `command -v ${command}`], {
        env: { PATH: this.environment.PATH },
      });
      await symlink(await realpath(stdout), path.join(folder, command));
    }
    return folder;
  }
}

/** What an operation said and did, in the engine's own words. */
export interface Log {
  warnings: string[];
  /** Every resource the program registered, and those that go; also those that stay the same. */
  steps: { op: string; type: string; name: string }[];
}

export interface ResourceState {
  urn: string;
  name: string;
  type: string;
  protect?: boolean;
  dependencies?: string[];
}

/** As the Automation API hands it over, untyped. */
interface Exported {
  deployment: { resources?: Omit<ResourceState, "name">[] };
}

class EventLog {
  private readonly log: Log = { warnings: [], steps: [] };

  readonly note = ({ diagnosticEvent, resourcePreEvent }: EngineEvent): void => {
    if (diagnosticEvent?.severity === "warning") this.log.warnings.push(diagnosticEvent.message.trim());
    if (resourcePreEvent !== undefined) {
      const { op, type, urn } = resourcePreEvent.metadata;
      this.log.steps.push({ op, type, name: nameOf(urn) });
    }
  };

  read(): Log {
    return this.log;
  }
}

function nameOf(urn: string): string {
  return urn.slice(urn.lastIndexOf("::") + 2);
}

async function borrow(root: string): Promise<void> {
  for (const name of borrowed) await symlink(path.join(checkout, name), path.join(root, name));
}

async function writeRunnerReleases(root: string, releases: RunnerRelease[]): Promise<void> {
  await writeFile(path.join(root, runnerReleasesFile), JSON.stringify({ releases }));
}

function plain(outputs: OutputMap): Record<string, unknown> {
  return Object.fromEntries(Object.entries(outputs).map(([name, { value }]) => [name, value as unknown]));
}

function renamed(json: Uint8Array, from: string, to: string): string {
  return new TextDecoder().decode(json).replaceAll(from, to);
}
