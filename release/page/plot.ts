import type { BootRecord, BootStages } from "../store/records.js";
import { markup, type Markup } from "./markup.js";

const names = ["firmware", "kernel", "userspace", "runner"] as const satisfies (keyof BootStages)[];

/** Of the drawing; what is seen of it is as wide as its place. */
const width = 1000;
const bar = { height: 18, y: 0 };
const barBefore = { height: 6, y: 22 };

/** How long an image took to boot; null: not known. */
export interface BootTime {
  seconds: number | null;
  stages: BootStages | null;
}

/**
 * How long an image takes from the start of its machine to the runner's first call, as a bar of its stages, above a thinner one of the image
 * before. Every figure is a text as well, so nobody needs the colours.
 */
export function bootPlot(boot: BootRecord | null, before: BootTime): Markup {
  const seconds = boot?.timings.runnerStarted ?? null;
  if (seconds === null) return markup`<div class="boot"><h4>Boot to runner: not known</h4></div>`;
  const old = before.seconds;
  const heading = markup`<h4><span>Boot to runner <strong>${figure(seconds)} s</strong></span>${
    old === null ? null : markup`<span class="muted">before: ${figure(old)} s</span>`
  }</h4>`;
  const stages = boot?.timings.stages ?? null;
  if (stages === null) return markup`<div class="boot">${heading}</div>`;
  const oldStages = before.stages;
  const longest = Math.max(total(stages), oldStages === null ? 0 : total(oldStages));
  const how = boot?.qemu.accelerator === "tcg" ? "emulated" : "on KVM";
  return markup`<div class="boot">
${heading}
<svg viewBox="0 0 ${width} 28" preserveAspectRatio="none" role="img" aria-label="Stages of the boot: ${stageText(stages)}${
    oldStages === null ? null : markup`; before: ${stageText(oldStages)}`
  }">${rects(stages, longest, bar)}${oldStages === null ? null : rects(oldStages, longest, barBefore)}</svg>
<ul class="stages">${names.map(
    (name) => markup`<li><span class="${name}"></span>${name} ${figure(stages[name])} s</li>`,
  )}<li class="muted">${how}${oldStages === null ? null : "; thin bar: before"}</li></ul>
</div>`;
}

function rects(stages: BootStages, longest: number, { height, y }: typeof bar): Markup[] {
  let x = 0;
  return names.map((name) => {
    const length = longest === 0 ? 0 : (stages[name] / longest) * width;
    const rect = markup`<rect class="${name}" x="${x.toFixed(1)}" y="${y}" width="${Math.max(0, length - 2).toFixed(1)}" height="${height}"/>`;
    x += length;
    return rect;
  });
}

function total(stages: BootStages): number {
  return names.reduce((sum, name) => sum + stages[name], 0);
}

function stageText(stages: BootStages): string {
  return names.map((name) => `${name} ${figure(stages[name])} s`).join(", ");
}

function figure(seconds: number): string {
  return seconds.toFixed(1);
}
