import command, { type local } from "@pulumi/command";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Stack, type Plugin, type Result, type StateResource } from "./harness.js";

type Args = local.CommandArgs;

/** A command that writes down that it ran. */
const note = (text: string) => `echo ${text} | tee -a ran`;

/** Resources before and after a change; undefined: not in the program. */
const changes: Record<string, { before?: Args; after?: Args; op: string }> = {
  "an unchanged command": { before: { create: note("same") }, after: { create: note("same") }, op: "same" },
  "a new create": { before: { create: note("create-1") }, after: { create: note("create-2") }, op: "update" },
  "a new update": {
    before: { create: note("for-update") },
    after: { create: note("for-update"), update: note("update-added") },
    op: "update",
  },
  "a new delete": {
    before: { create: note("for-delete") },
    after: { create: note("for-delete"), delete: note("never") },
    op: "update",
  },
  "a new environment value": {
    before: { create: note("env-$V"), environment: { V: "1" } },
    after: { create: note("env-$V"), environment: { V: "2" } },
    op: "update",
  },
  "a new interpreter": {
    before: { create: note("$0"), interpreter: ["/bin/sh", "-c"] },
    after: { create: note("$0"), interpreter: ["sh", "-c"] },
    op: "update",
  },
  "a new folder": { before: { create: note("dir") }, after: { create: note("dir"), dir: "." }, op: "update" },
  "a new stdin": {
    before: { create: "cat", stdin: "stdin 1" },
    after: { create: "cat", stdin: "stdin 2" },
    op: "update",
  },
  "a new logging": {
    before: { create: note("logging") },
    after: { create: note("logging"), logging: "none" },
    op: "update",
  },
  "a new addPreviousOutputInEnv": {
    before: { create: note("previous") },
    after: { create: note("previous"), addPreviousOutputInEnv: true },
    op: "update",
  },
  "a changed trigger": {
    before: { create: note("trigger-1"), delete: note("trigger-1-deleted"), triggers: ["a", 1] },
    after: { create: note("trigger-2"), delete: note("trigger-2-deleted"), triggers: ["a", 2] },
    op: "replace",
  },
  "added triggers": { before: { create: "true" }, after: { create: "true", triggers: [1] }, op: "replace" },
  "an added trigger": {
    before: { create: "true", triggers: [1] },
    after: { create: "true", triggers: [1, 2] },
    op: "replace",
  },
  "removed triggers": { before: { create: "true", triggers: [1] }, after: { create: "true" }, op: "replace" },
  "a command of its own for updates": {
    before: { create: "echo created; echo warned >&2", update: "true", environment: { V: "1" } },
    after: {
      create: "echo created; echo warned >&2",
      update: 'echo "after $PULUMI_COMMAND_STDOUT and $PULUMI_COMMAND_STDERR"',
      environment: { V: "2" },
    },
    op: "update",
  },
  "previous output switched off": {
    before: { create: "echo created", addPreviousOutputInEnv: false },
    after: {
      create: "echo created",
      update: 'echo "<$PULUMI_COMMAND_STDOUT>"',
      addPreviousOutputInEnv: false,
    },
    op: "update",
  },
  "no command left to run": {
    before: { create: "echo kept" },
    after: { environment: { V: "2" } },
    op: "update",
  },
  "a removed command with delete": {
    before: { create: "echo 42", delete: note("deleted-$PULUMI_COMMAND_STDOUT") },
    op: "delete",
  },
  "a removed command without delete": { before: { create: "true" }, op: "delete" },
  "a command that begins": { after: { create: note("begun") }, op: "create" },
};

export function lifecycleCases(plugin: Plugin): void {
  describe("a changed program", () => {
    let stack: Stack;
    let preview: Result;
    let ranInPreview: string;
    let update: Result;
    let ran: string[];
    let resources: Record<string, StateResource>;
    let again: Result;
    let refresh: Result;
    let refreshed: Record<string, StateResource>;

    const program = (version: "before" | "after") => () => {
      const { Command } = command.local;
      const built = Object.entries(changes).flatMap(([name, change]) => {
        const args = change[version];
        return args ? [[name, new Command(name, args)] as const] : [];
      });
      const stdoutOf = (name: string) => new Map(built).get(name)?.stdout ?? "";
      // What is unknown in a preview shows through what depends on it.
      const dependents = {
        "a new create": "read create",
        "an unchanged command": "read same",
        "a new logging": "read logging",
      };
      for (const [name, dependent] of Object.entries(dependents))
        new Command(dependent, { create: "true", environment: { READ: stdoutOf(name) } });
    };

    beforeAll(async () => {
      stack = await Stack.create(plugin);
      await stack.up(program("before"));
      const ranBefore = (await stack.file("ran")) ?? "";
      preview = await stack.preview(program("after"));
      ranInPreview = ((await stack.file("ran")) ?? "").slice(ranBefore.length);
      update = await stack.up(program("after"));
      ran = ((await stack.file("ran")) ?? "").slice(ranBefore.length).trim().split("\n");
      resources = await stack.resources();
      again = await stack.up(program("after"));
      refresh = await stack.refresh();
      refreshed = await stack.resources();
    });
    afterAll(() => stack.remove());

    const stepsOf = (result: Result, name: string) =>
      result.steps.filter((step) => step.name === name).map(({ op }) => op);
    const steps = (op: string) =>
      op === "replace" ? ["create-replacement", "replace", "delete-replaced"] : [op];

    it.each(Object.entries(changes))("%s: $op", (name, { op }) => {
      expect(stepsOf(update, name)).toEqual(steps(op));
    });

    it.each(Object.entries(changes))("%s: $op, and the preview says so", (name, { op }) => {
      expect(stepsOf(preview, name)).toEqual(steps(op));
    });

    it("runs nothing in a preview", () => {
      expect(ranInPreview).toBe("");
    });

    it("runs create again where there is no command of its own for updates", () => {
      expect(ran).toEqual(expect.arrayContaining(["create-2", "env-2", "sh", "dir", "logging", "previous"]));
      expect(resources["a new environment value"]?.outputs["stdout"]).toBe("env-2");
      expect(resources["a new stdin"]?.outputs["stdout"]).toBe("stdin 2");
    });

    it("runs update instead of create", () => {
      expect(ran).toContain("update-added");
      expect(ran).not.toContain("for-update");
    });

    it("runs nothing for what did not change", () => {
      expect(ran).not.toContain("same");
    });

    it("gives an update the previous output", () => {
      expect(resources["a command of its own for updates"]?.outputs["stdout"]).toBe(
        "after created and warned",
      );
    });

    it("gives no previous output when that is switched off", () => {
      expect(resources["previous output switched off"]?.outputs["stdout"]).toBe("<>");
    });

    it("keeps the output when there is no command left to run", () => {
      expect(resources["no command left to run"]?.outputs).toEqual({
        environment: { V: "2" },
        stdout: "kept",
        stderr: "",
      });
    });

    it("replaces by the new create first, then the old delete", () => {
      expect(ran.filter((line) => line.startsWith("trigger"))).toEqual(["trigger-2", "trigger-1-deleted"]);
    });

    it("runs delete with the output of create", () => {
      expect(ran).toContain("deleted-42");
    });

    // Source: infer's markComputed, an input which differs from the one in state makes the output unknown.
    it("does not know the output of a changed command in the preview", () => {
      expect(stepsOf(preview, "read create")).toEqual(["update"]);
      expect(stepsOf(preview, "read same")).toEqual(["same"]);
    });

    // Source: the same function skips an input which the state does not have.
    it("knows the output in the preview when an input was only added", () => {
      expect(stepsOf(preview, "read logging")).toEqual(["same"]);
    });

    it("has nothing to do the next time", () => {
      expect(new Set(again.steps.map(({ op }) => op))).toEqual(new Set(["same"]));
    });

    it("runs nothing in a refresh and changes nothing", async () => {
      expect(refresh.exitCode).toBe(0);
      expect(((await stack.file("ran")) ?? "").trim().split("\n").slice(-ran.length)).toEqual(ran);
      const outputs = (all: typeof resources) =>
        Object.fromEntries(Object.entries(all).map(([name, { outputs }]) => [name, outputs]));
      expect(outputs(refreshed)).toEqual(outputs(resources));
    });
  });

  describe("a change that fails", () => {
    let stack: Stack;
    let before: Record<string, StateResource>;
    let failed: Result;
    let after: Record<string, StateResource>;
    let destroy: Result;

    const program = (exit: string) => () => {
      const { Command } = command.local;
      const create = "echo $EXIT; exit $EXIT";
      new Command("update", { create, environment: { EXIT: exit } });
      new Command("replacement", {
        create,
        environment: { EXIT: exit },
        triggers: [exit],
        delete: note("replaced"),
      });
      new Command("deletion", { create: "true", delete: "echo cannot; exit 4" });
      new Command("other", { create: "true", delete: note("other") });
    };

    beforeAll(async () => {
      stack = await Stack.create(plugin);
      await stack.up(program("0"));
      before = await stack.resources();
      failed = await stack.up(program("1"), "--continue-on-error");
      after = await stack.resources();
      destroy = await stack.destroy("--continue-on-error");
    });
    afterAll(() => stack.remove());

    it.each(["update", "replacement"])("keeps the old state: %s", (name) => {
      expect(failed.errors[name]).toContain('exit status 1: running "echo $EXIT; exit $EXIT":');
      expect(after[name]?.outputs).toEqual(before[name]?.outputs);
      expect(after[name]?.id).toBe(before[name]?.id);
    });

    it("keeps a resource whose delete fails, and says why", async () => {
      expect(destroy.errors["deletion"]).toContain('exit status 4: running "echo cannot; exit 4":\ncannot');
      expect(Object.keys(await stack.resources())).toEqual(["deletion"]);
      expect((await stack.file("ran"))?.trim().split("\n").toSorted()).toEqual(["other", "replaced"]);
    });
  });
}
