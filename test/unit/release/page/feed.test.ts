import { describe, expect, it } from "vitest";
import { feed } from "../../../../release/page/feed.js";
import { commitOf, moveOf, movesTo } from "./page-facts.js";

const url = "https://images.example.com";
const writtenAt = new Date("2026-11-26T17:20:00Z");

describe("the feed", () => {
  it("is Atom, with an entry a move whose id is its record's address", () => {
    const askedBy = { commit: commitOf(9), author: "Bo & Co", subject: "Roll back <b>now</b>" };
    expect(
      feed({
        url,
        writtenAt,
        moves: [moveOf(2, { askedBy }), moveOf(1, { image: undefined, stack: undefined })],
      }),
    ).toMatchInlineSnapshot(`
      "<?xml version="1.0" encoding="utf-8"?>
      <feed xmlns="http://www.w3.org/2005/Atom" xml:lang="en">
      <title>Runner images: moves of latest</title>
      <id>https://images.example.com/feed.atom</id>
      <link rel="self" type="application/atom+xml" href="https://images.example.com/feed.atom"/>
      <link rel="alternate" type="text/html" href="https://images.example.com/"/>
      <updated>2026-11-01T02:00:00.000Z</updated>
      <author><name>runner-images/prod</name></author>
      <entry>
      <title>Move 2 to aaaaaaaaaaaa: Roll back &lt;b&gt;now&lt;/b&gt;</title>
      <id>https://images.example.com/pointer/00000002.json</id>
      <link rel="alternate" type="text/html" href="https://images.example.com/moves/1.html#move-2"/>
      <published>2026-11-01T02:00:00.000Z</published>
      <updated>2026-11-01T02:00:00.000Z</updated>
      <author><name>Bo &amp; Co</name></author>
      <content type="text">latest names aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa2
      before: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1
      image: image 2 (Ada)
      stack: runner-images/prod</content>
      </entry>
      <entry>
      <title>Move 1 to aaaaaaaaaaaa</title>
      <id>https://images.example.com/pointer/00000001.json</id>
      <link rel="alternate" type="text/html" href="https://images.example.com/moves/1.html#move-1"/>
      <published>2026-11-01T01:00:00.000Z</published>
      <updated>2026-11-01T01:00:00.000Z</updated>
      <content type="text">latest names aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1
      the first move</content>
      </entry>
      </feed>
      "
    `);
  });

  it("does not change but by a move", () => {
    const moves = movesTo(3);
    const later = new Date("2027-01-01T00:00:00Z");
    expect(feed({ url, writtenAt: later, moves })).toBe(feed({ url, writtenAt, moves }));
  });

  it("is a feed without entries while nothing was promoted", () => {
    const text = feed({ url, writtenAt, moves: [] });
    expect(text).toContain("<updated>2026-11-26T17:20:00.000Z</updated>");
    expect(text).not.toContain("<entry>");
  });
});
