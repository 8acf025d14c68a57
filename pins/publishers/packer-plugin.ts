import { architectures } from "../../release/store/keys.js";
import { createHash } from "node:crypto";
import { isNewer, type Finding } from "../finding.js";
import { pluginsFile, type Pinned } from "../pinned.js";
import { setPlugin } from "../rewrite.js";
import type { Publisher } from "../web.js";
import { hashIn } from "./checksums.js";
import { asset, githubReleases } from "./github.js";

const theirName = { x86_64: "amd64", aarch64: "arm64" };

/**
 * Packer's QEMU plugin. Only its version is pinned: Packer itself holds what it downloads to the release's SHA256SUMS
 * (https://developer.hashicorp.com/packer/docs/plugins/creation#creating-a-github-release), so that has to be there and whole. Neither
 * Packer nor this checks the signature beside it, since there is no hash of ours that it would vouch for.
 */
export async function findPackerPlugin(publisher: Publisher, { plugin }: Pinned): Promise<Finding> {
  const { where, releases } = await githubReleases(publisher, "hashicorp/packer-plugin-qemu");
  const [newest] = releases;
  const newer = isNewer(publisher, where, newest.version, plugin);
  if (newer) {
    const base = `packer-plugin-qemu_v${newest.version}`;
    const sums = asset(publisher, where, newest, `${base}_SHA256SUMS`);
    const text = await publisher.text(sums.url);
    const actual = createHash("sha256").update(text).digest("hex");
    if (actual !== sums.sha256)
      throw publisher.wrong(sums.url, `sha256 ${sums.sha256}, not ${actual}`, "do not use it");
    for (const arch of architectures) {
      const zips = newest.assets.map(({ name }) => name);
      const zip = zips.find(
        (name) => name.startsWith(base) && name.endsWith(`_linux_${theirName[arch]}.zip`),
      );
      if (zip === undefined) throw publisher.wrong(where, `a plugin for linux_${theirName[arch]}`);
      const download = asset(publisher, where, newest, zip);
      const listed = hashIn(publisher, sums.url, text, zip);
      if (listed !== download.sha256)
        throw publisher.wrong(
          sums.url,
          `${zip} with sha256 ${download.sha256}, not ${listed}`,
          "do not use it",
        );
    }
  }
  return {
    what: publisher.what,
    pinned: { name: plugin, day: releases.find(({ version }) => version === plugin)?.day ?? null },
    newest: { name: newest.version, day: newest.day },
    edits: newer ? [setPlugin(pluginsFile, newest.version)] : [],
  };
}
