import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import command from "@pulumi/command";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { isAlive, Stack, waitUntil, type Plugin, type Run } from "./harness.js";

/**
 * Two ways to write a long command. Both scripts note their own process and the shell between them and the plugin,
 * and start a tool that would run for ten minutes. The plugin kills that shell and nothing else.
 */
const scripts = {
  // Hears nothing of it. (The tool is killed by -9: dash loses a TERM between its fork and its exec.)
  "plain.sh": `#!/bin/sh
trap 'echo trapped > trapped; kill -9 $tool; exit 1' INT TERM
sleep 600 & tool=$!
echo $$ $PPID > plain
wait`,
  // Is told by the kernel that its shell died, and cleans up.
  "guarded.sh": `#!/bin/sh
trap 'kill -9 $tool; wait $tool; echo cleaned > cleaned; exit 1' TERM
sleep 600 & tool=$!
echo $$ $PPID > guarded
wait`,
};

interface Script {
  script: string;
  shell: string;
}

export function cancelCases(plugin: Plugin): void {
  describe("an update that is cancelled", () => {
    let stack: Stack;
    let run: Run;
    let plain: Script;
    let guarded: Script;

    beforeEach(async () => {
      stack = await Stack.create(plugin);
      for (const [name, text] of Object.entries(scripts))
        await writeFile(path.join(stack.folder, name), text, { mode: 0o755 });
      const program = () => {
        new command.local.Command("plain", { create: "./plain.sh" });
        new command.local.Command("guarded", { create: "setpriv --pdeathsig TERM ./guarded.sh" });
      };
      run = stack.start("up", program, ["--yes", "--skip-preview"]);
      plain = readScript(await stack.waitForFile("plain"));
      guarded = readScript(await stack.waitForFile("guarded"));
    });
    afterEach(async () => {
      for (const { script } of [plain, guarded])
        if (await isAlive(script)) process.kill(Number(script), "SIGTERM");
      await stack.remove();
    });

    it.each(["SIGINT", "SIGTERM"] as const)(
      "by one %s: kills the shells only, lets a guarded script clean up, and waits for what a plain one left running",
      async (signal) => {
        await run.kill(signal);
        expect(await stack.waitForFile("cleaned")).toBe("cleaned");
        await waitUntil(
          "the shells are gone",
          async () => !(await isAlive(plain.shell)) && !(await isAlive(guarded.shell)),
        );
        await waitUntil("the guarded script is gone", async () => !(await isAlive(guarded.script)));
        expect(await isAlive(plain.script)).toBe(true);
        expect(await stack.file("trapped")).toBeUndefined();
        expect(await run.isRunning()).toBe(true);

        process.kill(Number(plain.script), "SIGTERM");
        const { exitCode } = await run.result;
        expect(exitCode).not.toBe(0);
        expect(await stack.resources()).toEqual({});
        expect(await stack.pendingOperations()).toBe(0);
        expect(await stack.isLocked()).toBe(false);
      },
    );

    it("by a second SIGINT: lets the plain script's trap run, and leaves pending operations", async () => {
      await run.kill("SIGINT");
      await waitUntil("the shell is gone", async () => !(await isAlive(plain.shell)));
      await run.kill("SIGINT");
      expect(await stack.waitForFile("trapped")).toBe("trapped");
      const { exitCode } = await run.result;
      expect(exitCode).not.toBe(0);
      expect(await stack.pendingOperations()).toBeGreaterThan(0);
    });

    it("by kill -9 of the engine: kills the shells, ends the plugin, and leaves lock and pending operations", async () => {
      const provider = await parentOf(plain.shell);
      await run.kill("SIGKILL");
      expect(await stack.waitForFile("cleaned")).toBe("cleaned");
      await waitUntil(
        "the shells are gone",
        async () => !(await isAlive(plain.shell)) && !(await isAlive(guarded.shell)),
      );
      await waitUntil("the plugin is gone", async () => !(await isAlive(provider)));
      expect(await isAlive(plain.script)).toBe(true);
      expect(await stack.pendingOperations()).toBe(2);
      expect(await stack.isLocked()).toBe(true);
    });
  });
}

function readScript(pids: string): Script {
  const [script = "", shell = ""] = pids.split(" ");
  return { script, shell };
}

async function parentOf(pid: string): Promise<string> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return /^PPid:\s*(\d+)$/m.exec(status)?.[1] ?? "";
}
