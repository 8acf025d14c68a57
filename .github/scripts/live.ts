import { downloadText } from "../../release/host/download.js";
import { UserError } from "../../release/process/errors.js";
import { imageName, keys, type Architecture } from "../../release/store/keys.js";
import { parseLatest } from "../../release/pointer/pointer.js";
import { bootRecord, manifest, type BootRecord, type Manifest } from "../../release/store/records.js";
import { parseJson } from "../../release/store/store.js";

/** The image that hosts get, of one architecture. */
export interface LiveImage {
  commit: string;
  manifest: Manifest;
  boot: BootRecord;
}

/** Reads what is live through the CDN, as hosts do. @throws UserError saying what is not served */
export async function readLive(url: string, arch: Architecture): Promise<LiveImage> {
  if (url === "") throw new UserError("the variable IMAGES_URL is not set: nothing was deployed yet");
  const commit = parseLatest(await text(url, keys.latest));
  if (commit === null) throw new UserError(`${url}/${keys.latest} names no commit`);
  const [manifestText, bootText] = await Promise.all([
    text(url, keys.manifest(commit, arch)),
    text(url, keys.bootRecord(commit, arch)),
  ]);
  const found = { manifest: parseJson(manifestText, manifest), boot: parseJson(bootText, bootRecord) };
  if (found.manifest === null || found.boot === null)
    throw new UserError(
      `the manifest or boot record of ${imageName(arch)} of ${commit} at ${url} is not valid`,
    );
  return { commit, manifest: found.manifest, boot: found.boot };
}

function text(url: string, key: string): Promise<string> {
  return downloadText(`${url}/${key}`, { what: key, retries: 3 });
}
