import { mkdir } from "node:fs/promises";
import path from "node:path";
import command, { type local } from "@pulumi/command";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Stack, type Plugin, type Result, type StateResource } from "./harness.js";

interface Case {
  args: local.CommandArgs;
  stdout?: string;
  stderr?: string;
}

/** A short script that waits, bounded, for what another command does. */
const waitFor = (file: string) => `for i in $(seq 200); do [ -e ${file} ] && break; sleep 0.05; done`;

const cases: Record<string, Case> = {
  "keeps output that has no newline": { args: { create: "printf one" }, stdout: "one" },
  "trims one trailing newline": { args: { create: "echo one" }, stdout: "one" },
  "trims no second trailing newline": { args: { create: "printf 'one\\n\\n'" }, stdout: "one\n" },
  "keeps the CR of a CRLF": { args: { create: "printf 'one\\r\\n'" }, stdout: "one\r" },
  "keeps stdout and stderr apart": {
    args: { create: "echo out; echo err >&2" },
    stdout: "out",
    stderr: "err",
  },
  "has empty output for a silent command": { args: { create: "true" } },
  "has empty output without any command": { args: {} },
  "keeps other scripts' characters": { args: { create: "printf 'é ✓ 漢'" }, stdout: "é ✓ 漢" },
  "runs the given interpreter with the command as its last argument": {
    args: { interpreter: ["/bin/echo", "a  b"], create: "c  d" },
    stdout: "a  b c  d",
  },
  "looks the interpreter up in PATH": { args: { interpreter: ["echo", "x"], create: "y" }, stdout: "x y" },
  "takes an empty interpreter for none": { args: { interpreter: [], create: "echo $0" }, stdout: "/bin/sh" },
  "passes stdin and its end": { args: { create: "cat; echo end", stdin: "one\ntwo" }, stdout: "one\ntwoend" },
  "has an empty stdin when none is given": { args: { create: "cat; echo end" }, stdout: "end" },
  "does not mind a stdin that nobody reads": {
    args: { create: "echo done", stdin: "x".repeat(1_000_000) },
    stdout: "done",
  },
  // A script may open these by name, which works on a pipe and fails on a socket.
  "lets a script open /dev/stdin": { args: { create: "cat /dev/stdin", stdin: "in" }, stdout: "in" },
  "lets a script open /dev/stdout and /dev/stderr": {
    args: { create: "echo out | tee /dev/stderr > /dev/stdout" },
    stdout: "out",
    stderr: "out",
  },
  "inherits the engine's environment": {
    args: { create: "echo $CONFORMANCE_INHERITED" },
    stdout: "inherited",
  },
  "overrides the environment": {
    args: { create: "echo $CONFORMANCE_INHERITED", environment: { CONFORMANCE_INHERITED: "mine" } },
    stdout: "mine",
  },
  "adds no previous output where there is none": {
    args: { create: "env | grep -c PULUMI_COMMAND_ || true" },
    stdout: "0",
  },
  "runs in the given folder": { args: { create: "basename $(pwd)", dir: "sub" }, stdout: "sub" },
  "runs in the project's folder by default": {
    args: { create: "cat Pulumi.yaml | head -1" },
    stdout: "name: conformance",
  },
  // Source: cmd.Wait ends when the copying of its output has ended, not before.
  "waits for background processes that hold its output": {
    args: { create: "(sleep 0.3; echo late) & echo now" },
    stdout: "now\nlate",
  },
  "runs beside another command (1)": {
    args: { create: `touch met1; ${waitFor("met2")}; ls met2` },
    stdout: "met2",
  },
  "runs beside another command (2)": {
    args: { create: `touch met2; ${waitFor("met1")}; ls met1` },
    stdout: "met1",
  },
  "takes the longest line the display can": {
    args: { create: "head -c 65535 /dev/zero | tr '\\0' x; echo" },
    stdout: "x".repeat(65_535),
  },
  "takes any line when it is not logged": {
    args: { create: "head -c 200000 /dev/zero | tr '\\0' x", logging: "none" },
    stdout: "x".repeat(200_000),
  },
};

/** What passes by on a resource's row, by `logging` (source: logging.go). */
const rows: Record<string, string[]> = {
  stdout: ["out 1", "out 2"],
  stderr: ["err 1"],
  stdoutAndStderr: ["err 1", "out 1", "out 2"],
  none: [],
  // Not one of the four: the type is a plain string, and no stream matches.
  nonsense: [],
};

export function outputCases(plugin: Plugin): void {
  describe("a command's output and surroundings", () => {
    let stack: Stack;
    let result: Result;
    let resources: Record<string, StateResource>;

    beforeAll(async () => {
      process.env["CONFORMANCE_INHERITED"] = "inherited";
      stack = await Stack.create(plugin);
      await mkdir(path.join(stack.folder, "sub"));
      result = await stack.up(() => {
        const { Command } = command.local;
        for (const [name, { args }] of Object.entries(cases)) new Command(name, args);
        const create = "echo out 1; echo out 2; echo err 1 >&2";
        for (const logging of Object.keys(rows))
          new Command(logging, { create, logging } as local.CommandArgs);
        new Command("unset", { create });
        new Command("lines", { create: "printf 'one\\r\\n\\n  two\\nthree'" });
      });
      resources = await stack.resources();
    });
    afterAll(() => stack.remove());

    it("is recorded for each command of the update", () => {
      expect(result.errors).toEqual({});
      expect(result.exitCode).toBe(0);
    });

    it.each(Object.keys(cases))("%s", (name) => {
      const { args, stdout = "", stderr = "" } = cases[name] as Case;
      expect(resources[name]?.outputs).toEqual({ ...args, stdout, stderr });
      expect(resources[name]?.inputs ?? {}).toEqual(args);
    });

    it.each(Object.keys(rows))("shows the lines of logging: %s", (logging) => {
      expect((result.rows[logging] ?? []).toSorted()).toEqual(rows[logging]);
      expect(resources[logging]?.outputs).toMatchObject({ stdout: "out 1\nout 2", stderr: "err 1" });
    });

    it("shows both streams when logging is unset", () => {
      expect(result.rows["unset"]?.toSorted()).toEqual(["err 1", "out 1", "out 2"]);
    });

    it("shows lines in order, without line ends, empty and unfinished ones too", () => {
      expect(result.rows["lines"]).toEqual(["one", "", "  two", "three"]);
    });

    it("gives the resource its name and eight hex digits as id", () => {
      expect(resources["lines"]?.id).toMatch(/^lines[0-9a-f]{8}$/);
    });

    it.runIf(plugin.isStandIn)("is preceded by one warning that this is a stand-in", () => {
      expect(result.warnings).toEqual([
        expect.stringContaining("stand-in for the official command plugin 1.2.1"),
      ]);
    });
  });
}
