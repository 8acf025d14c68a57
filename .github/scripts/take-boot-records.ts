/*
 * What update.yml runs before it has any credential: takes over the records of the boot tests that this run's other jobs ran. X86_64 and
 * AARCH64 hold their hashes, which came by the jobs' outputs; empty: that one was not booted, or not to its end.
 */
import { newestImage } from "../../release/build/source.js";
import { takeBootRecord } from "../../release/boot/hand-over.js";
import { say } from "../../release/process/progress.js";
import { architectures, imageName } from "../../release/store/keys.js";
import { download } from "./artifacts.js";
import { bootRecords, main } from "./github.js";

async function take(): Promise<number> {
  const { commit } = await newestImage(process.cwd());
  for (const arch of architectures) {
    const sums = process.env[arch.toUpperCase()] ?? "";
    if (sums === "") continue;
    const folder = await download(`boot-record-${arch}`);
    const record = await takeBootRecord({ commit, arch }, folder, sums, bootRecords);
    say(
      record === null
        ? `${imageName(arch)}: main has moved on to the image ${commit}, which the run of its own merge boots`
        : `${imageName(arch)} of ${commit} was booted, and its boot test ${record.result}`,
    );
  }
  return 0;
}

await main(take);
