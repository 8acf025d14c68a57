import prettyBytes from "pretty-bytes";
import { stagesText } from "../../release/boot/boot-stages.js";
import type { BootRecord } from "../../release/store/records.js";
import { cell } from "./github.js";

/** What is compared of an image. */
export interface ImageFigures {
  commit: string;
  compressedBytes: number;
  diskBytes: number;
  boot: Pick<BootRecord, "timings" | "qemu">;
}

/**
 * The new image beside the live one.
 * @param live what is live, or why that is not known
 */
export function imageTable(name: string, fresh: ImageFigures, live: ImageFigures | string): string {
  const columns = typeof live === "string" ? [fresh] : [fresh, live];
  const row = (title: string, value: (figures: ImageFigures) => string) =>
    `| ${[title, ...columns.map(value)].map(cell).join(" | ")} |`;
  return [
    `## ${name}`,
    "",
    `| | new |${columns.length === 1 ? "" : " live |"}`,
    `| --- |${" ---: |".repeat(columns.length)}`,
    row("commit", ({ commit }) => commit.slice(0, 12)),
    row("download", ({ compressedBytes }) => prettyBytes(compressedBytes)),
    row("unpacked", ({ diskBytes }) => prettyBytes(diskBytes)),
    row("runner started after", ({ boot }) => seconds(boot.timings.runnerStarted)),
    row("of which, in s", ({ boot }) => (boot.timings.stages ? stagesText(boot.timings.stages) : "–")),
    row("powered off after", ({ boot }) => seconds(boot.timings.poweredOff)),
    row("booted with", ({ boot }) => boot.qemu.accelerator),
    "",
    ...(typeof live === "string" ? [`The live image is not shown: ${live}`, ""] : []),
  ].join("\n");
}

function seconds(value: number | null): string {
  return value === null ? "–" : `${value.toFixed(1)} s`;
}
