/*
 * What pull-request.yml runs after it built and booted a changed image: sizes and boot time beside the live image's.
 * image-summary.ts <what `release publish` printed> <what `release boot-test` printed>
 */
import { readFile } from "node:fs/promises";
import { z } from "zod";
import { UserError } from "../../release/process/errors.js";
import { architectures, imageName, type Architecture } from "../../release/store/keys.js";
import { bootRecord } from "../../release/store/records.js";
import { addSummary, main } from "./github.js";
import { imageTable, type ImageFigures } from "./image-table.js";
import { readLive } from "./live.js";

const published = z.object({
  commit: z.string(),
  arch: z.enum(architectures),
  compressedBytes: z.number(),
  diskBytes: z.number(),
});

async function liveFigures(arch: Architecture): Promise<ImageFigures | string> {
  try {
    const { commit, manifest, boot } = await readLive(process.env["IMAGES_URL"] ?? "", arch);
    return { commit, compressedBytes: manifest.compressed.bytes, diskBytes: manifest.disk.bytes, boot };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return error.message;
  }
}

async function summarize(): Promise<number> {
  const [publishFile, bootFile] = process.argv.slice(2) as [string, string];
  const { arch, ...image } = published.parse(JSON.parse(await readFile(publishFile, "utf8")));
  const boot = bootRecord.parse(JSON.parse(await readFile(bootFile, "utf8")));
  const table = imageTable(imageName(arch), { ...image, boot }, await liveFigures(arch));
  addSummary(table);
  process.stdout.write(`${table}\n`);
  return 0;
}

await main(summarize);
