import { writeFile } from "node:fs/promises";
import path from "node:path";
import command, { type local } from "@pulumi/command";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { isAlive, Stack, waitUntil, type Plugin, type Result } from "./harness.js";

/** Source: `fmt.Errorf("%w: running %q:\n%s", err, command, everything printed)`. */
const running = (why: string, command: string, printed = "") => `${why}: running ${command}:\n${printed}`;

const cases: Record<string, { args: local.CommandArgs; error: string; timeout?: string }> = {
  "gives the exit status, the command and its whole output": {
    args: { create: "echo out; echo err >&2; exit 3", environment: { TOKEN: "never shown" } },
    error: running("exit status 3", '"echo out; echo err >&2; exit 3"', "out\nerr\n"),
  },
  "quotes the command": {
    args: { create: 'echo "a\\$0" é\n\tfalse' },
    error: running("exit status 1", '"echo \\"a\\\\$0\\" é\\n\\tfalse"', "a$0 é\n"),
  },
  "names the signal that ended the command": {
    args: { create: "kill -TERM $$" },
    error: running("signal: terminated", '"kill -TERM $$"'),
  },
  "says what the shell did not find": {
    args: { create: "no-such-tool" },
    error: running("exit status 127", '"no-such-tool"', "/bin/sh: 1: no-such-tool: not found\n"),
  },
  "says that the interpreter is not in PATH": {
    args: { interpreter: ["no-such-shell"], create: "true" },
    error: running('exec: "no-such-shell": executable file not found in $PATH', '"true"'),
  },
  "says that the interpreter's file does not exist": {
    args: { interpreter: ["/no/such/shell"], create: "true" },
    error: running("fork/exec /no/such/shell: no such file or directory", '"true"'),
  },
  "says that the interpreter may not be executed": {
    args: { interpreter: ["./plain-file"], create: "true" },
    error: running("fork/exec ./plain-file: permission denied", '"true"'),
  },
  "says that the folder does not exist": {
    args: { create: "true", dir: "/no/such/folder" },
    error: running("chdir /no/such/folder: no such file or directory", '"true"'),
  },
  "says that the folder is none": {
    args: { create: "true", dir: "/etc/passwd" },
    error: running("fork/exec /bin/sh: not a directory", '"true"'),
  },
  // Linux takes 128 KiB for one string.
  "says that an environment value is too long": {
    args: { create: "true", environment: { LONG: "x".repeat(140_000) } },
    error: running("fork/exec /bin/sh: argument list too long", '"true"'),
  },
  "gives long output whole": {
    args: { create: "seq 50000; exit 1" },
    error: running(
      "exit status 1",
      '"seq 50000; exit 1"',
      Array.from({ length: 50_000 }, (_, i) => `${i + 1}\n`).join(""),
    ),
  },
  "does not say timeout when customTimeouts kills": {
    args: { create: "exec sleep 30" },
    timeout: "1s",
    error: running("signal: killed", '"exec sleep 30"'),
  },
};

/** Inputs of a wrong type, and what is said of them (texts: pulumi/pulumi, sdk/go/common/util/mapper). */
const wrongInputs: Record<string, { value: unknown; reason: string }> = {
  create: {
    value: 5,
    reason: "Field 'create' on 'local.CommandInputs' must be a 'string'; got 'float64' instead",
  },
  delete: {
    value: ["true"],
    reason: "Field 'delete' on 'local.CommandInputs' must be a 'string'; got '[]interface {}' instead",
  },
  environment: {
    value: "A=b",
    reason:
      "Field 'environment' on 'local.CommandInputs' must be a 'map[string]string'; got 'string' instead",
  },
  interpreter: {
    value: ["sh", true],
    reason: "Field 'interpreter[1]' on 'local.CommandInputs' must be a 'string'; got 'bool' instead",
  },
};

export function failureCases(plugin: Plugin): void {
  describe("a failing command", () => {
    let stack: Stack;
    let result: Result;

    beforeAll(async () => {
      stack = await Stack.create(plugin);
      await writeFile(path.join(stack.folder, "plain-file"), "");
      const program = () => {
        for (const [name, { args, timeout }] of Object.entries(cases))
          new command.local.Command(
            name,
            { ...args, logging: "none" },
            timeout ? { customTimeouts: { create: timeout } } : {},
          );
        new command.local.Command("works", { create: "echo works" });
      };
      result = await stack.up(program, "--continue-on-error");
    });
    afterAll(() => stack.remove());

    it.each(Object.keys(cases))("%s", (name) => {
      expect(result.errors[name]?.trimEnd()).toBe(cases[name]?.error.trimEnd());
    });

    it("fails the update, leaves nothing of itself in state, and does not stop what runs beside it", async () => {
      expect(result.exitCode).not.toBe(0);
      expect(Object.keys(await stack.resources())).toEqual(["works"]);
      expect(await stack.pendingOperations()).toBe(0);
    });

    it("shows no value of its environment", () => {
      expect(result.text).not.toContain("never shown");
    });
  });

  describe("a wrong input", () => {
    let stack: Stack;
    let result: Result;
    beforeAll(async () => {
      stack = await Stack.create(plugin);
      const args = Object.fromEntries(Object.entries(wrongInputs).map(([name, { value }]) => [name, value]));
      result = await stack.preview(() => void new command.local.Command("wrong", args));
    });
    afterAll(() => stack.remove());

    it.each(Object.keys(wrongInputs))("is refused in the preview, by its type: %s", (name) => {
      expect(result.exitCode).not.toBe(0);
      expect(result.errors["wrong"]).toContain(wrongInputs[name]?.reason);
    });
  });

  describe("a line of more than 64 KiB", () => {
    let stack: Stack;
    beforeAll(async () => {
      stack = await Stack.create(plugin);
    });
    afterAll(() => stack.remove());

    const create = "echo $$ > pid; head -c 65536 /dev/zero | tr '\\0' x; echo; echo more";
    const program = () => void new command.local.Command("long", { create });

    it.runIf(plugin.isStandIn)(
      "is refused by the stand-in, since the official plugin hangs on it",
      async () => {
        const result = await stack.up(program);
        expect(result.exitCode).not.toBe(0);
        expect(result.errors["long"]).toContain("a line of its output is longer than 65535 bytes");
        expect(result.errors["long"]).not.toContain("xxx");
      },
    );

    it.skipIf(plugin.isStandIn)("hangs the official plugin", async () => {
      const run = stack.start("up", program, ["--yes", "--skip-preview"]);
      const pid = await stack.waitForFile("pid");
      await waitUntil("the command has ended", async () => !(await isAlive(pid)));
      expect(await run.isRunning()).toBe(true);
      await run.kill("SIGKILL");
      await run.result;
    });
  });
}
