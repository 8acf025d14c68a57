import path from "node:path";
import { execa } from "execa";
import { UserError } from "../../release/process/errors.js";

/** Downloads an artifact of this run. @returns the folder it is in */
export async function download(name: string): Promise<string> {
  const { RUNNER_TEMP: temporary = "", GITHUB_RUN_ID: run = "" } = process.env;
  const folder = path.join(temporary, `handed-over-${name}`);
  const args = ["run", "download", run, "--name", name, "--dir", folder];
  const { failed, stderr } = await execa("gh", args, { reject: false, stdin: "ignore" });
  if (failed)
    throw new UserError(
      `the artifact ${name} of run ${run} cannot be downloaded: ${stderr.trim().split("\n").join(" ")}; run all jobs again`,
    );
  return folder;
}
