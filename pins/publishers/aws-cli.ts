import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { step } from "../../release/process/progress.js";
import { architectures } from "../../release/store/keys.js";
import { isNewer, type Finding } from "../finding.js";
import { inputsFile, type Pinned } from "../pinned.js";
import { setDownload, setJson } from "../rewrite.js";
import type { Signatures } from "../signatures.js";
import type { Publisher } from "../web.js";
import { githubTag } from "./github.js";

/** What AWS refers to for the versions: https://docs.aws.amazon.com/cli/latest/userguide/getting-started-version.html */
const changelog = "https://raw.githubusercontent.com/aws/aws-cli/v2/CHANGELOG.rst";
const repository = "aws/aws-cli";

/**
 * The AWS CLI. AWS publishes no checksums, only a signature beside each archive, so a new one is downloaded and hashed:
 * https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html
 */
export async function findAwsCli(
  publisher: Publisher,
  { inputs }: Pinned,
  signatures: Signatures,
): Promise<Finding> {
  const pinned = inputs.tools["aws-cli"];
  const version = newestIn(publisher, await publisher.text(changelog));
  const newer = isNewer(publisher, changelog, version, pinned.version);
  const [newestTag, pinnedTag] = await Promise.all(
    (newer ? [version, pinned.version] : [version]).map((tag) => githubTag(publisher, repository, tag)),
  );
  const edits = newer
    ? [
        setJson(inputsFile, ["tools", "aws-cli", "version"], version),
        ...(await hashAll(publisher, version, signatures)).flatMap(({ arch, url, sha256 }) =>
          setDownload(inputsFile, ["tools", "aws-cli", arch, 0], { url, sha256 }),
        ),
      ]
    : [];
  return {
    what: publisher.what,
    pinned: { name: pinned.version, day: (pinnedTag ?? newestTag)!.day },
    newest: { name: version, day: newestTag!.day },
    edits,
  };
}

/** The first heading: a version, underlined. */
function newestIn(publisher: Publisher, text: string): string {
  const version = /^(\d+\.\d+\.\d+)\r?\n=+\r?$/m.exec(text)?.[1];
  if (version === undefined) throw publisher.wrong(changelog, "a version as the first heading");
  return version;
}

/** One architecture after the other: a slow line is not shared. */
async function hashAll(publisher: Publisher, version: string, signatures: Signatures) {
  const folder = await mkdtemp(path.join(tmpdir(), "pins-"));
  try {
    const hashed = [];
    for (const arch of architectures) {
      const url = `https://awscli.amazonaws.com/awscli-exe-linux-${arch}-${version}.zip`;
      const file = path.join(folder, `${arch}.zip`);
      const sha256 = await step(
        `${publisher.what} ${version} for ${arch}: downloading, to hash it`,
        (report) => publisher.download(url, file, report),
      );
      const signature = await publisher.bytes(`${url}.sig`);
      await signatures.detached(publisher, `${url}.sig`, signature, file, "aws-cli");
      hashed.push({ arch, url, sha256 });
    }
    return hashed;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
