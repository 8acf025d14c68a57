import { z } from "zod";
import { architectures, type Architecture } from "../../release/store/keys.js";
import { older, unchanged, type Dated, type Finding } from "../finding.js";
import { inputsFile, type Pinned } from "../pinned.js";
import { setDownload, setJson } from "../rewrite.js";
import type { Signatures } from "../signatures.js";
import type { Publisher } from "../web.js";
import { hashIn } from "./checksums.js";

const images = "https://cloud-images.ubuntu.com/releases";
/** What there is, as Canonical's own tools read it; it is steadier than the pages that list folders. */
const streams = `${images}/streams/v1/com.ubuntu.cloud:released:download.json`;
const snapshots = "https://snapshot.ubuntu.com/ubuntu";

const theirName: Record<Architecture, string> = { x86_64: "amd64", aarch64: "arm64" };

/** https://git.launchpad.net/simplestreams/tree/doc/README: format products:1.0 */
const products = z.object({
  products: z.record(
    z.string(),
    z.object({
      arch: z.string(),
      /** The series: "noble". */
      release: z.string(),
      /** "24.04" */
      version: z.string(),
      supported: z.boolean(),
      /** By serial: the day of the build, "20260705", with a number where that day had several. */
      versions: z.record(
        z.string(),
        z.object({ items: z.record(z.string(), z.object({ sha256: z.string().optional() })) }),
      ),
    }),
  ),
});
const serialPattern = /^\d{8}(\.\d+)?$/;

export interface Series {
  /** The series to pin: the one that is pinned, unless another is asked for. */
  series: string;
  signatures: Signatures;
  now: Date;
}

/** The newest base image of a series. Its hash is in a signed list, and has to be that of the catalogue, too. */
export async function findBase(
  publisher: Publisher,
  { inputs: { ubuntu } }: Pinned,
  { series, signatures }: Series,
): Promise<Finding> {
  const catalogue = await publisher.json(streams, products);
  const ours = Object.values(catalogue.products).filter(
    ({ arch, supported }) => supported && Object.values(theirName).includes(arch),
  );
  const offers = architectures.map((arch) => {
    const offer = ours.find((product) => product.release === series && product.arch === theirName[arch]);
    const known = [...new Set(ours.map(({ release }) => release))].join(", ");
    if (offer === undefined)
      throw publisher.wrong(streams, `the series ${series} for ${theirName[arch]}`, `it has ${known}`);
    return { ...offer, arch };
  });
  const [{ version }] = offers as [(typeof offers)[number]];
  const serial = Object.keys(offers[0]!.versions)
    .filter((candidate) => serialPattern.test(candidate))
    .filter((candidate) =>
      offers.every(({ versions }) => versions[candidate]?.items["disk1.img"] !== undefined),
    )
    .sort(bySerial)
    .at(-1);
  if (serial === undefined) throw publisher.wrong(streams, `a disk1.img of ${series} for all architectures`);

  const pinnedSerial = serialOf(ubuntu.name);
  const isOther = series !== ubuntu.series;
  if (!isOther && bySerial(serial, pinnedSerial) < 0) throw older(publisher, streams, serial, pinnedSerial);
  const newer = isOther || bySerial(serial, pinnedSerial) > 0;

  const folder = `${images}/${series}/release-${serial}`;
  const [sums, signature] = await Promise.all([
    publisher.text(`${folder}/SHA256SUMS`),
    publisher.bytes(`${folder}/SHA256SUMS.gpg`),
  ]);
  await signatures.ofText(publisher, `${folder}/SHA256SUMS.gpg`, signature, sums, "ubuntu-cloud-images");
  const downloads = offers.map(({ arch, versions }) => {
    const file = `ubuntu-${version}-server-cloudimg-${theirName[arch]}.img`;
    const sha256 = hashIn(publisher, `${folder}/SHA256SUMS`, sums, file);
    const listed = versions[serial]!.items["disk1.img"]!.sha256;
    if (listed !== sha256)
      throw publisher.wrong(
        streams,
        `sha256 ${sha256} of ${file}, as it is signed, not ${listed}`,
        "do not use it",
      );
    if (!newer) unchanged(publisher, `${folder}/SHA256SUMS`, sha256, ubuntu[arch].sha256);
    return { arch, download: { url: `${folder}/${file}`, sha256 } };
  });
  const name = `ubuntu-${version}-release-${serial}`;
  return {
    what: publisher.what,
    pinned: { name: ubuntu.name, day: dayOf(pinnedSerial) },
    newest: { name, day: dayOf(serial) },
    edits: newer
      ? [
          setJson(inputsFile, ["ubuntu", "series"], series),
          setJson(inputsFile, ["ubuntu", "name"], name),
          ...downloads.flatMap(({ arch, download }) => setDownload(inputsFile, ["ubuntu", arch], download)),
        ]
      : [],
  };
}

const inRelease = z.object({ Suite: z.string(), Codename: z.string(), Date: z.string() });

/**
 * The day whose packages apt sees: the beginning of today, unless the archive has not changed since the pinned day. Any moment can be
 * asked for (https://documentation.ubuntu.com/server/how-to/software/snapshot-service/); what was in the archive then, it signs.
 * @param base the image that will be pinned
 */
export async function findSnapshot(
  publisher: Publisher,
  { inputs: { ubuntu } }: Pinned,
  base: Dated,
  { series, signatures, now }: Series,
): Promise<Finding> {
  const today = `${now.toISOString().slice(0, 10).replaceAll("-", "")}T000000Z`;
  const suites = [series, `${series}-updates`, `${series}-security`];
  const dates = await Promise.all(
    suites.map(async (suite) => {
      const where = `${snapshots}/${today}/dists/${suite}/InRelease`;
      const signed = await signatures.inline(publisher, where, await publisher.text(where), "ubuntu-archive");
      const fields = [...signed.matchAll(/^(\w+): (.+)$/gm)].map(([, name, value]) => [name, value]);
      const { Suite, Codename, Date: date } = publisher.form(where, Object.fromEntries(fields), inRelease);
      if (Suite !== suite || Codename !== series)
        throw publisher.wrong(where, `the suite ${suite}, not ${Suite} of ${Codename}`, "do not use it");
      const moment = Date.parse(date);
      if (!(moment <= momentOf(today)))
        throw publisher.wrong(where, `a date until ${today}, not ${date}`, "do not use it");
      return moment;
    }),
  );
  const changed = new Date(Math.max(...dates)).toISOString();
  if (changed.slice(0, 10) < base.day!)
    throw publisher.wrong(
      `${snapshots}/${today}`,
      `packages from ${base.day}, the day of the base image, or later, not from ${changed.slice(0, 10)}`,
      "the snapshots are behind: try again later",
    );
  const stays =
    series === ubuntu.series &&
    Date.parse(changed) <= momentOf(ubuntu.snapshot) &&
    dayOf(ubuntu.snapshot) >= base.day!;
  const snapshot = stays ? ubuntu.snapshot : today;
  return {
    what: publisher.what,
    pinned: { name: ubuntu.snapshot, day: dayOf(ubuntu.snapshot) },
    newest: { name: snapshot, day: dayOf(snapshot) },
    edits: stays ? [] : [setJson(inputsFile, ["ubuntu", "snapshot"], snapshot)],
  };
}

/** Of a name, "ubuntu-24.04-release-20260705". */
function serialOf(name: string): string {
  return name.slice(name.lastIndexOf("-") + 1);
}

/** The order of serials, the older one first: "20260705", "20260705.1", "20260706". */
export function bySerial(one: string, other: string): number {
  const [a, b] = [one, other].map((serial) => serial.split(".").map(Number));
  return a![0]! - b![0]! || (a![1] ?? 0) - (b![1] ?? 0);
}

/** "2026-07-05" of "20260705.1" or "20260705T000000Z". */
function dayOf(serial: string): string {
  return serial.replace(/^(\d{4})(\d{2})(\d{2}).*$/, "$1-$2-$3");
}

function momentOf(snapshot: string): number {
  return Date.parse(
    `${dayOf(snapshot)}${snapshot.slice(8).replace(/^T(\d{2})(\d{2})(\d{2})Z$/, "T$1:$2:$3Z")}`,
  );
}
