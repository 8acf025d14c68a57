import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { recordResources, type Recorded } from "./recorder.js";

const commit = "0123456789abcdef0123456789abcdef01234567";
const store = { BUCKET: "b", IMAGES_URL: "https://images.example.com" };
let resources: Recorded[];

beforeAll(async () => {
  const recording = await recordResources();
  const { RunnerImage } = await import("../../../components/runner-image.js");
  const { LatestPointer } = await import("../../../components/latest-pointer.js");
  new RunnerImage("ubuntu-x86_64", {
    commit,
    arch: "x86_64",
    base: "debian",
    profile: "small",
    runner: "fixture",
    accelerator: "tcg",
    store,
    deltas: { DELTAS: "5" },
    isBack: false,
  });
  new LatestPointer("latest", {
    commit,
    seq: 7,
    stack: "images/prod",
    architectures: ["x86_64", "aarch64"],
    store,
  });
  new LatestPointer("canary/latest", {
    commit,
    seq: 3,
    stack: "images/prod",
    channel: "canary",
    architectures: ["x86_64", "aarch64"],
    store,
  });
  await recording.flush();
  resources = recording.resources;
});

function command(name: string): Record<string, unknown> {
  const found = resources.filter((r) => r.type === "command:local:Command" && r.name === name);
  expect(found.map((r) => r.name)).toEqual([name]);
  return found[0]!.inputs;
}

describe("RunnerImage", () => {
  it("is a publish command and a boot test, both rebuilt by a new commit and by nothing else", () => {
    expect(command("ubuntu-x86_64-publish").triggers).toEqual([commit]);
    expect(command("ubuntu-x86_64-boot-test").triggers).toEqual([commit]);
  });

  it("hands every value over in the environment, and the store's place too", () => {
    expect(command("ubuntu-x86_64-publish").environment).toEqual({
      COMMIT: commit,
      ARCH: "x86_64",
      BASE: "debian",
      PROFILE: "small",
      RUNNER: "fixture",
      ACCELERATOR: "tcg",
      DELTAS: "5",
      ...store,
    });
    expect(command("ubuntu-x86_64-boot-test").environment).toEqual({
      COMMIT: commit,
      ARCH: "x86_64",
      ACCELERATOR: "tcg",
      ...store,
    });
  });
});

describe("LatestPointer", () => {
  it("is one command named after the pointer, without triggers, so that a move is one updated row", () => {
    const inputs = command("latest");
    expect(inputs.environment).toEqual({
      COMMIT: commit,
      SEQ: "7",
      STACK: "images/prod",
      ARCHITECTURES: "x86_64 aarch64",
      ...store,
    });
    expect(inputs).not.toHaveProperty("triggers");
  });

  it("is told the channel whose pointer it is", () => {
    expect(command("canary/latest").environment).toEqual({
      ...(command("latest").environment as object),
      SEQ: "3",
      IMAGES_CHANNEL: "canary",
    });
  });
});

describe("every release command", () => {
  it("has no delete and no update, so that replacing it keeps what it published", () => {
    const commands = resources.filter((r) => r.type === "command:local:Command");
    expect(commands).toHaveLength(4);
    for (const { inputs } of commands) {
      expect(inputs).not.toHaveProperty("delete");
      expect(inputs).not.toHaveProperty("update");
    }
  });

  it("has a constant text, a machine-independent folder, and dies with its shell", () => {
    for (const { name, inputs } of resources.filter((r) => r.type === "command:local:Command")) {
      expect(inputs.create, name).toMatch(
        /^tie='setpriv --pdeathsig TERM'; [^$`]+; \$tie node release\/main\.mjs [a-z -]+ \|\| exit \$\?$/,
      );
      expect(inputs).not.toHaveProperty("dir");
    }
  });

  describe("of which a shell on another machine", () => {
    let folder: string;
    beforeAll(async () => {
      folder = await mkdtemp(path.join(tmpdir(), "commands-"));
      const program = (name: string, script: string) =>
        writeFile(path.join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
      await mkdir(path.join(folder, "linux"));
      await program("node", 'echo "node $*"; exit 3');
      await program("linux/setpriv", 'echo "$1 $2"; shift 2; exec "$@"');
    });
    afterAll(() => rm(folder, { recursive: true }));

    const runWith = (...folders: string[]) =>
      execa("/bin/sh", ["-c", command("latest").create as string], {
        env: { PATH: folders.map((name) => path.join(folder, name)).join(":") },
        extendEnv: false,
        reject: false,
      });

    it("ties the command to itself, with its exit code, and says nothing", async () => {
      const { stdout, stderr, exitCode } = await runWith("linux", "");
      expect([stdout, stderr, exitCode]).toEqual(["--pdeathsig TERM\nnode release/main.mjs promote", "", 3]);
    });

    it("runs it without where there is no setpriv, as on a Mac, and says so in one line", async () => {
      const { stdout, stderr, exitCode } = await runWith("");
      expect([stdout, exitCode]).toEqual(["node release/main.mjs promote", 3]);
      expect(stderr).toMatch(/^no setpriv here .*go on to its end$/);
    });
  });

  it("does not hand its old output to its next run", () => {
    for (const { inputs } of resources.filter((r) => r.type === "command:local:Command")) {
      expect(inputs.addPreviousOutputInEnv).toBe(false);
    }
  });
});
