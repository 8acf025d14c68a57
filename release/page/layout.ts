import { createHash } from "node:crypto";
import { Markup, markup, type Content } from "./markup.js";
import { style } from "./style.js";

/** The style as it stands between the tags, every byte of which its hash is about. */
const styleHash = createHash("sha256").update(style).digest("base64");

/**
 * What a page holds itself to, whatever CDN serves it: nothing is loaded, and no style but its own counts.
 * `frame-ancestors` is missing, since it counts in a header only (release/store/headers.ts).
 */
const policy = `default-src 'none'; style-src 'sha256-${styleHash}'; img-src data:; base-uri 'none'; form-action 'none'`;

/** A dot, so that no browser asks for /favicon.ico. */
const icon =
  "data:image/svg+xml," +
  encodeURIComponent(
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><circle cx="8" cy="8" r="6" fill="#2f9e63"/></svg>`,
  );

export interface PageLayout {
  title: string;
  /** From this page to the one of the CDN's root: "./", or "../". */
  root: string;
  /** More of the head. */
  links?: Content;
  body: Content;
  footer: Content;
}

/** A whole page. */
export function page({ title, root, links = null, body, footer }: PageLayout): string {
  const { text } = markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>${title}</title>
<link rel="icon" href="${icon}">
<link rel="alternate" type="application/atom+xml" title="Moves" href="${root}feed.atom">
${links}<style>${new Markup(style)}</style>
</head>
<body>
<header class="site">
<h1>${title}</h1>
<nav aria-label="Site"><a href="${root}">Live</a><a href="${root}feed.atom">Feed</a></nav>
</header>
<main>
${body}
</main>
<footer>
${footer}
</footer>
</body>
</html>
`;
  return text;
}

/** "2026-11-26 14:03 UTC": the reader's own zone takes a script. */
export function timeOf(time: string | Date): Markup {
  const iso = (typeof time === "string" ? new Date(time) : time).toISOString();
  return markup`<time datetime="${iso}">${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC</time>`;
}

/** The twelve characters that tell commits apart for people; the whole is where somebody has to copy it. */
export function short(commit: string): string {
  return commit.slice(0, 12);
}
