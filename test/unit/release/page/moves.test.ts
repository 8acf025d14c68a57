import { describe, expect, it } from "vitest";
import {
  isFinished,
  moveAddress,
  movesOfPage,
  movesPage,
  movesPerPage,
  pageOfMove,
} from "../../../../release/page/moves.js";
import { commitOf, moveOf, movesTo } from "./page-facts.js";

describe("the pages of moves", () => {
  it.each([
    [1, 1],
    [50, 1],
    [51, 2],
    [10_000, 200],
  ])("have move %d on page %d", (seq, page) => {
    expect(pageOfMove(seq)).toBe(page);
    const { first, last } = movesOfPage(page);
    expect(first <= seq && seq <= last && last - first + 1 === movesPerPage).toBe(true);
    expect(moveAddress(seq)).toBe(`moves/${page}.html#move-${seq}`);
  });

  it("name each move once, newest first, with the whole commit and a place of its own", () => {
    const text = movesPage(1, movesTo(3), 3);
    expect([...text.matchAll(/id="move-(\d+)"/g)].map(([, seq]) => seq)).toEqual(["3", "2", "1"]);
    for (const number of [1, 2, 3]) expect(text).toContain(`<code class="whole">${commitOf(number)}</code>`);
  });

  it("stay as they are for good once they are full and another follows", () => {
    const full = movesTo(50);
    const atFifty = movesPage(1, full, 50);
    expect(isFinished(1, atFifty)).toBe(false);
    expect(atFifty).not.toContain("2.html");
    const later = movesPage(1, full, 51);
    expect(isFinished(1, later)).toBe(true);
    expect(movesPage(1, full, 10_000)).toBe(later);
  });

  it("lead to the one before and the one after, where there is one", () => {
    const links = (page: number, newest: number) =>
      [...movesPage(page, [moveOf(1)], newest).matchAll(/<a href="(\d+\.html)">/g)].map(([, to]) => to);
    expect(links(1, 10)).toEqual([]);
    expect(links(1, 200)).toEqual(["2.html"]);
    expect(links(2, 200)).toEqual(["3.html", "1.html"]);
    expect(links(4, 200)).toEqual(["3.html"]);
  });

  it("stay below 1 MiB with the longest texts that a record has", () => {
    const long = { commit: commitOf(1), author: "&".repeat(200), subject: "\u{1F469}\u200d".repeat(100) };
    const moves = movesTo(50).map((move) => ({ ...move, image: long, askedBy: long }));
    expect(Buffer.byteLength(movesPage(1, moves, 51))).toBeLessThan(2 ** 20 / 2);
  });

  it.each([
    ["the image's commit, where nothing else is known", {}, /<bdi>image 1<\/bdi>.*by <bdi>Ada<\/bdi>/s],
    [
      "the commit that asked for it, and of which image",
      { askedBy: { commit: commitOf(9), author: "Bo", subject: "Roll back, jobs hang" } },
      /<bdi>Roll back, jobs hang<\/bdi>.*by <bdi>Bo<\/bdi>.*\(<bdi>image 1<\/bdi>\)/s,
    ],
    [
      "the commit alone in moves of before there were reasons",
      { image: undefined },
      /Moved to <code>a{11}1?/,
    ],
    ["that it is the same again", { image: undefined, previous: commitOf(1) }, /The same image again/],
  ])("give as the reason %s", (_, changes, expected) => {
    expect(movesPage(1, [moveOf(1, changes)], 1)).toMatch(expected);
  });
});
