import { mkdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { UserError } from "../process/errors.js";
import { isHandedOver } from "../store/sums.js";
import { imageName, type Architecture } from "../store/keys.js";
import { bootRecord, type BootRecord } from "../store/records.js";
import { jsonText, parseJson } from "../store/store.js";

/** Which image was booted. */
interface Image {
  commit: string;
  arch: Architecture;
}

/** Bytes: ten times a record. It is printed as one line, and Pulumi's command plugin hangs on one of more than 64 KiB. */
const largestRecord = 60_000;

/** What a record is called that goes from one machine to another. */
export function bootRecordFile(arch: Architecture): string {
  return `${imageName(arch)}.boot.json`;
}

/** Where a record that was taken over lies. */
function takenFile(records: string, { commit, arch }: Image): string {
  return path.join(records, commit, bootRecordFile(arch));
}

/**
 * Takes over the record of a boot test that another machine ran, so that `boot-test` stores it in place of booting.
 * @param folder holds the record
 * @param sums its hash (store/sums.ts)
 * @param records the folder it is kept in
 * @returns null where it is of another commit: then it is left alone
 * @throws UserError where it is missing, not the one of its hash, or no record of this image; then nothing was changed
 */
export async function takeBootRecord(
  image: Image,
  folder: string,
  sums: string,
  records: string,
): Promise<BootRecord | null> {
  const { commit, arch } = image;
  const file = bootRecordFile(arch);
  if (!(await isHandedOver(image, folder, [file], sums, "boot it again"))) return null;
  const record = await readRecord(path.join(folder, file));
  if (record?.commit !== commit || record.arch !== arch)
    throw new UserError(
      `${file} of ${commit} is ${record === null ? "no valid boot record" : `the boot record of ${imageName(record.arch)} of ${record.commit}`}; boot it again`,
    );
  const target = takenFile(records, image);
  await mkdir(path.dirname(target), { recursive: true });
  // Whole or not at all.
  await writeFile(`${target}.new`, jsonText(record));
  await rename(`${target}.new`, target);
  return record;
}

/** The record that was taken over; null: none was. */
export async function findBootRecord(records: string, image: Image): Promise<BootRecord | null> {
  return readRecord(takenFile(records, image));
}

async function readRecord(file: string): Promise<BootRecord | null> {
  const size = (await stat(file).catch(() => null))?.size ?? Infinity;
  return size > largestRecord ? null : parseJson(await readFile(file, "utf8"), bootRecord);
}
