/*
 * What deploy.yml's job `boot` runs, which has no credential: boots the image ARCH of COMMIT from what the CDN serves, and hands the record
 * over: a file in BOOT_RECORD_FOLDER, and its hash as the output `sums`. Nothing is booted where main has moved on to another image.
 */
import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { parseConfig } from "../../config.js";
import { configuredValues } from "../../local/stack-file.js";
import { bootFailure } from "../../release/boot/boot-record.js";
import { runBootTest } from "../../release/boot/boot-test.js";
import { bootRecordFile } from "../../release/boot/hand-over.js";
import { newestImage } from "../../release/build/source.js";
import { UserError } from "../../release/process/errors.js";
import { say } from "../../release/process/progress.js";
import { imageName, keys, type Architecture } from "../../release/store/keys.js";
import type { AcceleratorChoice } from "../../release/store/records.js";
import { jsonText } from "../../release/store/store.js";
import { addSummary, main, setOutput } from "./github.js";
import { stack } from "./pulumi.js";

async function boot(): Promise<number> {
  const root = process.cwd();
  const {
    ACCELERATOR,
    ARCH,
    BOOT_RECORD_FOLDER: folder = "",
    BOOT_TIMEOUT,
    COMMIT,
    IMAGES_URL,
  } = process.env;
  const arch = ARCH as Architecture;
  const { commit } = await newestImage(root);
  if (commit !== COMMIT) {
    const moved = `${imageName(arch)} of ${COMMIT}: main has moved on to the image ${commit}, which the run of its own merge boots`;
    say(moved);
    addSummary(moved);
    return 0;
  }
  if (!IMAGES_URL) throw new UserError("the variable IMAGES_URL is not set: nothing was deployed yet");
  // Whom to believe is said by the reviewed stack file; a variable of the repository could be changed by whoever may push.
  const { trust } = parseConfig(await configuredValues(root, stack), {});
  const tested = await runBootTest({
    url: IMAGES_URL,
    commit,
    arch,
    accelerator: ACCELERATOR as AcceleratorChoice,
    cacheDirectory: path.join(root, ".local", "cache"),
    logDirectory: path.join(root, "build", "logs"),
    timeoutMs: Number(BOOT_TIMEOUT) * 1000,
    trust,
  });
  const text = jsonText(tested.record);
  await mkdir(folder, { recursive: true });
  await writeFile(path.join(folder, bootRecordFile(arch)), text);
  const sha256 = createHash("sha256").update(text).digest("hex");
  setOutput("sums", `${sha256}  ${keys.bootRecord(commit, arch)}`);
  // Failed like this job, so that running failed jobs again boots it again.
  if (tested.record.result === "failed") throw await bootFailure(tested);
  return 0;
}

await main(boot);
