import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import path from "node:path";
import { crc32 } from "node:zlib";
import { chromium, type Browser, type BrowserContextOptions, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { browser as browserNeed } from "../../local/host-packages.js";
import { checkout } from "../../local/paths.js";
import { which } from "../../local/which.js";
import { readTrust } from "../../release/attest/signer.js";
import { showMove } from "../../release/page/write.js";
import { readNotes } from "../../release/pointer/notes.js";
import { nextSeq, readPointer } from "../../release/pointer/pointer.js";
import { promote } from "../../release/pointer/promote.js";
import { readCalendar } from "../../release/pointer/runner-releases.js";
import { crc32Text } from "../../release/process/hash.js";
import { contentSecurityPolicy } from "../../release/store/headers.js";
import { keys } from "../../release/store/keys.js";
import type { BootStages } from "../../release/store/records.js";
import { jsonText, openStore } from "../../release/store/store.js";
import { bootRecordOf, imageObjects, manifestOf, sha256 } from "../unit/release/memory-store.js";
import { World } from "./world.js";

/*
 * The status page as people get it: moves by the release commands, on a real store, through the CDN, in Debian's Chromium. The images are made up.
 */

const arch = "x86_64";
/** Kept after the test, to be looked at. */
const screenshots = path.join(checkout, ".local", "test", "screenshots");
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Milliseconds that anything in the browser may take, on a machine that is busy. */
const patience = 120_000;

const day = (fromNow: number) =>
  new Date(Date.now() + fromNow * 24 * 60 * 60 * 1000).toISOString().slice(0, 10);

const hostile = `Go back, jobs hang <script>document.title = "run"</script> & "quotes" \u202eeht`;
const rightToLeft = "إضافة أداة البحث إلى الصورة";
const long = `image: ${"a subject that somebody forgot to end and that goes on ".repeat(3)}`;

interface Made {
  packages: Record<string, string>;
  runner: string;
  /** Of what hosts download. */
  bytes: number;
  stages: BootStages;
}

/** What a publish and a boot test leave of an image that was never built. */
async function publish(
  world: World,
  commit: string,
  { packages, runner, bytes, stages }: Made,
): Promise<void> {
  const manifest = manifestOf(commit, arch, { version: runner });
  const components = Object.entries(packages).map(([name, version]) => ({
    ...{ type: "library", name, version },
    purl: `pkg:deb/debian/${name}@${version}`,
  }));
  const sbom = jsonText({ bomFormat: "CycloneDX", specVersion: "1.6", components });
  const runnerStarted = Object.values(stages).reduce((sum, seconds) => sum + seconds);
  const timings = { fetch: 1, credentialFetched: 15, runnerStarted, poweredOff: runnerStarted + 2, stages };
  const disk = "0".repeat(bytes);
  const objects = new Map(imageObjects(commit, arch));
  objects.set(keys.disk(commit, arch), disk);
  objects.set(keys.sbom(commit, arch), sbom);
  objects.set(keys.attestation(commit, arch, sha256), await world.attestation(commit, sha256));
  objects.set(keys.bootRecord(commit, arch), jsonText(bootRecordOf(commit, arch, { timings })));
  objects.set(
    keys.manifest(commit, arch),
    jsonText({
      ...manifest,
      compressed: { ...manifest.compressed, bytes, crc32: crc32Text(crc32(disk)) },
      disk: { ...manifest.disk, bytes: bytes * 4 },
      sbom: {
        key: keys.sbom(commit, arch),
        bytes: sbom.length,
        sha256: createHash("sha256").update(sbom).digest("hex"),
      },
    }),
  );
  await Promise.all([...objects].map(([key, text]) => world.overwrite(key, text)));
}

const base = { bash: "5.2.15-2", curl: "8.14.1-1", git: "2.39.5-0", "ca-certificates": "20240203" };
const stagesOf = (share: number): BootStages => ({
  ...{ firmware: 2.4 * share, kernel: 6.1 * share },
  ...{ userspace: 10.9 * share, runner: 4.7 * share },
});

describe.sequential("the status page", () => {
  let world: World;
  let browser: Browser;
  const commits: string[] = [];

  const stack = "runner-images/prod";
  const byCommand = async (commit: string, more: Record<string, string> = {}) => {
    const settings = { COMMIT: commit, ARCHITECTURES: arch, STACK: stack, ...more };
    const { exitCode, stderr } = await world.release("promote", settings);
    expect(exitCode, stderr).toBe(0);
    return stderr;
  };
  /** What that command does, without the start of another process. */
  const move = async (commit: string) => {
    const { root, environment, url } = world;
    const store = await openStore(environment.BUCKET!, environment);
    const calendar = await readCalendar({ root, environment });
    const context = { calendar, trust: readTrust(environment) };
    const seq = nextSeq(await readPointer(store), commit, stack);
    const notes = await readNotes(root, commit);
    const request = { commit, seq, stack, notes, architectures: [arch] as const, url };
    await promote(store, request, context, () => showMove(store, { url }, context));
  };
  /** A commit of image/ with that subject, published. */
  const image = async (subject: string, made: Partial<Made> = {}) => {
    await world.write("image/salt", subject);
    const commit = await world.commit(subject);
    commits.push(commit);
    await publish(world, commit, {
      ...{ packages: base, runner: "2.337.0", bytes: 1_266_000, stages: stagesOf(1) },
      ...made,
    });
    return commit;
  };

  beforeAll(async () => {
    const names = [browserNeed.need, ...browserNeed.or];
    const found = (await Promise.all(names.map(which))).find((file) => file !== undefined);
    if (found === undefined) throw new Error(`no ${names.join(", ")} on this machine: npm test installs it`);
    await mkdir(screenshots, { recursive: true });
    // Chromium's sandbox does not run as root.
    const chromiumSandbox = process.getuid?.() !== 0;
    [world, browser] = await Promise.all([
      World.create(),
      chromium.launch({ executablePath: found, chromiumSandbox, timeout: patience }),
    ]);
  });
  afterAll(async () => {
    await browser?.close();
    await world?.remove();
  });

  it("is not there while nothing was promoted, and says so once somebody writes it", async () => {
    expect((await fetch(`${world.url}/`)).status).toBe(404);
    const { exitCode, stdout } = await world.release("page");
    expect([exitCode, JSON.parse(stdout)]).toEqual([
      0,
      { url: world.url, seq: 0, written: [keys.feed, keys.page] },
    ]);
    expect(new TextDecoder().decode(await world.bytes(keys.page))).toContain("no image was promoted");
  });

  it("is written by each move, with who made it and why", async () => {
    const first = await image("image: begin with Debian's packages", { runner: "2.330.0" });
    await move(first);
    const second = await image(rightToLeft, { packages: { ...base, ripgrep: "13.0.0-4" } });
    await move(second);
    await world.pin(first);
    await world.git("commit", "--quiet", "--amend", "-m", hostile);
    await move(first);
    await world.pin(undefined);
    await move(second);
    // A newer runner comes out: the first image's is too old by now, the others' soon.
    await world.setRunnerReleases([
      { version: "2.330.0", releasedAt: day(-200), deprecatedAt: null },
      { version: "2.337.0", releasedAt: day(-60), deprecatedAt: null },
      { version: "2.338.0", releasedAt: day(-10), deprecatedAt: null },
    ]);
    const { bash, git } = base;
    const packages = { bash, git: `${git}+deb12u2`, curl: "8.14.1-2", ripgrep: "14.1.0-1", jq: "1.7.1-3" };
    const never = await image("image: published while another one was pinned");
    await byCommand(never, { IMAGES_CHANNEL: "canary" });
    const page = new TextDecoder().decode(await world.bytes(keys.page));
    expect(page).toContain(`href="canary/${keys.pointer(1)}"`);
    // What follows is about those that everybody had.
    commits.splice(commits.indexOf(never), 1);
    await byCommand(await image(long, { packages, bytes: 1_301_000, stages: stagesOf(0.9) }));
    expect(await world.keys("moves/")).toEqual([keys.moves(1)]);
  });

  it("is served as a page for a minute, with a policy that lets nothing in, and by the CDN's root", async () => {
    for (const [address, type] of [
      ["/", "text/html; charset=utf-8"],
      [`/${keys.page}`, "text/html; charset=utf-8"],
      [`/${keys.moves(1)}`, "text/html; charset=utf-8"],
      [`/${keys.feed}`, "application/atom+xml"],
    ] as const) {
      const answer = await fetch(world.url + address);
      expect([address, answer.status, answer.headers.get("content-type")]).toEqual([address, 200, type]);
      expect(answer.headers.get("cache-control")).toBe("max-age=60");
      expect(answer.headers.get("content-security-policy")).toBe(contentSecurityPolicy);
      expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
    }
    expect((await fetch(`${world.url}/${keys.moves(2)}`)).status).toBe(404);
    // What hosts read is what it was.
    expect(await world.served(keys.latest)).toBe(`${commits.at(-1)}\n`);
  });

  it("gives the line that goes back to each image, and names the one that cannot", async () => {
    await visit({}, "", async (page) => {
      const text = (await page.textContent("main"))!.replaceAll(/\s+/g, " ");
      const [first, second, live] = commits as [string, string, string];
      const line = (commit: string) => `runner-images:latest: ${commit}`;
      expect(text).toContain(line(live));
      expect(text).toContain(line(second));
      expect(text).not.toContain(line(first));
      expect(text).toContain("Have this line below config: of Pulumi.prod.yaml, and merge that.");
      expect(text).toMatch(/cannot go live again: x86_64: its runner 2\.330\.0: gets no more jobs since/);
      expect(text).toContain(`Usable until${day(20)}runner 2.338.0 is out since ${day(-10)}`);
      expect(text).toMatch(/Built byattestedby the key that ends in/);
      expect(text).toContain("Download1.3 MB (+35 kB)");
      expect(text).toContain("canary: image: published while another one was pinned");
      expect(text).toContain(`${world.url}/canary`);
      expect(text).toContain("1 other image that was published and booted");
      expect(text).toContain("1 added, 1 removed, 3 changed");
      expect(text).toContain("ripgrep 13.0.0-4 → 14.1.0-1 (deb)");
      expect(text).toMatch(/Boot to runner 21\.7 s ?before: 24\.1 s/);
    });
  });

  it("shows what commits say as text, each apart from what is beside it", async () => {
    await visit({}, keys.moves(1), async (page) => {
      expect(await page.title()).toBe("Moves 1 to 5");
      const subjects = page.locator("li.move p:first-child bdi");
      expect(await subjects.allTextContents()).toEqual([
        `${long.slice(0, 119).trimEnd()}…`,
        rightToLeft,
        hostile.replace("\u202e", ""),
        rightToLeft,
        "image: begin with Debian's packages",
      ]);
      const style = await page.evaluate<Record<string, string>>(
        "(({ direction, unicodeBidi }) => ({ direction, unicodeBidi }))(getComputedStyle(document.querySelector('#move-2 bdi')))",
      );
      expect(style).toEqual({ direction: "rtl", unicodeBidi: "isolate" });
    });
  });

  it("needs no script", async () => {
    await visit({ javaScriptEnabled: false }, "", async (page) => {
      expect(await page.textContent("h2#live + p")).toBe(commits.at(-1));
      await page.click("summary >> nth=0");
      await page.click("text=page by page");
      await page.click("nav >> text=Live");
      expect(page.url()).toBe(`${world.url}/`);
    });
  });

  it("runs no script either where somebody writes one into the bucket", async () => {
    const forged = `<title>still</title><body onload="document.title='run'"><script>document.title = "run"</script><script src="/x.js"></script>`;
    await world.overwrite(keys.moves(77), forged, { ContentType: "text/html" });
    const page = await browser.newPage();
    await page.goto(`${world.url}/${keys.moves(77)}`);
    expect(await page.title()).toBe("still");
    await page.close();
    await world.deleteObject(keys.moves(77));
  });

  const looks = (["light", "dark"] as const).flatMap((colorScheme) => [
    { colorScheme, name: "page", address: "" },
    { colorScheme, name: "moves", address: keys.moves(1) },
  ]);
  it.each(looks)("can be read at 320 to 1,600 px: $name, $colorScheme", async (look) => {
    const { colorScheme, name, address } = look;
    await visit({ colorScheme }, address, async (page) => {
      for (const width of [320, 768, 1600]) {
        await page.setViewportSize({ width, height: 900 });
        const file = path.join(screenshots, `${name}-${colorScheme}-${width}.png`);
        await page.screenshot({ path: file, fullPage: true });
      }
      for (const summary of await page.locator("summary").all()) await summary.click();
      for (const width of [1600, 1024, 768, 480, 320]) {
        await page.setViewportSize({ width, height: 900 });
        expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(width);
      }
      const ground = await page.evaluate<string>("getComputedStyle(document.body).backgroundColor");
      expect(Number(/\d+/.exec(ground)![0]) < 128).toBe(colorScheme === "dark");
      await page.evaluate(axe);
      const { violations, passes } = await page.evaluate<AxeResults>("axe.run()");
      expect(violations.map(({ id, nodes }) => [id, nodes.map(({ html }) => html)])).toEqual([]);
      // It did look.
      const ids = passes.map(({ id }) => id);
      expect(ids).toEqual(expect.arrayContaining(["color-contrast", "heading-order", "list"]));
    });
  });

  it("has a feed that is XML, of the moves, newest first, each with an id of its own", async () => {
    const text = await world.served(keys.feed);
    const read = `(() => {
      const feed = new DOMParser().parseFromString(${JSON.stringify(text)}, "application/xml");
      const all = (name) => [...feed.getElementsByTagNameNS("http://www.w3.org/2005/Atom", name)].map((one) => one.textContent);
      return { errors: feed.getElementsByTagName("parsererror").length, titles: all("title"), ids: all("id"), updated: all("updated") };
    })()`;
    await visit({}, "", async (page) => {
      const { errors, titles, ids, updated } = await page.evaluate<ReadFeed>(read);
      expect(errors).toBe(0);
      const entries = [5, 4, 3, 2, 1].map((seq) => keys.pointer(seq));
      expect(ids).toEqual([keys.feed, ...entries].map((key) => `${world.url}/${key}`));
      expect(titles[3]).toBe(`Move 3 to ${commits[0]!.slice(0, 12)}: ${hostile.replace("\u202e", "")}`);
      expect(updated[0]).toBe(updated[1]);
      for (const time of updated) expect(new Date(time).toISOString()).toBe(time);
    });
  });

  it("stops no move where it cannot be written, and is mended by a command", async () => {
    const allow = await world.deny(keys.page);
    const stderr = await byCommand(commits[1]!);
    expect(stderr).toMatch(
      /^warning: the page http:\S+ does not show this move \(index\.html .* is denied .*\); the next move mends that, and so does the release command page$/m,
    );
    await allow();
    expect(await world.served(keys.latest)).toBe(`${commits[1]}\n`);
    const stored = async () => new TextDecoder().decode(await world.bytes(keys.page));
    expect(await stored()).not.toContain("move 6");
    expect((await world.release("page")).exitCode).toBe(0);
    expect(await stored()).toContain("move 6");
  });

  /** Looks at a page in a context of its own. Fails where the console says anything, or anybody but the CDN is asked. */
  async function visit(
    options: BrowserContextOptions,
    address: string,
    work: (page: Page) => Promise<void>,
  ): Promise<void> {
    const context = await browser.newContext(options);
    context.setDefaultTimeout(patience);
    const page = await context.newPage();
    const heard: string[] = [];
    page.on("console", (message) => heard.push(`console: ${message.text()}`));
    page.on("pageerror", (error) => heard.push(`error: ${error.message}`));
    page.on("request", (request) => {
      const url = request.url();
      if (!url.startsWith(`${world.url}/`) && !url.startsWith("data:")) heard.push(`request: ${url}`);
    });
    page.on("requestfailed", (request) => heard.push(`failed: ${request.url()}`));
    await page.goto(`${world.url}/${address}`);
    await work(page);
    expect(heard).toEqual([]);
    await context.close();
  }
});

interface AxeResults {
  violations: { id: string; nodes: { html: string }[] }[];
  passes: { id: string }[];
}

interface ReadFeed {
  errors: number;
  titles: string[];
  ids: string[];
  updated: string[];
}
