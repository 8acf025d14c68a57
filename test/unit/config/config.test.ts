import { generateKeyPairSync } from "node:crypto";
import { readFile } from "node:fs/promises";
import path from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parse as parseYaml } from "yaml";
import { parseConfig, schema } from "../../../config.js";
import { checkout } from "../../../local/paths.js";
import { keySigner } from "../../../release/attest/signer.js";
import { UserError } from "../../../release/process/errors.js";

const commit = "0123456789abcdef0123456789abcdef01234567";
const project = parseYaml(await readFile(path.join(checkout, "Pulumi.yaml"), "utf8")) as {
  config: Record<string, { default: unknown; description: string }>;
};
/** What Pulumi hands over for Pulumi.local.yaml, with the defaults of Pulumi.yaml. */
const defaults = {
  ...Object.fromEntries(
    Object.entries(project.config).map(([key, { default: value }]) => [
      key,
      typeof value === "string" ? value : JSON.stringify(value),
    ]),
  ),
  base: "debian",
  profile: "small",
  runner: "fixture",
  store: "local",
};
const platform = { BUCKET: "runner-images", IMAGES_URL: "http://127.0.0.1:4000" };

const existingStack = {
  store: "existing",
  bucket: "images",
  region: "eu-central-1",
  url: "https://images.acme.test",
};
const awsStack = {
  store: "aws",
  bucket: "acme-images",
  domain: "images.acme.test",
  zone: "Z0123456789",
  repository: "acme/images",
  state: "s3://acme-state",
  stateKey: "alias/state",
};

function parse(changes: Record<string, string>, environment: NodeJS.ProcessEnv = platform) {
  const values = Object.entries({ ...defaults, ...changes }).map(([key, text]) => [
    `runner-images:${key}`,
    text,
  ]);
  return parseConfig(Object.fromEntries(values) as Record<string, string>, environment);
}

function refusal(changes: Record<string, string>, environment?: NodeJS.ProcessEnv): string {
  try {
    parse(changes, environment);
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return (error as UserError).message;
  }
  throw new Error(`accepted ${JSON.stringify(changes)}`);
}

describe("the stack's configuration", () => {
  it("has each of its keys described in Pulumi.yaml, and nothing else there", () => {
    const known = new Set(schema.options.flatMap((option) => Object.keys(option.shape)));
    expect(Object.keys(project.config).sort()).toEqual([...known].sort());
    for (const [key, { description }] of Object.entries(project.config))
      expect(description, key).not.toBe("");
  });

  it.each<[string, string, unknown]>([
    ["no channels", "{}", []],
    [
      "a channel with all it can have",
      `{"canary": {"follows": "newest", "promote": "after 24h", "latest": "${commit}"}}`,
      [{ name: "canary", pinned: commit, promote: { kind: "after", ms: 86_400_000, text: "24h" } }],
    ],
    [
      "several, one of which everybody waits for",
      '{"canary": {"promote": "by merge"}, "lab-2": {"promote": "never"}}',
      [
        { name: "canary", pinned: undefined, promote: { kind: "by merge" } },
        { name: "lab-2", pinned: undefined, promote: { kind: "never" } },
      ],
    ],
  ])("reads %s", (_, text, channels) => {
    expect(parse({ channels: text }).channels).toEqual(channels);
  });

  it.each<[string, string, string]>([
    [
      "text",
      "canary",
      'channels must be a map like {canary: {follows: newest, promote: after 24h}}, but it is "canary"; edit the stack\'s file',
    ],
    ["a list", '["canary"]', "channels must be a map like"],
    [
      "a channel that is text",
      '{"canary": "newest"}',
      "channels.canary must be a map like {follows: newest, promote: after 24h}; edit",
    ],
    [
      "a channel that follows itself",
      '{"canary": {"follows": "canary"}}',
      'channels.canary.follows may only be newest: a channel gets what was built last, and follows no channel, nor itself, but it is "canary"; set it: pulumi config set --path channels.canary.follows newest, or remove it: pulumi config rm --path channels.canary.follows',
    ],
    [
      "a channel that follows another",
      '{"a": {"promote": "never"}, "b": {"follows": "a"}}',
      "channels.b.follows may only be newest",
    ],
    [
      "a time without a unit",
      '{"canary": {"promote": "after 24"}}',
      'channels.canary.promote must be "after <number><s, m, h or d>", like "after 24h" (at most 90d), "by merge", or "never", but it is "after 24"; set it: pulumi config set --path channels.canary.promote \'after 24h\'',
    ],
    [
      "a channel that does not say how its images go to everybody",
      `{"canary": {"latest": "${commit}"}}`,
      'channels.canary.promote must be "after <number><s, m, h or d>", like "after 24h" (at most 90d), "by merge", or "never", but it is missing; set it: pulumi config set --path channels.canary.promote \'after 24h\'',
    ],
    ["a time that is a number", '{"canary": {"promote": 24}}', "channels.canary.promote must be"],
    ["no time at all", '{"canary": {"promote": "after 0s"}}', "channels.canary.promote must be"],
    [
      "a short commit",
      '{"canary": {"promote": "never", "latest": "0123456"}}',
      'channels.canary.latest must be 40 lowercase hex characters: the full hash of a published commit, but it is "0123456"; set it: pulumi config set --path channels.canary.latest <commit>',
    ],
    [
      "a setting that there is none of",
      '{"canary": {"promote": "never", "pin": "x"}}',
      'channels.canary holds "pin", which is none of follows, promote, latest; edit the stack\'s file',
    ],
    [
      "two that everybody waits for",
      '{"a": {"promote": "after 1h"}, "b": {"promote": "by merge"}}',
      "channels.b.promote is the second channel that says when everybody gets its images: one of them has to",
    ],
    ...["images", "pointer", "pruned", "latest", "newest", "moves", "index"].map(
      (name): [string, string, string] => [
        `the name ${name}`,
        JSON.stringify({ [name]: { promote: "never" } }),
        `channels.${name} is called like something else below the CDN's URL, or may come to be: choose another name; edit the stack's file, or: pulumi config rm --path channels.${name}`,
      ],
    ),
    ...["", "Canary", "2nd", "a/b", "latest.json", "feed.atom", "..", "a b", "a".repeat(32), "\u202e"].map(
      (name): [string, string, string] => [
        `the name ${JSON.stringify(name)}`,
        `{${JSON.stringify(name)}: {"promote": "never"}}`,
        "is no name of a channel: a lowercase letter, then at most 30 lowercase letters, digits and hyphens",
      ],
    ),
  ])("refuses, of channels, %s", (_, text, message) => {
    const line = refusal({ channels: text });
    expect(line).toContain(message);
    expect(line).toMatch(/^config runner-images:channels[^\n\u202e]*$/);
  });

  it("believes whom it is told, the local platform's own key, or nobody", () => {
    const workflow = "https://github.com/acme/images/.github/workflows/deploy.yml@refs/heads/main";
    const key = keySigner(generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey);
    const own = { ...platform, IMAGES_SIGNER: key };
    expect(parse({}, own)).toMatchObject({
      trust: { signer: { kind: "key", text: key } },
      trustEnvironment: {},
    });
    expect(parse({ unsignedUntil: "2026-12-31" }, own)).toMatchObject({
      trust: { unsignedUntil: "2026-12-31" },
      trustEnvironment: { IMAGES_UNSIGNED_UNTIL: "2026-12-31" },
    });
    expect(parse({ unsignedUntil: "2026-12-31 00:00:00 +0000 UTC" }, own)).toMatchObject({
      trust: { unsignedUntil: "2026-12-31" },
    });
    expect(parse({ signer: workflow }, own)).toMatchObject({
      trust: { signer: { kind: "workflow", identity: workflow } },
      trustEnvironment: { IMAGES_SIGNER: workflow },
    });
    expect(parse(existingStack, own)).toMatchObject({ trust: null, trustEnvironment: {} });
    expect(parse({ ...existingStack, signer: key })).toMatchObject({
      trustEnvironment: { IMAGES_SIGNER: key },
    });
  });

  it.each([
    ["unsignedUntil", "2026-12-31"],
    ["signerIssuer", "https://issuer.example.com"],
  ])("does not pass over %s where nobody is asked who built an image", (key, value) => {
    expect(() => parse({ ...existingStack, [key]: value })).toThrow(
      new RegExp(
        `^config runner-images:${key} is given without a signer, .*pulumi config set signer .*pulumi config rm ${key}$`,
      ),
    );
  });

  it.each([
    ["signer", "acme", /^config runner-images:signer must be a workflow's identity like .*, or key:/],
    ["signerIssuer", "acme", /^config runner-images:signerIssuer must be a URL like https:/],
    ["unsignedUntil", "soon", /^config runner-images:unsignedUntil must be a date like 2026-12-31/],
  ])("refuses the %s %j", (key, value, message) => {
    expect(refusal({ [key]: value })).toMatch(message);
  });

  it("takes the local store's place from the environment and gives its commands nothing that differs between machines", () => {
    expect(parse({}).store).toEqual({
      kind: "local",
      bucket: "runner-images",
      url: "http://127.0.0.1:4000",
      environment: {},
    });
  });

  it("gives the commands of an existing store all they need", () => {
    const store = { store: "existing", bucket: "b", region: "eu-west-1", url: "https://images.example.com/" };
    expect(parse({ ...store, endpoint: "https://s3.example.com" }).store).toEqual({
      kind: "existing",
      bucket: "b",
      url: "https://images.example.com",
      environment: {
        BUCKET: "b",
        AWS_REGION: "eu-west-1",
        IMAGES_URL: "https://images.example.com",
        AWS_ENDPOINT_URL_S3: "https://s3.example.com",
      },
    });
    expect(parse(store).store).not.toHaveProperty("environment.AWS_ENDPOINT_URL_S3");
  });

  it("reads a pin, and an empty one as following the newest build", () => {
    expect(parse({ latest: commit }).latest).toBe(commit);
    expect(parse({ latest: "" }).latest).toBeUndefined();
  });

  it("ignores the keys of other namespaces", () => {
    expect(() => parseConfig({ "aws:region": "us-east-1", ...qualified(defaults) }, platform)).not.toThrow();
  });

  it.each([
    [
      "latest that is too short",
      { latest: commit.slice(1) },
      /runner-images:latest must be 40 lowercase hex/,
    ],
    [
      "latest in upper case",
      { latest: commit.toUpperCase() },
      /must be 40 lowercase hex.*pulumi config set latest/,
    ],
    ["latest with a line break", { latest: `${commit}\n` }, /must be 40 lowercase hex/],
    [
      "an unknown key",
      { colour: "red" },
      /unknown config key runner-images:colour .*pulumi config rm colour/,
    ],
    [
      "an unknown architecture",
      { architectures: '["arm64"]' },
      /architectures may hold only x86_64, aarch64.*arm64/,
    ],
    ["no architecture", { architectures: "[]" }, /at least one architecture/],
    ["an architecture twice", { architectures: '["x86_64","x86_64"]' }, /names an architecture twice/],
    [
      "architectures that are no list",
      { architectures: "x86_64" },
      /architectures must be a list of x86_64, aarch64, but it is "x86_64"; set it/,
    ],
    [
      "a value of 100 kB",
      { latest: "f".repeat(100_000) },
      /^config runner-images:latest must be .*, but it is "f{119}… \(100002 characters\); set it.{1,120}$/,
    ],
    [
      "a key of 100 kB",
      { ["k".repeat(100_000)]: "x" },
      /^unknown config key "runner-images:k{105}… \(100016 characters\) .*; remove it: edit the stack's file$/,
    ],
    [
      "a value that would move the cursor",
      { base: "\u001b[2J\u009b1A\u2028" },
      /it is "\\u001b\[2J\\u\{9b\}1A\\u\{2028\}"; set it/,
    ],
    [
      "an unknown profile",
      { profile: "tiny" },
      /profile must be one of full, small, but it is "tiny"; set it/,
    ],
    ["an unknown base", { base: "fedora" }, /base must be one of ubuntu, debian, but it is "fedora"; set it/],
    ["an unknown runner", { runner: "gitlab" }, /runner must be one of github, fixture/],
    ["an unknown accelerator", { accelerator: "hvf" }, /accelerator must be one of auto, kvm, tcg/],
    ["an unknown store", { store: "ftp" }, /store must be one of aws, existing, local, but it is "ftp"/],
    ["an existing store without a bucket", { store: "existing" }, /runner-images:bucket is required/],
    [
      "a URL that is none",
      { store: "existing", bucket: "b", region: "r", url: "images" },
      /url must be a URL/,
    ],
  ])("refuses %s in one line that names the key and the fix", (_, changes, message) => {
    const text = refusal(changes);
    expect(text).toMatch(message);
    expect(text).not.toContain("\n");
  });

  it("answers whatever is set with one short line in its own words, if it does not take it", () => {
    const known = [...new Set(schema.options.flatMap((option) => Object.keys(option.shape)))];
    const text = fc.oneof(
      fc.string({ maxLength: 300, size: "max", unit: "binary" }),
      fc.json(),
      fc.constant("[1]"),
    );
    const stores = { aws: awsStack, existing: existingStack, local: {} };
    fc.assert(
      fc.property(
        fc.constantFrom(...known),
        text,
        fc.constantFrom(...(["aws", "existing", "local"] as const)),
        (key, value, store) => {
          try {
            parse({ ...stores[store], store, [key]: value });
          } catch (error) {
            expect(error).toBeInstanceOf(UserError);
            expect((error as UserError).message).not.toMatch(/Invalid|received|[\p{Cc}\p{Zl}\p{Zp}]/u);
            expect((error as UserError).message.length).toBeLessThan(700);
          }
        },
      ),
      { numRuns: 200 },
    );
  });

  it("says how to start the local store where it is not running", () => {
    expect(refusal({}, {})).toMatch(/local platform is not running.*npm start/);
  });

  it("accepts as a pin exactly the full lowercase hashes", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[0-9a-f]{40}$/), (hash) => parse({ latest: hash }).latest === hash),
    );
    fc.assert(
      fc.property(
        fc.string({ minLength: 1 }).filter((text) => !/^[0-9a-f]{40}$/.test(text)),
        (text) => refusal({ latest: text }) !== "",
      ),
    );
  });
});

function qualified(values: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(values).map(([key, text]) => [`runner-images:${key}`, text]));
}
