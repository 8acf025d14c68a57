import type { Trust } from "../attest/signer.js";
import { runBootTest } from "./boot-test.js";
import { UserError } from "../process/errors.js";
import { imageName, keys, type Architecture } from "../store/keys.js";
import { say } from "../process/progress.js";
import { bootRecord, manifest, type AcceleratorChoice, type BootRecord } from "../store/records.js";
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
}

/**
 * Boot-tests a published image unless it passed before, and stores the record: a pass under a key that never changes, each
 * failure under one of its own, so that a later attempt may still pass.
 * @throws UserError with the reason and the console's last lines where it fails
 */
export async function ensureBooted(store: Store, request: BootTestRequest): Promise<BootRecord> {
  const { commit, arch } = request;
  const key = keys.bootRecord(commit, arch);
  const published = await getJson(store, keys.manifest(commit, arch), manifest);
  if (published === null)
    throw new UserError(`${imageName(arch)} of ${commit} is not published: run release/cli.ts publish first`);
  const before = await getJson(store, key, bootRecord);
  if (before?.result === "passed" && before.diskSha256 === published.disk.sha256) {
    say(`${imageName(arch)} of ${commit} passed its boot test already`);
    return before;
  }

  const { record, consoleLog } = await runBootTest(request);
  if (record.result === "passed") {
    await store.create(key, jsonText(record));
    return record;
  }
  await store.create(keys.bootFailure(commit, arch, new Date(record.startedAt)), jsonText(record));
  throw new UserError(
    `${imageName(arch)} of ${commit} failed its boot test: ${record.reason ?? "no reason given"} (console: ${consoleLog})\n${await lastLines(consoleLog)}`,
  );
}
