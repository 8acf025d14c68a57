import { cp, mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { expect } from "vitest";
import { parseDocument } from "yaml";
import { newestImage } from "../../release/build/source.js";
import { imageName, type Architecture } from "../../release/store/keys.js";
import { duration, say } from "../../release/process/progress.js";
import type { BootRecord, Manifest } from "../../release/store/records.js";

const source = path.resolve(import.meta.dirname, "../..");

export interface Finished {
  exitCode: number;
  stdout: string;
  stderr: string;
}

export function expectSuccess(run: Finished): void {
  expect(run.exitCode, run.stderr.slice(-2_000)).toBe(0);
}

/**
 * A clone of this commit in another folder, with a platform of its own. It borrows what takes long to get and never differs:
 * node_modules, the engine and servers, and the cached base image.
 */
export class Checkout {
  private constructor(readonly root: string) {}

  static async clone(): Promise<Checkout> {
    const root = await realpath(await mkdtemp(path.join(tmpdir(), "runner-images-e2e-")));
    await execa("git", ["clone", "--quiet", source, root]);
    await execa("git", ["config", "user.name", "e2e"], { cwd: root });
    await execa("git", ["config", "user.email", "e2e@example.com"], { cwd: root });
    await symlink(path.join(source, "node_modules"), path.join(root, "node_modules"));
    await mkdir(path.join(root, ".local"));
    for (const shared of ["tools", "cache"]) {
      await mkdir(path.join(source, ".local", shared), { recursive: true });
      await symlink(path.join(source, ".local", shared), path.join(root, ".local", shared));
    }
    await cp(path.join(source, ".local/pulumi-home"), path.join(root, ".local/pulumi-home"), {
      recursive: true,
    });
    return new Checkout(root);
  }

  file(name: string): string {
    return path.join(this.root, name);
  }

  /** `npm <args>` as a person would type it; what it prints passes through, so that long work is seen. */
  async npm(...args: string[]): Promise<Finished> {
    const { exitCode, stdout, stderr } = await execa("npm", args, {
      cwd: this.root,
      reject: false,
      stdin: "ignore",
      stdout: ["pipe", "inherit"],
      stderr: ["pipe", "inherit"],
    });
    return { exitCode: exitCode ?? -1, stdout, stderr };
  }

  async git(...args: string[]): Promise<string> {
    return (await execa("git", args, { cwd: this.root })).stdout;
  }

  /** Commits everything and returns the commit. */
  async commit(message: string): Promise<string> {
    await this.git("add", "-A");
    await this.git("commit", "--quiet", "-m", message);
    return this.git("rev-parse", "HEAD");
  }

  /** Sets a key of the local stack, in its file: before the first `npm start` there is no stack for `pulumi config`. */
  async configure(key: string, value: unknown): Promise<void> {
    const file = this.file("Pulumi.local.yaml");
    const stack = parseDocument(await readFile(file, "utf8"));
    stack.setIn(["config", `runner-images:${key}`], value);
    await writeFile(file, stack.toString());
  }

  /** The commit whose image `npm start` builds. */
  async imageCommit(): Promise<string> {
    return (await newestImage(this.root)).commit;
  }

  /** The base URL of this checkout's CDN. */
  async url(): Promise<string> {
    const { stdout } = await this.npm("run", "-s", "release", "--", "status", "--json");
    return (JSON.parse(stdout) as { url: string }).url;
  }

  /** A record of the newest image, as the CDN shows it: "json" is the manifest. */
  async served<T>(arch: Architecture, suffix: "json" | "boot.json"): Promise<T> {
    const response = await fetch(
      `${await this.url()}/images/${await this.imageCommit()}/${imageName(arch)}.${suffix}`,
    );
    expect(response.status, suffix).toBe(200);
    return (await response.json()) as T;
  }

  /** Says how long an image took. */
  say({ arch, build, compressed }: Manifest, { timings }: BootRecord): void {
    const seconds = (count: number | null) => (count === null ? "never" : duration(count * 1000));
    say(
      `${imageName(arch)}: built in ${seconds(build.seconds)} (${build.builder.accelerator}), ${Math.round(compressed.bytes / 1e6)} MB, booted and powered off in ${seconds(timings.poweredOff)}`,
    );
  }

  async remove(): Promise<void> {
    await rm(this.root, { recursive: true, force: true });
  }
}
