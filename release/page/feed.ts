import { keys } from "../store/keys.js";
import type { Pointer } from "../store/records.js";
import type { PageFacts } from "./facts.js";
import { short } from "./layout.js";
import { markup, oneLine } from "./markup.js";
import { moveAddress, nameLimit, subjectLimit } from "./moves.js";

/**
 * The last moves as an Atom feed: https://www.rfc-editor.org/rfc/rfc4287. An entry's id is the address of its record, which is there for good.
 *
 * Nothing in it changes but by a move, so that a reader is told of nothing twice.
 */
export function feed({ url, writtenAt, moves }: Pick<PageFacts, "url" | "writtenAt" | "moves">): string {
  const self = `${url}/${keys.feed}`;
  const [newest] = moves;
  const { text } = markup`<?xml version="1.0" encoding="utf-8"?>
<feed xmlns="http://www.w3.org/2005/Atom" xml:lang="en">
<title>Runner images: moves of latest</title>
<id>${self}</id>
<link rel="self" type="application/atom+xml" href="${self}"/>
<link rel="alternate" type="text/html" href="${url}/"/>
<updated>${newest?.promotedAt ?? writtenAt.toISOString()}</updated>
<author><name>${oneLine(newest?.stack ?? "runner-images", nameLimit)}</name></author>
${moves.map((move) => entry(url, move))}</feed>
`;
  return text;
}

function entry(url: string, move: Pointer) {
  const { seq, commit, previous, promotedAt, stack, image, askedBy } = move;
  const reason = askedBy ?? image;
  const title = reason === undefined ? "" : `: ${oneLine(reason.subject, subjectLimit)}`;
  const author = oneLine(reason?.author ?? "", nameLimit);
  const lines = [
    `latest names ${commit}`,
    previous === null ? "the first move" : `before: ${previous}`,
    ...(askedBy === undefined || image === undefined
      ? []
      : [`image: ${oneLine(image.subject, subjectLimit)} (${oneLine(image.author, nameLimit)})`]),
    ...(stack === undefined ? [] : [`stack: ${oneLine(stack, nameLimit)}`]),
  ];
  return markup`<entry>
<title>Move ${seq} to ${short(commit)}${title}</title>
<id>${url}/${keys.pointer(seq)}</id>
<link rel="alternate" type="text/html" href="${url}/${moveAddress(seq)}"/>
<published>${promotedAt}</published>
<updated>${promotedAt}</updated>
${author === "" ? null : markup`<author><name>${author}</name></author>\n`}<content type="text">${lines.join("\n")}</content>
</entry>
`;
}
