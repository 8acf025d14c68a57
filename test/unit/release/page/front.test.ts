import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { frontPage } from "../../../../release/page/front.js";
import { commitOf, knownOf, liveOf, moveOf, movesTo, pageFacts } from "./page-facts.js";

const deb = (name: string, version: string) => ({ kind: "deb", name, version });
const many = (version: string, count: number) =>
  Array.from({ length: count }, (_, index) => deb(`lib-${String(index).padStart(4, "0")}`, version));

/** What a reader sees, without tags and spaces. */
function textOf(html: string): string {
  return html
    .replace(/<head>.*<\/head>/s, "")
    .replaceAll(/<[^>]*>/g, " ")
    .replaceAll(/\s+/g, " ");
}

describe("the front page", () => {
  it("says what is live, since when, by which move, why and by whom", () => {
    const html = frontPage(pageFacts());
    expect(textOf(html)).toContain(
      `${commitOf(2)} image 2 Since 2026-11-01 02:00 UTC by move 2 by Ada of runner-images/prod ; before, ${"a".repeat(12)} was live.`,
    );
    expect(html).toContain('href="moves/1.html#move-2"');
  });

  it("says of each architecture its size, runner, boot and who built it, and where the records are", () => {
    const html = frontPage(pageFacts());
    const text = textOf(html);
    expect(text).toMatch(/x86_64 published 2026-11-12 09:00 UTC/);
    expect(text).toMatch(/Download 126 MB \(\+6 MB\) unpacked 474 MB; virtual disk 2 GiB/);
    expect(text).toMatch(/Runner github 2\.337\.0/);
    expect(text).toMatch(/Usable until no end is known no runner newer than 2\.337\.0 is known yet/);
    expect(text).toMatch(/Built by attested by the key that ends in 89abcdefghij/);
    expect(text).toMatch(/Boot to runner 24\.0 s before: 26\.0 s/);
    expect(text).toMatch(/firmware 2\.4 s kernel 6\.0 s userspace 10\.8 s runner 4\.8 s/);
    for (const end of [".json", ".boot.json", `.${"5".repeat(64)}.sigstore.json`])
      expect(html).toContain(`href="images/${commitOf(2)}/ubuntu-x86_64${end}"`);
  });

  it("draws the stages in proportion, as wide as the drawing together", () => {
    const widths = [
      ...frontPage(pageFacts()).matchAll(/<rect class="(\w+)" x="([\d.]+)" y="0" width="([\d.]+)"/g),
    ];
    expect(widths.map(([, name, x, width]) => [name, Number(x), Number(width)])).toEqual([
      ["firmware", 0, 98],
      ["kernel", 100, 248],
      ["userspace", 350, 448],
      ["runner", 800, 198],
    ]);
  });

  it.each<[string, Parameters<typeof liveOf>[1], RegExp]>([
    [
      "deltas, and the images that they are of use with",
      {
        changes: {
          manifest: {
            ...liveOf("x86_64").image.manifest,
            deltas: [1, 3].map((of) => ({
              from: commitOf(of),
              base: { bytes: 1, sha256: "0".repeat(64) },
              key: "k",
              bytes: of * 500_000,
              sha256: "0".repeat(64),
            })),
          },
        },
      },
      /<small>500 kB where <code>a{12}<\/code> is there<\/small><small>1\.5 MB where <code>a{12}<\/code> is there<\/small>/,
    ],
    ["no boot that is known", { changes: { boot: null } }, /Boot to runner: not known/],
    [
      "an image whose end is near",
      { changes: { usability: { until: new Date("2026-11-28"), because: "2.338.0 is out" } } },
      /<strong class="warn">2026-11-28, soon<\/strong><small>2\.338\.0 is out/,
    ],
    [
      "an image whose end is over",
      { changes: { usability: { until: new Date("2026-11-20"), because: "2.338.0 is out" } } },
      /<strong class="bad">over since 2026-11-20: it gets no jobs/,
    ],
    ["the same packages", {}, /<p>The same\.<\/p>/],
    ["no bill of materials", { changes: { components: null } }, /Not known: one of the images has no bill/],
    [
      "packages of all three kinds",
      { before: [deb("old", "1"), deb("curl", "8.14")], after: [deb("curl", "8.15"), deb("new", "1")] },
      /1 added, 1 removed, 1 changed.*new 1 \(deb\).*old 1 \(deb\).*curl 8\.14 → 8\.15 \(deb\)/s,
    ],
  ])("tells of %s", (_, given, expected) => {
    const live = { ...pageFacts().live!, architectures: [liveOf("x86_64", given)] };
    expect(frontPage(pageFacts({ live }))).toMatch(expected);
  });

  it("tells a change once that is the same on every architecture", () => {
    const given = { before: [deb("curl", "1")], after: [deb("curl", "2")] };
    const html = (...architectures: ReturnType<typeof liveOf>[]) =>
      frontPage(pageFacts({ live: { ...pageFacts().live!, architectures } }));
    const count = (text: string) => text.split("curl 1 → 2").length - 1;
    expect(count(html(liveOf("x86_64", given), liveOf("aarch64", given)))).toBe(1);
    expect(count(html(liveOf("x86_64", given), liveOf("aarch64", { ...given, before: [] })))).toBe(1);
    expect(html(liveOf("x86_64", given), liveOf("aarch64"))).toMatch(/The same\./);
  });

  it("gives the line that goes back to an image, and the reason where there is no way back", () => {
    const expired =
      "x86_64: its runner 2.330.0: gets no more jobs since 2026-11-05 (a newer runner is out since 2026-10-06)";
    const images = [
      knownOf(2, { isLive: true }),
      knownOf(1),
      knownOf(3, { problems: [expired, "and more"] }),
    ];
    const html = frontPage(pageFacts({ images }));
    const lines = [...html.matchAll(/<code class="line">(runner-images:latest: [^<]*)</g)].map(
      ([, line]) => line,
    );
    expect(lines).toEqual([2, 1].map((number) => `runner-images:latest: ${commitOf(number)}`));
    expect(textOf(html)).toContain(`cannot go live again : ${expired} (and 1 more)`);
    expect(html).toContain("<code>Pulumi.prod.yaml</code>");
  });

  const otherOf = (number: number) => ({
    commit: commitOf(number),
    bytes: 126_000_000,
    storedAt: new Date("2026-11-20T10:00:00Z"),
    isProven: true,
  });

  it("lists the other images that could go live, each with its line, folded", () => {
    const html = frontPage(pageFacts({ others: [otherOf(7), otherOf(8)] }));
    const [, folded] = /<details class="note" id="others">(.*?)<\/details>/s.exec(html)!;
    expect(textOf(folded!)).toContain("2 other images that were published and booted");
    expect(textOf(folded!)).toContain("stored 2026-11-20 10:00 UTC 126 MB");
    for (const number of [7, 8]) expect(folded).toContain(`runner-images:latest: ${commitOf(number)}`);
    expect(frontPage(pageFacts())).not.toContain("published and booted");
  });

  it("says where there are too many images to list", () => {
    expect(textOf(frontPage(pageFacts({ others: null })))).toContain(
      "too many images to list the others here",
    );
  });

  it("says what the hosts of a channel get, since when, and what they poll", () => {
    const canary = moveOf(9, { image: { commit: commitOf(9), author: "Bo", subject: "add <ripgrep>" } });
    const channels = [
      { name: "canary", move: canary },
      { name: "early", move: moveOf(2) },
    ];
    const html = frontPage(pageFacts({ channels }));
    expect(textOf(html)).toContain(
      `Channels canary : add &lt;ripgrep&gt; since 2026-11-01 09:00 UTC by move 9 by Bo image ${"a".repeat(12)} https://images.example.com/canary early has what is live`,
    );
    expect(html).toContain('href="canary/pointer/00000009.json"');
    // The image that is live has a place on the page, the canary's has none.
    const [, list] = /<section aria-labelledby="channels">(.*?)<\/section>/s.exec(html)!;
    expect(list!.match(/href="#image-/g)).toHaveLength(1);
    expect(frontPage(pageFacts())).not.toContain("Channels");
    const before = pageFacts({ live: null, moves: [], images: [], channels });
    expect(textOf(frontPage(before))).toMatch(/Nothing yet: .* Channels canary : add/);
  });

  it("says that nothing is live while nothing was promoted, and when that was so", () => {
    const text = textOf(frontPage(pageFacts({ live: null, moves: [], images: [] })));
    expect(text).toContain("Nothing yet: no image was promoted.");
    expect(text).toContain("Written 2026-11-26 17:20 UTC , before the first move");
  });

  it("keeps to its own style, and asks for nothing: no script, no address of anybody else", () => {
    const html = frontPage(pageFacts());
    const [, style] = /<style>(.*?)<\/style>/s.exec(html)!;
    const hash = createHash("sha256").update(style!).digest("base64");
    expect(html).toContain(
      `content="default-src &apos;none&apos;; style-src &apos;sha256-${hash}&apos;; img-src data:; base-uri &apos;none&apos;; form-action &apos;none&apos;"`,
    );
    expect(html).not.toMatch(/<script|<iframe|<form|@import|url\(| style=| on\w+=/);
    expect(
      [...html.matchAll(/(?:href|src)="([^"]*)"/g)]
        .map(([, to]) => to)
        .filter((to) => /^(\w+:)?\/\//.test(to!)),
    ).toEqual([]);
  });

  it("shows what others wrote as text", () => {
    const subject = `<img src=x onerror=alert(1)>"'&`;
    const moves = [moveOf(2, { image: { commit: commitOf(2), author: "<b>", subject } }), moveOf(1)];
    const html = frontPage(
      pageFacts({
        moves,
        live: { ...pageFacts().live!, move: moves[0]! },
        images: [knownOf(2, { note: moves[0]!.image! })],
      }),
    );
    expect(html).not.toMatch(/<img|<b>/);
    expect(html.split("<bdi>&lt;img src=x onerror=alert(1)&gt;&quot;&apos;&amp;</bdi>").length).toBe(4);
  });

  it("stays below 1 MiB, whatever changed and however long the log is", () => {
    const changed = { before: many("1.0-1".repeat(20), 3000), after: many("1.0-2".repeat(20), 3000) };
    const longest = { commit: commitOf(1), author: "&".repeat(200), subject: "&".repeat(200) };
    const moves = movesTo(10_000, 9_951).map((move) => ({ ...move, image: longest, askedBy: longest }));
    const html = frontPage(
      pageFacts({
        moves,
        live: {
          ...pageFacts().live!,
          move: moves[0]!,
          architectures: [
            liveOf("x86_64", changed),
            liveOf("aarch64", { ...changed, after: many("3", 3000) }),
          ],
        },
        images: Array.from({ length: 20 }, () =>
          knownOf(1, { note: longest, problems: ["<".repeat(10_000)] }),
        ),
        others: Array.from({ length: 3_000 }, (_, index) => otherOf(index)),
      }),
    );
    expect(html).toContain("All 10000 moves");
    expect(html).toContain('href="moves/200.html"');
    expect(html).toContain("and 2692 more");
    expect(html).toContain("and 2800 more");
    expect(Buffer.byteLength(html)).toBeLessThan(2 ** 20 / 2);
  });
});
