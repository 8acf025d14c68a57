import { keys } from "../store/keys.js";
import type { Pointer } from "../store/records.js";
import { page, short, timeOf } from "./layout.js";
import { foreign, markup, type Markup } from "./markup.js";

/*
 * The moves, page by page: page 1 begins with move 1, so that a page which is full has what it will ever have, and a new move writes the
 * last page alone, however many there are.
 */

/** With notes as long as they may be, a page of so many stays far below 1 MiB. */
export const movesPerPage = 50;

/** The page that a move is on, from 1. */
export function pageOfMove(seq: number): number {
  return Math.ceil(seq / movesPerPage);
}

/** The numbers of the moves that a page holds once it is full. */
export function movesOfPage(number: number): { first: number; last: number } {
  return { first: (number - 1) * movesPerPage + 1, last: number * movesPerPage };
}

/** Where a move is, from the CDN's root: "moves/1.html#move-7". */
export function moveAddress(seq: number): string {
  return `${keys.moves(pageOfMove(seq))}#${moveId(seq)}`;
}

function moveId(seq: number): string {
  return `move-${seq}`;
}

/** What is in a page once another follows it: it was written when it was full, and there is nothing more to write in it. */
export function isFinished(number: number, text: string): boolean {
  return text.includes(nextLink(number).text);
}

function nextLink(number: number): Markup {
  return markup`<link rel="next" href="${number + 1}.html">`;
}

/**
 * One page of moves. It says nothing that becomes known after them.
 * @param moves those of that page, newest first
 * @param newest the number of the newest move
 */
export function movesPage(number: number, moves: Pointer[], newest: number): string {
  const last = pageOfMove(newest);
  const [from, to] = [moves.at(-1), moves[0]];
  const title = from === undefined || to === undefined ? "Moves" : `Moves ${from.seq} to ${to.seq}`;
  const address = (to: number) => `${to}.html`;
  const links = number < last ? markup`${nextLink(number)}\n` : null;
  const body = markup`<section aria-labelledby="moves">
<h2 id="moves">Moves of latest, newest first</h2>
${moveList(moves, { linkTo: () => null, withPlaces: true })}
<nav class="pages" aria-label="Pages of moves">${[
    number < last ? markup`<a href="${address(number + 1)}">Newer</a>` : null,
    number > 1 ? markup`<a href="${address(number - 1)}">Older</a>` : null,
  ]}<span class="muted">Page ${number}</span></nav>
</section>`;
  const footer = markup`<p>An image goes live again by the line <code>runner-images:latest: &lt;commit&gt;</code> of the stack’s file; its preview proves the image first.</p>`;
  return page({ title, root: "../", links, body, footer });
}

/**
 * @param linkTo where a page says more about an image; null: nowhere, and then its commit stands there whole, to be copied
 * @param withPlaces whether addresses lead to these
 */
export function moveList(
  moves: Pointer[],
  { linkTo, withPlaces }: { linkTo: (commit: string) => string | null; withPlaces: boolean },
): Markup {
  return markup`<ol class="rows" reversed>${moves.map(
    (move) => markup`
<li class="move"${withPlaces ? markup` id="${moveId(move.seq)}"` : null}>
<span class="seq">#${move.seq}</span>
<div>
<p>${whyText(move)}</p>
<p class="facts-line">${timeOf(move.promotedAt)}${whoText(move)}<span>image ${imageName(move, linkTo)}</span></p>
</div>
</li>`,
  )}
</ol>`;
}

function imageName({ commit, image, askedBy }: Pointer, linkTo: (commit: string) => string | null): Markup {
  const address = linkTo(commit);
  const name =
    address === null
      ? markup`<code class="whole">${commit}</code>`
      : markup`<a href="${address}"><code>${short(commit)}</code></a>`;
  // Where it is not what stands above.
  return askedBy === undefined || image === undefined
    ? name
    : markup`${name} (${foreign(image.subject, subjectLimit)})`;
}

/** Why it moved, as far as a record says. */
export function whyText(move: Pointer): Markup {
  const { askedBy, image, previous, commit } = move;
  const reason = askedBy ?? image;
  if (reason !== undefined) return foreign(reason.subject, subjectLimit);
  if (previous === commit) return markup`The same image again`;
  return markup`Moved to <code>${short(commit)}</code>`;
}

/** Characters of a commit's subject, and of a name, that are shown. */
export const subjectLimit = 120;
export const nameLimit = 60;

/** By whom, as far as a record says. */
export function whoText({ askedBy, image }: Pointer): Markup | null {
  const author = (askedBy ?? image)?.author;
  return author === undefined ? null : markup`<span>by ${foreign(author, nameLimit)}</span>`;
}
