/**
 * What `npm start` is measured against: a Pulumi program with as many resources of the same types, and nothing else,
 * run by the same engine and plugin through the Automation API. Its project lives in the folder given as argument.
 */
import { local } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { LocalWorkspace } from "@pulumi/pulumi/automation/index.js";

const workDir = process.argv[2]!;

async function program(): Promise<Record<string, string>> {
  for (const [component, commands] of Object.entries({
    image: ["publish", "boot-test"],
    latest: ["promote"],
  })) {
    const parent = new pulumi.ComponentResource("bare:index:Component", component);
    for (const name of commands) new local.Command(`${component}-${name}`, { create: "true" }, { parent });
  }
  return Promise.resolve({ url: "none" });
}

const stack = await LocalWorkspace.createOrSelectStack(
  { stackName: "bare", projectName: "bare", program },
  { workDir },
);
await stack.up();
