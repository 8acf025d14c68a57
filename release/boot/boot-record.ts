import type { Trust } from "../attest/signer.js";
import { runBootTest, type BootTestResult } from "./boot-test.js";
import { findBootRecord } from "./hand-over.js";
import { UserError } from "../process/errors.js";
import { imageName, keys, type Architecture } from "../store/keys.js";
import { printable, say } from "../process/progress.js";
import {
  bootRecord,
  hasPassed,
  manifest,
  type AcceleratorChoice,
  type BootRecord,
  type Manifest,
} from "../store/records.js";
import { lastLines } from "../process/run.js";
import { getJson, jsonText, type Store } from "../store/store.js";

export interface BootTestRequest {
  /** Base URL of the CDN. */
  url: string;
  commit: string;
  arch: Architecture;
  accelerator: AcceleratorChoice;
  /** Downloaded images are kept here. */
  cacheDirectory: string;
  /** The console log is kept here. */
  logDirectory: string;
  timeoutMs: number;
  trust: Trust | null;
  /** Nothing is booted here: the folder with the records of boots on other machines. */
  records?: string | undefined;
}

/**
 * Boot-tests a published image unless it passed before, and stores the record: a pass under a key that never changes, each
 * failure under one of its own, so that a later attempt may still pass. Where `records` is given, the boot was another machine's.
 * @throws UserError with the reason, and the console's last lines where they are here, where it fails
 */
export async function ensureBooted(store: Store, request: BootTestRequest): Promise<BootRecord> {
  const { commit, arch, records } = request;
  const key = keys.bootRecord(commit, arch);
  const published = await getJson(store, keys.manifest(commit, arch), manifest);
  if (published === null)
    throw new UserError(
      `${imageName(arch)} of ${commit} is not published: run node release/main.mjs publish first`,
    );
  const before = await getJson(store, key, bootRecord);
  if (before !== null && hasPassed(before, published)) {
    say(`${imageName(arch)} of ${commit} passed its boot test already`);
    return before;
  }

  const tested =
    records === undefined ? await runBootTest(request) : await bootedElsewhere(records, published);
  const { record } = tested;
  if (record.result === "passed") {
    await store.create(key, jsonText(record));
    return record;
  }
  await store.create(keys.bootFailure(commit, arch, new Date(record.startedAt)), jsonText(record));
  throw await bootFailure(tested);
}

/** What is said of a boot test that failed. `consoleLog` is null where the console is on another machine. */
export async function bootFailure({ record, consoleLog }: Tested): Promise<UserError> {
  const { arch, commit, reason } = record;
  const where = consoleLog === null ? "with the job that booted it" : consoleLog;
  const end = consoleLog === null ? "" : `\n${await lastLines(consoleLog)}`;
  return new UserError(
    `${imageName(arch)} of ${commit} failed its boot test: ${printable(reason ?? "no reason given")} (console: ${where})${end}`,
  );
}

type Tested = Pick<BootTestResult, "record"> & { consoleLog: string | null };

/** The record of another machine, held to what is published. */
async function bootedElsewhere(records: string, { commit, arch, disk }: Manifest): Promise<Tested> {
  const what = `${imageName(arch)} of ${commit}`;
  const record = await findBootRecord(records, { commit, arch });
  if (record === null)
    throw new UserError(
      `${what} is not booted on this machine (BOOT_RECORDS is set), and no boot record of it was handed over: run the deploy again, which boots it in a job of its own`,
    );
  if (record.diskSha256 !== disk.sha256)
    throw new UserError(
      `the boot record handed over for ${what} is of another disk (sha256 ${record.diskSha256}) than what is published (${disk.sha256}): run the deploy again, which boots that`,
    );
  return { record, consoleLog: null };
}
