/**
 * What `npm start` is measured against: a bare program, run by the same engine and plugin through the Automation API. Its project lives in
 * the folder given as argument.
 */
import { LocalWorkspace } from "@pulumi/pulumi/automation/index.js";
import { program } from "./bare-resources.js";

const workDir = process.argv[2]!;

const stack = await LocalWorkspace.createOrSelectStack(
  { stackName: "bare", projectName: "bare", program },
  { workDir },
);
await stack.up();
