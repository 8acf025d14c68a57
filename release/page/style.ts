/**
 * The one style of all pages: no script, no font and no image of anybody's. Colours are chosen for a contrast of 4.5 to 1 and more for text,
 * and 3 to 1 for the stages of a boot, on both grounds.
 */
export const style = `
:root {
  color-scheme: light dark;
  --ground: #f7f7f5; --card: #ffffff; --text: #1d2125; --muted: #5c636b; --line: #e1e1dc; --soft: #efefeb;
  --link: #0a5ca8; --good: #1a7045; --warn: #875200; --bad: #b3261e;
  --firmware: #7c8691; --kernel: #2f7fc4; --userspace: #178a72; --runner: #c2670a;
  --mono: ui-monospace, "SF Mono", SFMono-Regular, "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #101214; --card: #171a1d; --text: #e5e7e9; --muted: #9ea5ad; --line: #2a2f34; --soft: #20252a;
    --link: #7db8f2; --good: #62c592; --warn: #e3aa57; --bad: #f28b82;
    --firmware: #87919c; --kernel: #5aa7e6; --userspace: #3fb596; --runner: #e2933f;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0 auto; max-width: 74rem; padding: 0 clamp(1rem, 4vw, 2.5rem) 3rem;
  background: var(--ground); color: var(--text);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
  overflow-wrap: anywhere;
}
a { color: var(--link); text-decoration-thickness: 1px; text-underline-offset: .18em; }
a:focus-visible, summary:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; border-radius: 2px; }
code, .mono { font-family: var(--mono); font-size: .9em; }
h1, h2, h3, p, dl, dd, ol, ul { margin: 0; padding: 0; }
ol, ul { list-style: none; }
h1 { font-size: 1rem; font-weight: 600; }
h2 { font-size: .8125rem; font-weight: 600; letter-spacing: .05em; text-transform: uppercase; color: var(--muted); }
h2 code { text-transform: none; letter-spacing: 0; }
h3 { font-size: 1rem; font-weight: 600; }
section { margin-top: 2.5rem; }
section > h2 { margin-bottom: .75rem; }
time { white-space: nowrap; }
.muted { color: var(--muted); }
.small { font-size: .875rem; }
.good { color: var(--good); } .warn { color: var(--warn); } .bad { color: var(--bad); }

header.site {
  display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem 1.25rem; padding: 1.25rem 0 1rem;
  border-bottom: 1px solid var(--line);
}
header.site h1 { margin-inline-end: auto; }
header.site nav { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; font-size: .9375rem; }

.live { margin-top: 2rem; }
.live .name { display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem .75rem; margin-top: .5rem; }
.live .name code { font-size: clamp(1.125rem, 3.4vw, 1.75rem); font-weight: 600; letter-spacing: -.01em; line-height: 1.25; }
.live .why { font-size: 1.125rem; margin-top: .5rem; text-wrap: pretty; }
.move p, .image p { text-wrap: pretty; }
.dot { display: inline-block; width: .6rem; height: .6rem; border-radius: 50%; background: var(--good); margin-inline-end: .5rem; }
.dot.none { background: none; border: 2px solid var(--muted); }

.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: 1.125rem 1.25rem 1.25rem; min-width: 0; container-type: inline-size; }
.card > header { display: flex; flex-wrap: wrap; justify-content: space-between; align-items: baseline; gap: 0 1rem; margin-bottom: .75rem; }
.facts { display: grid; grid-template-columns: minmax(5.5rem, auto) minmax(0, 1fr); gap: .375rem 1.25rem; font-size: .9375rem; }
.facts dt { color: var(--muted); }
.facts dd small { display: block; font-size: .8125rem; line-height: 1.45; color: var(--muted); }
.boot { margin-top: 1rem; padding-top: .875rem; border-top: 1px solid var(--line); }
.boot h4 { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 1rem; margin: 0 0 .5rem; font-size: .9375rem; font-weight: 400; }
.boot h4 .muted { font-size: .8125rem; align-self: center; }
.boot svg { display: block; width: 100%; height: 1.75rem; }
.firmware { fill: var(--firmware); background: var(--firmware); } .kernel { fill: var(--kernel); background: var(--kernel); }
.userspace { fill: var(--userspace); background: var(--userspace); } .runner { fill: var(--runner); background: var(--runner); }
.stages { display: flex; flex-wrap: wrap; gap: .125rem 1.25rem; margin-top: .5rem; font-size: .8125rem; }
.stages span { display: inline-block; width: .6rem; height: .6rem; border-radius: 2px; margin-inline-end: .4rem; }
.links { display: flex; flex-wrap: wrap; gap: .125rem 1rem; margin-top: 1rem; font-size: .8125rem; }

.rows { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
.rows > li { padding: .75rem 1.25rem; }
.rows > li + li { border-top: 1px solid var(--line); }
.move { display: grid; grid-template-columns: 4rem minmax(0, 1fr); gap: 0 1rem; }
.move .seq { font-family: var(--mono); font-size: .9375rem; color: var(--muted); font-variant-numeric: tabular-nums; }
.move .facts-line { display: flex; flex-wrap: wrap; gap: 0 1rem; font-size: .875rem; color: var(--muted); }
.move:target { background: var(--soft); }
.image { display: grid; grid-template-columns: minmax(0, 1fr); gap: .25rem; }
.image .facts-line { display: flex; flex-wrap: wrap; gap: 0 1rem; font-size: .875rem; color: var(--muted); }
.line { display: block; padding: .3rem .6rem; border-radius: .25rem; background: var(--soft); font-size: .8125rem; user-select: all; }
.tag { font-size: .8125rem; font-weight: 600; }
.changes { font-family: var(--mono); font-size: .875rem; line-height: 1.7; }
.changes li { display: grid; grid-template-columns: 1.25rem minmax(0, 1fr); }
.changes .sign { user-select: none; font-weight: 600; }
details > summary { cursor: pointer; color: var(--link); font-size: .9375rem; padding: .25rem 0; }
.whole { user-select: all; }
.lead { margin-bottom: .75rem; }
.note { margin-top: .5rem; }
.unseen { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.pages { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; margin-top: 1rem; font-size: .9375rem; }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line); font-size: .875rem; color: var(--muted); }
footer p + p { margin-top: .25rem; }

@container (min-width: 44rem) {
  .facts { grid-template-columns: auto minmax(0, 1fr) auto minmax(0, 1fr); }
  .changes { columns: 2; column-gap: 2rem; }
  .changes li { break-inside: avoid; }
}
@media (min-width: 64rem) {
  .image { grid-template-columns: minmax(0, 1fr) auto; align-items: center; gap: .25rem 1.5rem; }
}
@media (max-width: 26rem) {
  .move { grid-template-columns: minmax(0, 1fr); }
  .card, .rows > li { padding-inline: .875rem; }
  .facts { grid-template-columns: minmax(0, 1fr); gap: 0; }
  .facts dd + dt { margin-top: .5rem; }
  .facts dt { font-size: .8125rem; }
}
@media print {
  body { background: none; max-width: none; }
}
`;
