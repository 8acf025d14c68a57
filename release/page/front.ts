import prettyBytes from "pretty-bytes";
import type { Origin } from "../attest/origin.js";
import { isSame, type ContentsDiff } from "../compare/diff.js";
import { standing, type Usability } from "../pointer/runner-releases.js";
import { keys } from "../store/keys.js";
import type { Delta } from "../store/records.js";
import type { KnownImage, LiveArchitecture, LiveChannel, LiveImage, PageFacts } from "./facts.js";
import { page, short, timeOf } from "./layout.js";
import { foreign, markup, oneLine, type Markup } from "./markup.js";
import { moveAddress, moveList, nameLimit, pageOfMove, subjectLimit, whoText, whyText } from "./moves.js";
import { bootPlot } from "./plot.js";

/** Moves on the front page; the others are on pages of their own. */
const movesShown = 8;
/** Packages and tools that are named at once, and those that can be unfolded; the others are counted. */
const changesShown = 8;
const changesFolded = 300;

/** Images beside those of the last moves, newest first; the others are counted. */
const othersShown = 200;

const title = "Runner images";

/** The page at `/`: what is live, what it changed, how it came about, and what can be gone back to. */
export function frontPage(facts: PageFacts): string {
  const { url, live, moves, writtenAt } = facts;
  const body =
    live === null
      ? [nothingLive, channelList(facts)]
      : [
          heading(live),
          channelList(facts),
          architectures(live, writtenAt),
          changes(live, url),
          lastMoves(live, facts),
          goBack(live, facts),
        ];
  return page({ title, root: "./", body, footer: footer(moves.length, writtenAt) });
}

const nothingLive = markup`<section class="live" aria-labelledby="live">
<h2 id="live">Live</h2>
<p class="why"><span class="dot none"></span>Nothing yet: no image was promoted.</p>
<p class="muted">The first one comes here by itself, once it is built, published and booted.</p>
</section>`;

function heading({ move, before }: LiveImage): Markup {
  return markup`<section class="live" aria-labelledby="live">
<h2 id="live"><span class="dot"></span>Live</h2>
<p class="name"><code>${move.commit}</code></p>
<p class="why">${whyText(move)}</p>
<p class="muted">Since ${timeOf(move.promotedAt)} by <a href="${moveAddress(move.seq)}">move ${move.seq}</a>${[
    whoText(move) === null ? null : markup` ${whoText(move)}`,
    move.stack === undefined ? null : markup` of ${foreign(move.stack, nameLimit)}`,
    before === null ? null : markup`; before, <code>${short(before)}</code> was live`,
  ]}.</p>
</section>`;
}

function channelList({ url, live, channels, images }: PageFacts): Markup | null {
  if (channels.length === 0) return null;
  return markup`<section aria-labelledby="channels">
<h2 id="channels">Channels</h2>
<ul class="rows">${channels.map((channel) => channelRow(channel, live, { url, images }))}
</ul>
</section>`;
}

function channelRow(
  { name, move }: LiveChannel,
  live: LiveImage | null,
  { url, images }: Pick<PageFacts, "url" | "images">,
): Markup {
  const { commit, seq, promotedAt } = move;
  const record = `${name}/${keys.pointer(seq)}`;
  return markup`
<li class="image">
<div>
<p>${commit === live?.move.commit ? markup`<strong>${name}</strong> has what is live` : markup`<strong>${name}</strong>: ${whyText(move)}`}</p>
<p class="facts-line"><span>since ${timeOf(promotedAt)} by <a href="${record}">move ${seq}</a></span>${whoText(move)}<span>image ${imageLink(commit, images)}</span></p>
</div>
<code class="line">${url}/${name}</code>
</li>`;
}

function imageLink(commit: string, images: readonly KnownImage[]): Markup {
  const name = markup`<code>${short(commit)}</code>`;
  const place = placeOf(commit, images);
  return place === null ? name : markup`<a href="${place}">${name}</a>`;
}

function architectures(live: LiveImage, now: Date): Markup {
  return markup`<section aria-labelledby="architectures">
<h2 id="architectures">Architectures</h2>
<div class="cards">${live.architectures.map((one) => card(one, now))}</div>
</section>`;
}

function card({ image, diff, origin }: LiveArchitecture, now: Date): Markup {
  const { arch, commit, manifest, boot, usability } = image;
  const { compressed, deltas = [], disk, build, sbom, publishedAt } = manifest;
  const before = diff === null ? null : diff.compressedBytes[0];
  const files = [
    [keys.manifest(commit, arch), "manifest"],
    ...(boot === null ? [] : [[keys.bootRecord(commit, arch), "boot record"] as const]),
    ...(sbom === undefined ? [] : [[sbom.key, "bill of materials"] as const]),
    ...(origin === null || origin.signer === null
      ? []
      : [[keys.attestation(commit, arch, disk.sha256), "attestation"] as const]),
  ] as const;
  return markup`
<article class="card" aria-labelledby="${arch}">
<header><h3 id="${arch}">${arch}</h3><span class="small muted">published ${timeOf(publishedAt)}</span></header>
<dl class="facts">
<dt>Download</dt><dd>${prettyBytes(compressed.bytes)}${sizeChange(before, compressed.bytes)}<small>unpacked ${prettyBytes(disk.bytes)}; virtual disk ${prettyBytes(build.virtualSize, { binary: true })}</small>${deltas.map(deltaLine)}</dd>
<dt>Runner</dt><dd>${build.runner.kind} ${oneLine(build.runner.version, nameLimit)}<small>${oneLine(build.base.name, nameLimit)}${build.profile === undefined ? null : `, profile ${build.profile}`}</small></dd>
<dt>Usable until</dt><dd>${usable(usability, now)}</dd>
<dt>Built by</dt><dd>${builtBy(origin)}</dd>
</dl>
${bootPlot(boot, { seconds: diff?.bootSeconds[0] ?? null, stages: diff?.bootStages[0] ?? null })}
<p class="links">${files.map(([key, name]) => markup`<a href="${key}">${name}<span class="unseen"> of ${arch}</span></a>`)}</p>
</article>`;
}

/** What a host downloads that has the other image (docs/contract.md, "Fetching what changed"). */
function deltaLine({ from, bytes }: Delta): Markup {
  return markup`<small>${prettyBytes(bytes)} where <code>${short(from)}</code> is there</small>`;
}

function sizeChange(before: number | null, after: number): Markup | null {
  if (before === null || before === after) return null;
  return markup` <span class="small muted">(${prettyBytes(after - before, { signed: true })})</span>`;
}

function usable(usability: Usability, now: Date): Markup {
  const { until, because } = usability;
  const why = markup`<small>${oneLine(because, subjectLimit)}</small>`;
  if (until === null) return markup`no end is known${why}`;
  const day = until.toISOString().slice(0, 10);
  switch (standing(usability, now)) {
    case "expired":
      return markup`<strong class="bad">over since ${day}: it gets no jobs</strong>${why}`;
    case "ending":
      return markup`<strong class="warn">${day}, soon</strong>${why}`;
    case "fine":
      return markup`${day}${why}`;
  }
}

function builtBy(origin: Origin | null): Markup {
  if (origin === null) return markup`not asked<small>this stack names no signer</small>`;
  const { signer, problem, warning } = origin;
  if (signer !== null) return markup`attested<small>by ${signerName(signer)}</small>`;
  return markup`<strong class="${problem === null ? "warn" : "bad"}">not attested</strong><small>${oneLine(problem ?? warning ?? "", 300)}</small>`;
}

/** A key is known by its end: all of one kind begin alike. */
function signerName(signer: string): Markup {
  if (!signer.startsWith("key:")) return markup`${oneLine(signer.replace(/^https:\/\//, ""), 300)}`;
  return markup`the key that ends in <code>${signer.slice(-12)}</code>`;
}

function changes({ before, move, architectures }: LiveImage, url: string): Markup | null {
  if (before === null) return null;
  const told = architectures.map(({ image: { arch }, diff }) => ({
    arch,
    text:
      diff === null ? markup`<p class="muted">The image before has none for it.</p>` : change(diff.contents),
  }));
  // Most changes are the same on every architecture, and then are told once.
  const isOne = new Set(told.map(({ text }) => text.text)).size === 1;
  return markup`<section aria-labelledby="changes">
<h2 id="changes">Packages and tools, against <code>${short(before)}</code></h2>
${
  isOne
    ? markup`<div class="card">${told[0]!.text}</div>`
    : markup`<div class="cards">${told.map(({ arch, text }) => markup`<div class="card"><header><h3>${arch}</h3></header>${text}</div>`)}</div>`
}
<details class="note"><summary>The same on a command line</summary><code class="line">npm run release -- diff ${before} ${move.commit} --url ${url}</code></details>
</section>`;
}

function change(contents: ContentsDiff | null): Markup {
  if (contents === null)
    return markup`<p class="muted">Not known: one of the images has no bill of materials.</p>`;
  if (isSame(contents)) return markup`<p>The same.</p>`;
  const { added, removed, changed } = contents;
  const item = (sign: string, tone: string, word: string, text: string) => () =>
    markup`<li><span class="sign ${tone}" role="img" aria-label="${word}">${sign}</span><span>${oneLine(text, subjectLimit)}</span></li>`;
  const items = [
    ...added.map(({ kind, name, version }) => item("+", "good", "added", `${name} ${version} (${kind})`)),
    ...removed.map(({ kind, name, version }) => item("−", "bad", "removed", `${name} ${version} (${kind})`)),
    ...changed.map(({ kind, name, versions }) =>
      item("~", "warn", "changed", `${name} ${versions.join(" → ")} (${kind})`),
    ),
  ];
  const counts = [
    [added.length, "added"],
    [removed.length, "removed"],
    [changed.length, "changed"],
  ] as const;
  const list = (some: typeof items) => markup`<ul class="changes">${some.map((make) => make())}</ul>`;
  const folded = items.slice(changesShown, changesShown + changesFolded);
  const uncounted = items.length - changesShown - folded.length;
  return markup`<p>${counts
    .filter(([count]) => count > 0)
    .map(([count, word]) => `${count} ${word}`)
    .join(", ")}</p>
${list(items.slice(0, changesShown))}
${
  folded.length === 0
    ? null
    : markup`<details><summary>${folded.length} more</summary>${list(folded)}${
        uncounted > 0 ? markup`<p class="muted">and ${uncounted} more</p>` : null
      }</details>`
}`;
}

function lastMoves({ move }: LiveImage, { moves, images }: PageFacts): Markup {
  const linkTo = (commit: string) => placeOf(commit, images);
  const shown = moves.slice(0, movesShown);
  return markup`<section aria-labelledby="moves">
<h2 id="moves">Last moves</h2>
${moveList(shown, { linkTo, withPlaces: false })}
<p class="pages"><a href="${keys.moves(pageOfMove(move.seq))}">${move.seq === 1 ? "The move" : `All ${move.seq} moves`}, page by page</a></p>
</section>`;
}

/** Where the page says more about an image; null: it does not. */
function placeOf(commit: string, images: readonly KnownImage[]): string | null {
  return images.some((image) => image.commit === commit) ? `#${imageId(commit)}` : null;
}

function imageId(commit: string): string {
  return `image-${commit.slice(0, 12)}`;
}

function goBack({ move }: LiveImage, { images, others, writtenAt }: PageFacts): Markup {
  const file = `Pulumi.${move.stack?.split("/").at(-1) ?? "<stack>"}.yaml`;
  return markup`<section aria-labelledby="back">
<h2 id="back">Go back</h2>
<p class="small lead">Have this line below <code>config:</code> of <code>${oneLine(file, nameLimit)}</code>, and merge that. The preview proves the image once more, and nothing is built. Without the line, the newest image is live.</p>
<ol class="rows">${images.map((image) => imageRow(image, writtenAt))}
</ol>
${otherImages(others)}</section>`;
}

/** Those that were live earlier, in a channel alone, or never: listed, and proven by the preview of whoever takes one. */
function otherImages(others: PageFacts["others"]): Markup | null {
  if (others === null)
    return markup`<p class="small note">There are too many images to list the others here: <code>release prune</code> does.</p>`;
  if (others.length === 0) return null;
  const shown = others.slice(0, othersShown);
  const count = others.length === 1 ? "1 other image that was" : `${others.length} other images that were`;
  return markup`<details class="note" id="others"><summary>${count} published and booted</summary>
<ol class="rows">${shown.map(
    ({ commit, storedAt, bytes }) => markup`
<li class="image">
<p class="facts-line"><span>stored ${timeOf(storedAt)}</span><span>${prettyBytes(bytes)}</span></p>
<code class="line">runner-images:latest: ${commit}</code>
</li>`,
  )}
</ol>${shown.length === others.length ? null : markup`<p class="muted">and ${others.length - shown.length} more</p>`}
</details>`;
}

function imageRow({ commit, move, note, isLive, problems, usability }: KnownImage, now: Date): Markup {
  return markup`
<li class="image" id="${imageId(commit)}">
<div>
<p>${note === null ? markup`<code>${short(commit)}</code>` : foreign(note.subject, subjectLimit)}</p>
<p class="facts-line">${[
    isLive
      ? markup`<span class="tag good">live</span>`
      : markup`<span>went live ${timeOf(move.promotedAt)}</span>`,
    note === null ? null : markup`<span>by ${foreign(note.author, nameLimit)}</span>`,
    problems.length > 0 || usability === null ? null : markup`<span>${usabilityEnd(usability, now)}</span>`,
  ]}</p>
${problems.length > 0 ? refusal(isLive, problems) : null}
</div>
${problems.length > 0 && !isLive ? null : markup`<code class="line">runner-images:latest: ${commit}</code>`}
</li>`;
}

function usabilityEnd(usability: Usability, now: Date): Markup {
  const { until } = usability;
  if (until === null) return markup`no end known`;
  const text = `usable until ${until.toISOString().slice(0, 10)}`;
  return standing(usability, now) === "ending"
    ? markup`<strong class="warn">${text}</strong>`
    : markup`${text}`;
}

function refusal(isLive: boolean, problems: string[]): Markup {
  const [first, ...others] = problems;
  const more = others.length === 0 ? "" : ` (and ${others.length} more)`;
  return markup`<p class="small"><strong class="bad">${isLive ? "would not go live again" : "cannot go live again"}</strong>: ${oneLine(first!, 300)}${more}</p>`;
}

function footer(moves: number, writtenAt: Date): Markup {
  return markup`<p>Written ${timeOf(writtenAt)}, ${moves === 0 ? "before the first move" : "after the newest move"}, from stored records. What becomes known later, a newer runner say, shows after the next move.</p>
<p>Hosts read <a href="${keys.latest}">latest</a>; the newest move as a record: <a href="${keys.latestJson}">latest.json</a>.</p>`;
}
