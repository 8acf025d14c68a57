import { figure, quantities, type Comparison, type Quantity } from "./result.js";

const width = 720;
/** Of the longest bar; what is right of it is for its figure. */
const barWidth = 540;
const rowHeight = 46;
const top = 44;
/** GitHub's, dark on a light ground of its own: an image in a page cannot know whether the page is light or dark. */
const colour = { ground: "#f6f8fa", text: "#1f2328", bar: "#54aeff", spread: "#0a3069" };

/**
 * A comparison as horizontal bars, one a side: what counts of its rounds, and a line from the least to the most of them.
 * @returns the text of an SVG file; the same for the same figures
 */
export function plot({ title, sides }: Comparison, quantity: Quantity): string {
  const most = Math.max(...sides.flatMap(({ rounds }) => rounds[quantity] ?? []));
  const x = (value: number) => Math.round((most === 0 ? 0 : value / most) * barWidth * 10) / 10 + 16;
  const rows = sides
    .filter(({ rounds }) => rounds[quantity] !== undefined)
    .map((side, index) => {
      const values = side.rounds[quantity]!;
      const value = figure(side, quantity)!;
      const [least, greatest] = [Math.min(...values), Math.max(...values)];
      const y = top + index * rowHeight;
      return [
        `<text x="16" y="${y + 14}">${escape(side.name)}</text>`,
        `<rect x="16" y="${y + 20}" width="${(x(value) - 16).toFixed(1)}" height="16" fill="${colour.bar}"/>`,
        `<path d="M${x(least)} ${y + 28}H${x(greatest)}M${x(least)} ${y + 24}v8M${x(greatest)} ${y + 24}v8" stroke="${colour.spread}" fill="none"/>`,
        `<text x="${(x(greatest) + 8).toFixed(1)}" y="${y + 33}">${number(value)} ${quantities[quantity].short}</text>`,
      ];
    });
  const height = top + rows.length * rowHeight + 8;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" font-family="system-ui, sans-serif" font-size="13" fill="${colour.text}">`,
    `<title>${escape(title)}</title>`,
    `<rect width="${width}" height="${height}" rx="6" fill="${colour.ground}"/>`,
    `<text x="16" y="26" font-weight="600">${escape(title)}</text>`,
    ...rows.flat(),
    "</svg>",
    "",
  ].join("\n");
}

/** Three digits that say something, and all of them before the point. */
export function number(value: number): string {
  const digits = value === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return value.toFixed(Number.isInteger(value) && value < 100 ? 0 : digits);
}

/** Of Markdown there is code alone in names. */
function escape(text: string): string {
  return text.replaceAll("`", "").replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
