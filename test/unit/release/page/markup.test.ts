import { describe, expect, it } from "vitest";
import { foreign, markup, oneLine } from "../../../../release/page/markup.js";

describe("a template of markup", () => {
  it("escapes texts, in attributes too, and takes markup, lists and nothing as they are", () => {
    const inner = markup`<b>${"<i>"}</b>`;
    expect(markup`<p title="${`"'&`}">${[inner, null, 7, [">"]]}</p>`.text).toBe(
      `<p title="&quot;&apos;&amp;"><b>&lt;i&gt;</b>7&gt;</p>`,
    );
  });
});

describe("one line of what others wrote", () => {
  it.each<[string, string, string]>([
    ["a subject as it is", "image: add ripgrep", "image: add ripgrep"],
    ["right-to-left text in its own order", "العودة إلى", "العودة إلى"],
    ["no mark that turns what follows around", "evil\u202e\u2066txt.exe\u2069\u200f", "eviltxt.exe"],
    ["no line ends and control characters", "one\r\ntwo\u2028three\u0000\u001b[31m", "one two three [31m"],
    ["no half of a character, and nothing that XML cannot hold", "a\ud83db\uffff\ufffec", "a b c"],
    ["ten characters at most", "0123456789abc", "012345678…"],
    ["whole characters, as people count them", "👩‍👩‍👧".repeat(11), `${"👩‍👩‍👧".repeat(9)}…`],
  ])("has %s", (_, text, line) => {
    expect(oneLine(text, text.startsWith("0") || text.startsWith("👩") ? 10 : 80)).toBe(line);
  });

  it("stays short where one character has a thousand marks on it", () => {
    expect(oneLine(`a${"\u0301".repeat(1000)}`, 10).length).toBeLessThanOrEqual(160);
  });

  it("stands apart from the text around it", () => {
    expect(foreign("<script>", 80).text).toBe("<bdi>&lt;script&gt;</bdi>");
  });
});
