import { describe, expect, it } from "vitest";
import { nginxConfig } from "../../../local/services/nginx-config.js";

const settings = {
  port: 20_002,
  originUrl: "http://127.0.0.1:20001",
  bucket: "runner-images",
  latestTtlSeconds: 4,
  user: undefined,
};

/** The body of the location with this pattern. */
function location(config: string, pattern: string): string {
  const start = config.indexOf(`location ~ "${pattern}"`);
  expect(start, `location ${pattern}`).toBeGreaterThan(0);
  return config.slice(start, config.indexOf("\n    }", start));
}

/** The patterns of all locations which ask the origin. */
function patterns(config: string): RegExp[] {
  return [...config.matchAll(/location ~ "(.*)" \{/g)].map((match) => new RegExp(match[1]!));
}

describe("the CDN's configuration", () => {
  const config = nginxConfig(settings);

  it("listens on the loopback address only", () => {
    expect(config.match(/listen .*/g)).toEqual(["listen 127.0.0.1:20002;"]);
  });

  it("keeps images for a year, in slices, under a key without the query string", () => {
    const images = location(config, "^/images/[0-9a-f]{40}/[0-9A-Za-z._-]+$");
    expect(images).toContain("slice 8m;");
    expect(images).toContain("proxy_cache_valid 200 206 365d;");
    expect(config).toContain('proxy_cache_key "$uri|$slice_range";');
  });

  it("keeps the pointer, and the page about it, for the given time, and a missing object for 5 seconds", () => {
    const latest = location(
      nginxConfig({ ...settings, latestTtlSeconds: 1 }),
      "^((/[a-z][a-z0-9-]{0,30})?/latest(\\.json)?|/(index\\.html|feed\\.atom|moves/[0-9]+\\.html))$",
    );
    expect(latest).toContain("proxy_cache_valid 200 1s;");
    expect(latest).toContain("proxy_cache_valid 403 404 5s;");
  });

  it.each([
    "/latest",
    "/latest.json",
    "/pointer/00000001.json",
    "/canary/latest",
    "/canary/latest.json",
    "/early-2/pointer/00000001.json",
    "/index.html",
    "/feed.atom",
    "/moves/200.html",
    `/images/${"a".repeat(40)}/ubuntu-x86_64.qcow2.zst`,
    `/images/${"a".repeat(40)}/ubuntu-aarch64.boot.json`,
  ])("serves %s", (path) => {
    expect(patterns(config).some((pattern) => pattern.test(path))).toBe(true);
  });

  it.each([
    "/",
    "/latest2",
    "/latest.json.bak",
    "/other",
    "/images/",
    "/images/abc/ubuntu-x86_64.qcow2.zst",
    `/images/${"a".repeat(40)}/../secret`,
    `/images/${"a".repeat(40)}/a?versionId=1`,
    `/images/${"a".repeat(40)}/a b`,
    `/images/${"A".repeat(40)}/x`,
    "/pointer/x.json",
    "/Canary/latest",
    "/2nd/latest",
    "/canary/early/latest",
    "/canary/pruned/x.json",
    `/canary/${"a".repeat(40)}/x`,
    "/moves/",
    "/moves/x.html",
    "/moves/1.html.bak",
    "/pruned/",
  ])("does not ask the origin for %s", (path) => {
    expect(patterns(config).some((pattern) => pattern.test(path))).toBe(false);
  });

  it.each([
    ["/canary/images/x", "/images/x"],
    ["/images/x", "/images/x"],
    ["/canary/latest", "/canary/latest"],
    ["/canary/early/images/x", "/canary/early/images/x"],
    ["/Canary/images/x", "/Canary/images/x"],
  ])("takes a channel's name off images, and off nothing else: %s is %s", (asked, found) => {
    const [, pattern] = /rewrite "(.*)" \$1;/.exec(config)!;
    expect(asked.replace(new RegExp(pattern!), "$1")).toBe(found);
  });

  it("answers / by the page", () => {
    expect(config).toMatch(/location = \/ \{\s*rewrite \^ \/index\.html last;\s*\}/);
  });

  it("sets each header on the server's level, because inner levels would replace them all", () => {
    const headers = config
      .split("\n")
      .filter((line) => /^ *(proxy_set_header|proxy_hide_header|add_header) /.test(line));
    expect(headers.length).toBeGreaterThan(5);
    for (const line of headers) expect(line).toMatch(/^ {4}\S/);
  });

  it("names an account for the workers only when it is told to", () => {
    expect(config).not.toMatch(/^user /m);
    expect(nginxConfig({ ...settings, user: "root" })).toMatch(/^user root root;$/m);
  });
});
