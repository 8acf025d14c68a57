import { isNewer, unchanged, type Finding } from "../finding.js";
import type { ActionPin } from "../pinned.js";
import { setAction } from "../rewrite.js";
import type { Publisher } from "../web.js";
import { githubReleases, githubTag } from "./github.js";

/** An action of the workflows. The commit is the hash of its content: there is no other checksum. */
export async function findAction(publisher: Publisher, pin: ActionPin): Promise<Finding> {
  const { where, releases } = await githubReleases(publisher, pin.action);
  const [newest] = releases;
  const newer = isNewer(publisher, where, newest.version, pin.version);
  const tag = await githubTag(publisher, pin.action, `v${newest.version}`);
  if (!newer) unchanged(publisher, tag.where, tag.commit, pin.commit);
  return {
    what: publisher.what,
    pinned: { name: pin.version, day: releases.find(({ version }) => version === pin.version)?.day ?? null },
    newest: { name: newest.version, day: newest.day },
    edits: newer ? pin.files.map((file) => setAction(file, pin, tag.commit, newest.version)) : [],
  };
}
