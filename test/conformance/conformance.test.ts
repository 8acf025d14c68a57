/**
 * What `command:local:Command` must do, on the real engine. It holds the stand-in (local/command-provider) to the official plugin 1.2.1:
 * expected values come from the official plugin as it was observed, and from its source, pulumi/pulumi-command,
 * provider/pkg/provider/local (named "source" in comments). Where the official plugin is to be had, the same tests run against it.
 */
import { afterAll, describe, it } from "vitest";
import { say } from "../../release/process/progress.js";
import { cancelCases } from "./cancel.js";
import { failureCases } from "./failure.js";
import { installOfficial, installStandIn, removeHomes, type Plugin } from "./harness.js";
import { lifecycleCases } from "./lifecycle.js";
import { outputCases } from "./output.js";
import { secretCases } from "./secret.js";

const plugins: Plugin[] = [await installStandIn()];
let reason = "";
try {
  plugins.push(await installOfficial());
} catch (error) {
  reason = firstErrorLine((error as Error).message);
  say(`the official command plugin 1.2.1 is NOT tested: ${reason}`);
}

afterAll(removeHomes);

describe.each(plugins)("$title", (plugin) => {
  outputCases(plugin);
  failureCases(plugin);
  lifecycleCases(plugin);
  secretCases(plugin);
  cancelCases(plugin);
});

describe.skipIf(reason === "")(`the official plugin (skipped: ${reason})`, () => {
  it.skip("conforms to itself", () => {});
});

/** The CLI's own "error: ..." line out of a failed command's message. */
function firstErrorLine(message: string): string {
  const lines = message.split("\n");
  return (lines.find((line) => line.startsWith("error:")) ?? lines[0] ?? "").slice(0, 300);
}
