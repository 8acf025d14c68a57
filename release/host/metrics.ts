import { UserError } from "../process/errors.js";
import { writeFileAtomically } from "../process/files.js";
import type { Architecture } from "../store/keys.js";
import type { BuildFacts } from "../store/records.js";
import { keptImages } from "./cache.js";
import { followedImage } from "./follow.js";

/** What monitoring is told about the image that a host uses. */
export interface HostMetrics {
  arch: Architecture;
  /** Null: this host has none yet. */
  image: { commit: string; publishedAt: Date; /** Null: no end is known. */ usableUntil: Date | null } | null;
  /** All that this host keeps of the architecture's images. */
  cacheBytes: number;
  /** What this run of the command exits with. */
  exitCode: number;
}

/**
 * In the form of the node exporter's textfile collector
 * (https://github.com/prometheus/docs/blob/main/docs/instrumenting/exposition_formats.md). Written by failed runs too, so that an image
 * that grows old because nothing can be fetched is seen as what it is.
 */
export function metricsText({ arch, image, cacheBytes, exitCode }: HostMetrics, now: Date): string {
  const labels = `{arch="${arch}"}`;
  const seconds = (from: Date, to: Date): number => Math.round((to.getTime() - from.getTime()) / 1000);
  const gauge = (name: string, help: string, value: number | null | undefined, with_ = labels): string =>
    value === null || value === undefined
      ? ""
      : `# HELP runner_images_${name} ${help}\n# TYPE runner_images_${name} gauge\nrunner_images_${name}${with_} ${value}\n`;
  return [
    gauge(
      "info",
      "The image that this host uses.",
      image && 1,
      `{arch="${arch}",commit="${image?.commit ?? ""}"}`,
    ),
    gauge("age_seconds", "Since that image was published.", image && seconds(image.publishedAt, now)),
    gauge(
      "usable_seconds",
      "Until GitHub gives its runner no more jobs, as far as is known; negative: since then.",
      image?.usableUntil && seconds(now, image.usableUntil),
    ),
    gauge("cache_bytes", "What the kept images take of the disk.", cacheBytes),
    gauge(
      "last_run_timestamp_seconds",
      "When it was last looked for a newer one.",
      seconds(new Date(0), now),
    ),
    gauge("last_run_exit_code", "How that ended: docs/hosts.md.", exitCode),
  ].join("");
}

/**
 * Writes them, whole or not at all, for everybody to read.
 * @param usability until when a runner can be used, as far as is known
 */
export async function writeMetrics(
  file: string,
  { directory, arch }: { directory: string; arch: Architecture },
  usability: (runner: BuildFacts["runner"]) => Promise<{ until: Date | null }>,
  exitCode: number,
): Promise<void> {
  const [published, kept] = await Promise.all([followedImage(directory, arch), keptImages(directory, arch)]);
  const image = published && {
    commit: published.commit,
    publishedAt: new Date(published.publishedAt),
    usableUntil: (await usability(published.build.runner)).until,
  };
  const cacheBytes = kept.reduce((sum, { bytes }) => sum + bytes, 0);
  const text = metricsText({ arch, image, cacheBytes, exitCode }, new Date());
  await writeFileAtomically(file, text).catch((error: NodeJS.ErrnoException) => {
    throw new UserError(
      `the metrics cannot be written to ${file} (${error.code}): its folder has to be there, and writable`,
    );
  });
}
