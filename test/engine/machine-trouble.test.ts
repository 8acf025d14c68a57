import {
  chmod,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  realpath,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkout } from "../../local/paths.js";
import { platform } from "../../local/platform.js";
import { ensureEngine } from "../../local/tools/engine.js";

const commit = "0123456789abcdef0123456789abcdef01234567";
let folder: string;
beforeEach(async () => {
  folder = await realpath(await mkdtemp(path.join(tmpdir(), "runner-images-trouble-")));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A folder for PATH with some of this machine's programs, and stubs. */
async function pathWith(programs: string[], stubs: Record<string, string> = {}): Promise<string> {
  const bin = path.join(folder, "bin");
  await mkdir(bin);
  for (const name of programs) {
    const { stdout } = await execa("sh", ["-c", `command -v ${name}`]);
    await symlink(await realpath(stdout), path.join(bin, name));
  }
  for (const [name, script] of Object.entries(stubs)) {
    await writeFile(path.join(bin, name), `#!/bin/sh\n${script}\n`);
    await chmod(path.join(bin, name), 0o755);
  }
  return bin;
}

describe("make -C image, where it cannot build, says why in one line and makes nothing", () => {
  let image: string;
  beforeEach(async () => {
    image = path.join(folder, "image");
    await cp(path.join(checkout, "image"), image, {
      recursive: true,
      filter: (file) => file !== path.join(checkout, "image/build"),
    });
  });

  async function refusal(
    target: string,
    settings: string[],
    env: Record<string, string> = {},
  ): Promise<string> {
    const make = await execa("make", ["-C", image, target, `COMMIT=${commit}`, ...settings], {
      env,
      reject: false,
    });
    expect(make.exitCode).not.toBe(0);
    const built = await readdir(path.join(image, "build")).catch(() => []);
    expect(built.filter((name) => name.startsWith("ubuntu-"))).toEqual([]);
    return make.stderr.split("\n").find((line) => line.startsWith("error: ")) ?? make.stderr;
  }

  async function editInputs(edit: (inputs: Inputs) => void): Promise<void> {
    const file = path.join(image, "inputs.json");
    const inputs = JSON.parse(await readFile(file, "utf8")) as Inputs;
    edit(inputs);
    await writeFile(file, JSON.stringify(inputs));
  }
  interface Inputs extends Record<"ubuntu" | "runner", { x86_64: { url: string } }> {
    ubuntu: { x86_64: { url: string }; snapshot: string };
    contents: { small: { name: string; for: string; packages: string[]; check: string }[] };
    tools: Record<"aws-cli", { x86_64: [{ url: string }] }>;
  }

  /** Serves another file than the one that is pinned. */
  async function withWrongDownload(edit: (inputs: Inputs, url: string) => void, work: () => Promise<void>) {
    const server = createServer((_, response) => response.end("not what was pinned"));
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    try {
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/file`;
      await editInputs((inputs) => edit(inputs, url));
      await work();
    } finally {
      server.close();
    }
  }

  it("for a base image with a wrong checksum", () =>
    withWrongDownload(
      (inputs, url) => (inputs.ubuntu.x86_64.url = url),
      async () => {
        const settings = ["BASE=ubuntu", "PROFILE=small", "RUNNER=fixture"];
        expect(await refusal("x86_64-emul", settings)).toMatch(
          /wrong checksum: http.* is not the file of sha256/,
        );
      },
    ));

  it("for a tool with a wrong checksum", () =>
    withWrongDownload(
      (inputs, url) => (inputs.tools["aws-cli"].x86_64[0].url = url),
      async () => {
        expect(await refusal("x86_64-emul", ["BASE=ubuntu", "RUNNER=fixture"])).toMatch(
          /wrong checksum: http.* is not the file of sha256/,
        );
      },
    ));

  it("for a profile that there is none of", async () => {
    expect(await refusal("x86_64-emul", ["BASE=debian", "PROFILE=tiny"])).toMatch(
      /PROFILE is 'tiny'; it must be small or full/,
    );
  });

  it("for a snapshot from before the base image", async () => {
    await editInputs((inputs) => (inputs.ubuntu.snapshot = "20200101T000000Z"));
    expect(await refusal("x86_64-emul", ["BASE=ubuntu"])).toMatch(
      /ubuntu\.snapshot in inputs\.json is 20200101T000000Z, older than the base ubuntu-.*: npm run pins/,
    );
  });

  it("for a package that the distribution does not have", async () => {
    const content = { name: "none", for: "a test", packages: ["no-such-package"], check: "true" };
    await editInputs((inputs) => inputs.contents.small.push(content));
    expect(await refusal("x86_64-emul", ["BASE=debian", "PROFILE=small", "RUNNER=fixture"])).toMatch(
      /the base image could not be built: E: Unable to locate package no-such-package/,
    );
  });

  it("for a runner with a wrong checksum", () =>
    withWrongDownload(
      (inputs, url) => (inputs.runner.x86_64.url = url),
      async () => {
        expect(await refusal("x86_64-emul", ["BASE=debian", "RUNNER=github"])).toMatch(
          /wrong checksum: http/,
        );
      },
    ));

  it("for KVM that was demanded and does not work", async () => {
    const bin = await pathWith([], { "qemu-system-x86_64": "exit 1" });
    const PATH = `${bin}:${process.env.PATH}`;
    expect(await refusal("x86_64-host", ["BASE=debian", "RUNNER=fixture"], { PATH })).toMatch(
      /KVM was demanded and does not run .*make -C image x86_64-emul/,
    );
  });

  it("for missing tools, with the command that installs them", async () => {
    const PATH = await pathWith([
      "make",
      "bash",
      "sh",
      "setpriv",
      "dirname",
      "realpath",
      "uname",
      "git",
      "env",
    ]);
    expect(await refusal("x86_64-emul", ["BASE=debian", "RUNNER=fixture"], { PATH })).toMatch(
      /tools are missing; install them: apt-get install .*packer .*qemu-utils/,
    );
  });
});

describe("the local platform", () => {
  it("names the port that another program has taken, and the way out", async () => {
    const other = createServer();
    await new Promise<void>((listening) => other.listen(0, "127.0.0.1", listening));
    const { port } = other.address() as AddressInfo;
    const here = platform({ root: folder, shared: checkout });
    await mkdir(here.paths.run, { recursive: true });
    await writeFile(path.join(here.paths.run, "ports.json"), JSON.stringify({ s3: port, cdn: port }));
    try {
      await expect(here.start()).rejects.toThrow(
        new RegExp(
          `^port ${port} of the S3 server is taken by another program; choose another port: S3_PORT=`,
        ),
      );
    } finally {
      other.close();
    }
  });

  it("says all that was tried where the engine can neither be found, nor downloaded, nor built", async () => {
    const PATH = process.env.PATH;
    process.env.PATH = await pathWith(["sh", "setpriv"], {
      go: '[ "$1" = version ] && echo "go version go1.26.8 linux/amd64" || exit 1',
    });
    try {
      await expect(ensureEngine(platform({ root: folder }).paths)).rejects.toThrow(
        /^no Pulumi engine: no pulumi .* is installed, .*, and building its Go module failed: /,
      );
    } finally {
      process.env.PATH = PATH;
    }
  });
});
