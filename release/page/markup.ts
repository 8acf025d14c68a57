import { escapeUTF8 } from "entities/escape";

/** Text of HTML or XML that is whole in itself: what is put into it as text was escaped. */
export class Markup {
  constructor(readonly text: string) {}
}

export type Content = Markup | string | number | null | readonly Content[];

/**
 * A template of HTML or XML. Texts and numbers are escaped, in attributes with double quotes too; other markup goes in as it is, lists
 * one after the other, and null as nothing.
 */
export function markup(parts: TemplateStringsArray, ...values: Content[]): Markup {
  return new Markup(parts.map((part, index) => part + textOf(values[index] ?? null)).join(""));
}

function textOf(content: Content): string {
  if (content === null) return "";
  if (content instanceof Markup) return content.text;
  if (typeof content === "object") return content.map(textOf).join("");
  return escapeUTF8(String(content));
}

/** What one of these does to a line lasts beyond its text: https://www.unicode.org/reports/tr9/#Explicit_Directional_Embeddings */
const directionMarks = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
/** Control characters, separators of lines, halves of characters, and what XML cannot hold: https://www.w3.org/TR/xml/#charsets */
const unfit = /[\p{Cc}\p{Zl}\p{Zp}\p{Cs}\ufffe\uffff]+/gu;

/** Characters as people count them: https://www.unicode.org/reports/tr29/#Grapheme_Cluster_Boundaries */
const segmenter = new Intl.Segmenter("en");

/**
 * One line of what others wrote, of at most `limit` characters as people count them. Right-to-left text keeps its direction, and loses the
 * marks that would turn around what stands beside it.
 */
export function oneLine(text: string, limit: number): string {
  // Nobody has to count more: no character of a language is longer than this.
  const plain = text
    .slice(0, limit * 16)
    .replaceAll(directionMarks, "")
    .replaceAll(unfit, " ")
    .trim();
  if (plain.length <= limit) return plain;
  const characters = Array.from(segmenter.segment(plain), ({ segment }) => segment);
  if (characters.length <= limit) return plain;
  return `${characters
    .slice(0, limit - 1)
    .join("")
    .trimEnd()}…`;
}

/** The same, kept apart from the text around it: `dir="auto"` is what <bdi> has by itself. */
export function foreign(text: string, limit: number): Markup {
  return markup`<bdi>${oneLine(text, limit)}</bdi>`;
}
