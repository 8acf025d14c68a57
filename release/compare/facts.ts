import { readComponents, type Component } from "../inspect/sbom.js";
import type { RunnerCalendar, Usability } from "../pointer/runner-releases.js";
import { architectures, keys, type Architecture } from "../store/keys.js";
import { bootRecord, manifest, type BootRecord, type Manifest } from "../store/records.js";
import { getJson, parseJson, type StoreReader } from "../store/store.js";

/** All that is stored of a published image, and until when it can be used. */
export interface ImageFacts {
  commit: string;
  arch: Architecture;
  manifest: Manifest;
  /** Of the boot test that passed; null: none did yet. */
  boot: BootRecord | null;
  /** What is on its disk; null where it was published before there were bills of materials, or that one cannot be read. */
  components: Component[] | null;
  usability: Usability;
}

/**
 * @param of the architectures to look at; those that were not published are left out
 * @throws UserError where a manifest is not valid
 */
export async function readFacts(
  store: StoreReader,
  commit: string,
  calendar: RunnerCalendar,
  of: readonly Architecture[] = architectures,
): Promise<ImageFacts[]> {
  const images = await Promise.all(of.map((arch) => readImage(store, commit, arch, calendar)));
  return images.flat();
}

async function readImage(
  store: StoreReader,
  commit: string,
  arch: Architecture,
  calendar: RunnerCalendar,
): Promise<ImageFacts[]> {
  const found = await getJson(store, keys.manifest(commit, arch), manifest);
  if (found === null) return [];
  const [boot, sbom, usability] = await Promise.all([
    store.get(keys.bootRecord(commit, arch)),
    found.sbom === undefined ? null : store.get(found.sbom.key),
    calendar.usability(found.build.runner),
  ]);
  return [
    {
      commit,
      arch,
      manifest: found,
      boot: boot === null ? null : parseJson(boot.text, bootRecord),
      components: sbom === null ? null : readComponents(sbom.text),
      usability,
    },
  ];
}
