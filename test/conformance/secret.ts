import { readFile } from "node:fs/promises";
import path from "node:path";
import command from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Stack, type Plugin, type Result, type StateResource } from "./harness.js";

/** What the engine writes into a state file in place of a secret (`secretSignature`). */
const encrypted = { "4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270" };

export function secretCases(plugin: Plugin): void {
  describe("a secret input", () => {
    let stack: Stack;
    let result: Result;
    let state: string;
    let resources: Record<string, StateResource>;
    let same: Result;
    let changed: Result;
    let after: Record<string, StateResource>;

    const program = (token: string) => () => {
      const { Command } = command.local;
      const environment = { TOKEN: pulumi.secret(token), PLAIN: "plain" };
      new Command("environment", { create: "printf %s $TOKEN | wc -c", environment });
      new Command("stdin", { create: "wc -c", stdin: pulumi.secret("standing-in-secret") });
      new Command("create", {
        create: pulumi.secret("true hidden-in-create"),
        delete: "echo $TOKEN > deleted",
        environment,
      });
      new Command("leak", { create: "echo $TOKEN", environment: { TOKEN: pulumi.secret("leaked-token") } });
      new Command(
        "marked",
        { create: "echo marked-output", update: 'echo "again $PULUMI_COMMAND_STDOUT"', environment },
        { additionalSecretOutputs: ["stdout"] },
      );
    };

    beforeAll(async () => {
      stack = await Stack.create(plugin);
      result = await stack.up(program("token-one"));
      state = await readFile(path.join(stack.folder, "state/.pulumi/stacks/conformance/test.json"), "utf8");
      resources = await stack.resources();
      same = await stack.up(program("token-one"));
      changed = await stack.up(program("token-number-two"));
      after = await stack.resources();
      await stack.destroy();
    });
    afterAll(() => stack.remove());

    it("reaches the command in the clear", () => {
      expect(result.errors).toEqual({});
      expect(resources["environment"]?.outputs["stdout"]).toBe("9");
      expect(resources["stdin"]?.outputs["stdout"]).toBe("18");
    });

    it("is encrypted in state, in inputs and outputs", () => {
      for (const side of ["inputs", "outputs"] as const) {
        expect(resources["environment"]?.[side]["environment"]).toMatchObject({
          TOKEN: encrypted,
          PLAIN: "plain",
        });
        expect(resources["stdin"]?.[side]["stdin"]).toMatchObject(encrypted);
        expect(resources["create"]?.[side]["create"]).toMatchObject(encrypted);
      }
      expect(state).not.toMatch(/token-one|standing-in-secret|hidden-in-create/);
    });

    it("does not make the output secret: what a command prints is in state in plain text", () => {
      expect(resources["leak"]?.outputs["stdout"]).toBe("leaked-token");
    });

    it("is not shown on the console", () => {
      expect(result.text).not.toContain("token-one");
    });

    it("is no change when it is the same", () => {
      expect(new Set(same.steps.map(({ op }) => op))).toEqual(new Set(["same"]));
    });

    it("is an update when it is another", () => {
      expect(
        changed.steps
          .filter(({ op }) => op === "update")
          .map(({ name }) => name)
          .toSorted(),
      ).toEqual(["create", "environment", "marked"]);
      expect(after["environment"]?.outputs["stdout"]).toBe("16");
    });

    it("reaches delete in the clear", async () => {
      expect(await stack.file("deleted")).toBe("token-number-two\n");
    });

    it("lets the output be marked secret, and gives it to the update in the clear", () => {
      expect(resources["marked"]?.outputs["stdout"]).toMatchObject(encrypted);
      expect(after["marked"]?.outputs["stdout"]).toMatchObject(encrypted);
      expect(changed.rows["marked"]).toEqual(["again marked-output"]);
    });
  });
}
