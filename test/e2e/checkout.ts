import { cp, mkdir, mkdtemp, realpath, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";

const source = path.resolve(import.meta.dirname, "../..");

export interface Finished {
  exitCode: number;
  stdout: string;
  stderr: string;
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

  async remove(): Promise<void> {
    await rm(this.root, { recursive: true, force: true });
  }
}
