import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { check, resolveConfig } from "prettier";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { checkout } from "../../../local/paths.js";
import {
  answersOf,
  at,
  awsUrl,
  awsZip,
  createSigner,
  dayOf,
  fakeCommit,
  fakeHash,
  imageUrl,
  inRelease,
  runnerUrl,
  rustUrl,
  setRust,
  sha256,
  startPublishers,
  type Answers,
  type Published,
  type PublishersServer,
  type Signer,
} from "./publishers.js";

/*
 * `npm run pins` as it is run, against all publishers behind one HTTPS server. It reports all that is wrong at once, so one run shows a
 * kind of bad answer from every publisher.
 */

/** What is pinned in the checkouts of these tests, and the newest there is. */
const old: Published = {
  serials: {
    noble: { version: "24.04", serial: "20260705" },
    resolute: { version: "26.04", serial: "20260920" },
  },
  archive: "Mon, 31 Aug 2026 23:14:05 UTC",
  snapshot: "20261125T000000Z",
  runner: [
    { version: "2.337.0", day: "2026-08-26" },
    { version: "2.336.0", day: "2026-07-20" },
  ],
  awsCli: "2.31.0",
  rust: { version: "1.98.1", date: "2026-09-03" },
  plugin: "1.1.4",
  actions: { "actions/checkout": "7.0.1", "aws-actions/configure-aws-credentials": "6.2.0" },
};
/** Something newer of everything. A fix of an old runner is at the top of GitHub's list. */
const recent: Published = {
  serials: { ...old.serials, noble: { version: "24.04", serial: "20261112" } },
  archive: "Tue, 24 Nov 2026 22:01:09 UTC",
  snapshot: "20261125T000000Z",
  runner: [
    { version: "2.337.1", day: "2026-11-20" },
    { version: "2.338.0", day: "2026-10-06" },
    ...old.runner,
  ],
  awsCli: "2.40.2",
  rust: { version: "1.100.0", date: "2026-11-12" },
  plugin: "1.2.0",
  actions: { "actions/checkout": "7.1.0", "aws-actions/configure-aws-credentials": "7.0.0" },
};
const now = "2026-11-25T10:00:00Z";

const twoOf = <T>(of: (arch: "x86_64" | "aarch64") => T) => ({
  x86_64: of("x86_64"),
  aarch64: of("aarch64"),
});
const theirs = (arch: "x86_64" | "aarch64") => (arch === "x86_64" ? "amd64" : "arm64");

/** image/inputs.json with everything pinned that was newest on some day. */
function inputsOf({ serials, awsCli, rust, runner }: Published, series: string, snapshot: string) {
  const { version, serial } = serials[series]!;
  const newest = runner.find((release) => release.version.endsWith(".0"))!;
  return {
    ubuntu: {
      series,
      name: `ubuntu-${version}-release-${serial}`,
      snapshot,
      ...twoOf((arch) => ({
        url: imageUrl(series, version, serial, theirs(arch)),
        sha256: fakeHash(`${series} ${serial} ${theirs(arch)}`),
      })),
    },
    debian: { suite: "trixie" },
    runner: {
      version: newest.version,
      releasedAt: newest.day,
      ...twoOf((arch) => {
        const url = runnerUrl(newest.version, arch === "x86_64" ? "x64" : "arm64");
        return { url, sha256: fakeHash(url) };
      }),
    },
    fixture: { version: "1", releasedAt: "2026-11-23" },
    tools: {
      "aws-cli": {
        version: awsCli,
        ...twoOf((arch) => [{ url: awsUrl(awsCli, arch), sha256: sha256(awsZip(awsCli, arch)) }]),
      },
      rust: {
        version: rust.version,
        ...twoOf((arch) =>
          ["rustc", "rust-std", "cargo"].map((name) => {
            const url = rustUrl(name, rust.version, rust.date, arch);
            return { url, sha256: fakeHash(url) };
          }),
        ),
      },
    },
  };
}
const contents = `  "contents": {
    "common": ["ca-certificates", "curl",    "jq"],
    "ubuntu": [ "git"]
  }
`;
function inputsText(inputs: object, rest = contents): string {
  return `${JSON.stringify(inputs, null, 2).replace(/\n\}$/, ",\n")}${rest}}\n`;
}
const pluginsText = (version: string) =>
  `packer {\n  required_plugins {\n    qemu = {\n      source  = "github.com/hashicorp/qemu"\n      version = "= ${version}"\n    }\n  }\n}\n`;
const workflowText = ({ actions }: Published) =>
  Object.entries(actions)
    .flatMap(([action, version]) => {
      const uses = `uses: ${action}@${fakeCommit(`${action} ${version}`)} # v${version}`;
      return [
        `      - ${uses}`,
        "        with:",
        "          ref: main",
        `      - name: again`,
        `        ${uses}`,
      ];
    })
    .join("\n");

let folder: string;
let signer: Signer;
let server: PublishersServer;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "publishers-"));
  [signer, server] = await Promise.all([createSigner(folder), startPublishers(folder)]);
});
afterAll(async () => {
  server.stop();
  await signer.stop();
  await rm(folder, { recursive: true, force: true });
});

/** The files of a checkout in which `published` is pinned, but for the snapshot. */
async function createCheckout(snapshot = "20260901T000000Z") {
  const root = await mkdtemp(path.join(folder, "checkout-"));
  const files = {
    ".prettierrc.json": '{ "printWidth": 110 }\n',
    "image/inputs.json": inputsText(inputsOf(old, "noble", snapshot)),
    "image/plugins.pkr.hcl": pluginsText(old.plugin),
    "pins/runner-releases.json":
      '{\n  "releases": [\n    { "version": "2.337.0", "releasedAt": "2026-08-26", "deprecatedAt": "2026-12-24" }\n  ]\n}\n',
    ".github/workflows/a.yml": workflowText(old),
    ".github/workflows/b.yml": workflowText(old),
  };
  for (const [file, text] of Object.entries(files)) {
    await mkdir(path.dirname(path.join(root, file)), { recursive: true });
    await writeFile(path.join(root, file), text);
  }
  const read = async () =>
    Object.fromEntries(
      await Promise.all(
        Object.keys(files).map(
          async (file) => [file, await readFile(path.join(root, file), "utf8")] as const,
        ),
      ),
    ) as typeof files;
  return { root, files, read };
}

/** Runs `npm run pins` in a checkout. */
async function pins(root: string, answers: Answers, args: string[] = [], env: Record<string, string> = {}) {
  const clock = path.join(checkout, "test", "unit", "pins", "clock.mjs");
  const command = [
    "--import",
    clock,
    "--import",
    import.meta.resolve("tsx"),
    path.join(checkout, "pins", "cli.ts"),
  ];
  const result = await execa(process.execPath, [...command, ...args], {
    cwd: root,
    reject: false,
    env: { ...server.serve(answers), PINS_KEYS: signer.keys, TEST_NOW: now, GH_TOKEN: "", ...env },
  });
  return {
    exitCode: result.exitCode,
    table: result.stdout,
    said: result.stderr,
    errors: result.stderr.split("\n").filter((line) => /^\s*(error|bug)\b|^\s+at /.test(line)),
  };
}

/** A last resort: each run starts Node anew, which takes its time on a busy machine. */
const timeout = 180_000;

/** A run with bad answers: it fails with just these lines, in any order, and changes nothing. */
async function expectRefusal(
  change: (answers: Answers) => void | Promise<void>,
  lines: RegExp[],
  options: { args?: string[]; env?: Record<string, string>; from?: Published } = {},
) {
  const answers = await answersOf(options.from ?? recent, signer);
  await change(answers);
  const { root, files, read } = await createCheckout();
  const { exitCode, errors, table } = await pins(root, answers, options.args, options.env);
  for (const line of lines) expect(errors).toContainEqual(expect.stringMatching(line));
  expect(errors).toHaveLength(lines.length);
  expect(exitCode).toBe(1);
  expect(table).toBe("");
  expect(await read()).toEqual(files);
}

describe.concurrent("npm run pins", () => {
  it("changes nothing where nothing is newer, and says so", { timeout }, async () => {
    const { root, files, read } = await createCheckout();
    const { exitCode, table, said } = await pins(root, await answersOf(old, signer));
    expect(said).toContain("nothing to change");
    expect(exitCode).toBe(0);
    expect(await read()).toEqual(files);
    expect(table.split("\n")).toHaveLength(8);
    for (const line of table.split("\n")) expect(line).toMatch(/is the newest$/);
  });

  it("rewrites all that is newer and nothing else, and prints old → new with ages", { timeout }, async () => {
    const { root, files, read } = await createCheckout();
    const { exitCode, table, said } = await pins(root, await answersOf(recent, signer));
    expect(said).toContain("changed: ");
    expect(exitCode).toBe(0);
    const after = await read();

    const { contents: kept, ...pinned } = JSON.parse(after["image/inputs.json"]) as Record<string, unknown>;
    expect(pinned).toEqual(
      inputsOf({ ...recent, runner: recent.runner.slice(1) }, "noble", "20261125T000000Z"),
    );
    expect(kept).toEqual({ common: ["ca-certificates", "curl", "jq"], ubuntu: ["git"] });
    expect(JSON.parse(after["pins/runner-releases.json"])).toEqual({
      releases: [
        { version: "2.337.0", releasedAt: "2026-08-26", deprecatedAt: "2026-12-24" },
        { version: "2.337.1", releasedAt: "2026-11-20", deprecatedAt: null },
        { version: "2.338.0", releasedAt: "2026-10-06", deprecatedAt: null },
      ],
    });
    for (const file of ["image/inputs.json", "pins/runner-releases.json"] as const) {
      const filepath = path.join(root, file);
      expect(await check(after[file], { ...(await resolveConfig(filepath)), filepath }), file).toBe(true);
    }
    expect(after["image/plugins.pkr.hcl"]).toBe(pluginsText("1.2.0"));
    for (const file of ["a", "b"] as const)
      expect(after[`.github/workflows/${file}.yml`]).toBe(workflowText(recent));
    expect(after[".prettierrc.json"]).toBe(files[".prettierrc.json"]);

    expect(table.split("\n").map((line) => line.replaceAll(/ +/g, " "))).toEqual([
      "base image ubuntu-24.04-release-20260705 (2026-07-05, 143 days old) → ubuntu-24.04-release-20261112 (2026-11-12, 13 days old)",
      "snapshot 20260901T000000Z (2026-09-01, 85 days old) → 20261125T000000Z (2026-11-25, 0 days old)",
      "runner 2.337.0 (2026-08-26, 91 days old) → 2.338.0 (2026-10-06, 50 days old)",
      `AWS CLI 2.31.0 (${dayOf("2.31.0")}, 314 days old) → 2.40.2 (${dayOf("2.40.2")}, 255 days old)`,
      "Rust 1.98.1 (2026-09-03, 83 days old) → 1.100.0 (2026-11-12, 13 days old)",
      `Packer's QEMU plugin 1.1.4 (${dayOf("1.1.4")}, 194 days old) → 1.2.0 (${dayOf("1.2.0")}, 314 days old)`,
      `actions/checkout 7.0.1 (of unknown age) → 7.1.0 (${dayOf("7.1.0")}, 314 days old)`,
      `aws-actions/configure-aws-credentials 6.2.0 (of unknown age) → 7.0.0 (${dayOf("7.0.0")}, 314 days old)`,
    ]);
    // Once more: nothing is left to do.
    expect((await pins(root, await answersOf(recent, signer))).said).toContain("nothing to change");
  });

  it("asks for no more than what is named by --only", { timeout }, async () => {
    const { root, files, read } = await createCheckout();
    const answers: Answers = new Map();
    const releases = at.releases("actions/runner");
    answers.set(releases, (await answersOf(recent, signer)).get(releases)!);
    const { exitCode, table } = await pins(root, answers, ["--only", "runner"]);
    expect(exitCode).toBe(0);
    expect(table).toMatch(/^runner .* → 2\.338\.0/);
    const after = await read();
    const changed = Object.keys(files).filter(
      (file) => after[file as keyof typeof files] !== files[file as keyof typeof files],
    );
    expect(changed).toEqual(["image/inputs.json", "pins/runner-releases.json"]);
    expect(after["image/inputs.json"]).toContain("ubuntu-24.04-release-20260705");
  });

  it(
    "stays on its series, and moves to another by --series, which changes data alone",
    { timeout },
    async () => {
      const { root, read } = await createCheckout();
      const args = ["--only", "ubuntu", "--series", "resolute"];
      const published = { ...old, archive: recent.archive };
      const { exitCode, table } = await pins(root, await answersOf(published, signer), args);
      expect(exitCode).toBe(0);
      expect(table).toMatch(/^base image .* → ubuntu-26\.04-release-20260920/);
      const pinned: unknown = JSON.parse((await read())["image/inputs.json"]);
      expect(pinned).toMatchObject(inputsOf(old, "resolute", "20261125T000000Z"));
    },
  );

  it("keeps the snapshot while the archive has not changed since", { timeout }, async () => {
    const { root, files, read } = await createCheckout("20261120T000000Z");
    const published = { ...old, archive: "Thu, 19 Nov 2026 20:00:00 UTC" };
    const { exitCode } = await pins(root, await answersOf(published, signer), ["--only", "ubuntu"]);
    expect(exitCode).toBe(0);
    expect(await read()).toEqual(files);
  });
});

describe.concurrent(
  "npm run pins, with a bad answer of each publisher, fails with one line for each and changes nothing:",
  () => {
    const streams = /^error: base image: https:\/\/cloud-images.+download\.json: expected /;
    const listOf = (name: string) =>
      new RegExp(`^error: ${name}: https://api\\.github\\.com/repos/\\S+/releases\\?per_page=30: expected `);
    /** What each publisher is asked first. */
    const first: [string, RegExp][] = [
      [at.streams, streams],
      [at.releases("actions/runner"), listOf("runner")],
      [at.changelog, /^error: AWS CLI: https:\/\/raw\S+: expected /],
      [at.rust, /^error: Rust: https:\/\/static\S+: expected /],
      [at.releases("hashicorp/packer-plugin-qemu"), listOf("Packer's QEMU plugin")],
      [at.releases("actions/checkout"), listOf("actions/checkout")],
      [at.releases("aws-actions/configure-aws-credentials"), listOf("aws-actions/configure-aws-credentials")],
    ];
    const and = (line: RegExp, rest: RegExp) => new RegExp(line.source + rest.source);
    const everywhere = (answer: string | number) => (answers: Answers) => {
      for (const [address] of first) answers.set(address, answer);
    };
    const all = (rest: RegExp) => first.map(([, line]) => and(line, rest));

    it("HTML", { timeout }, async () => {
      const page = "<!DOCTYPE html><html><body>Please log in</body></html>";
      const json = /JSON, not HTML; look at it there/;
      await expectRefusal(everywhere(page), [
        ...[0, 1, 4, 5, 6].map((index) => and(first[index]![1], json)),
        /^error: AWS CLI: \S+CHANGELOG\.rst: expected a version as the first heading/,
        /^error: Rust: \S+toml: expected sha256 [0-9a-f]{64}, not [0-9a-f]{64}/,
      ]);
    });

    it("nothing in it", { timeout }, async () => {
      await expectRefusal(everywhere(""), all(/an answer, not an empty one; try again later$/));
    });

    it("another form", { timeout }, async () => {
      await expectRefusal(
        async (answers) => {
          everywhere(JSON.stringify({ releases: [] }))(answers);
          answers.set(at.changelog, "# Changes\n\n## 2.40.2\n");
          await setRust(answers, signer, 'manifest-version = "3"\ndate = "2026-11-12"\n');
        },
        [
          and(streams, /its known form \(products: /),
          ...[1, 4, 5, 6].map((index) => and(first[index]![1], /its known form \(all of it: /)),
          /^error: AWS CLI: .*expected a version as the first heading/,
          /^error: Rust: .*expected its known form \(manifest-version: /,
        ],
      );
    });

    it("older than what is pinned", { timeout }, async () => {
      const older: Published = {
        ...old,
        serials: { ...old.serials, noble: { version: "24.04", serial: "20260601" } },
        runner: old.runner.slice(1),
        awsCli: "2.30.9",
        rust: { version: "1.97.0", date: "2026-07-09" },
        plugin: "1.1.3",
        actions: { "actions/checkout": "6.9.9", "aws-actions/configure-aws-credentials": "6.1.9" },
      };
      const pinned = ["20260705", "2.337.0", "2.31.0", "1.98.1", "1.1.4", "7.0.1", "6.2.0"];
      await expectRefusal(
        () => undefined,
        first.map(([, line], index) =>
          and(line, new RegExp(`${pinned[index]}, which is pinned, or newer, not \\S+; try again later`)),
        ),
        { from: older },
      );
    });

    it("a checksum that is wrong", { timeout }, async () => {
      await expectRefusal(
        (answers) => {
          const swap = (address: string, from: string, to: string) => {
            const before = answers.get(address) as string;
            expect(before).toContain(from);
            answers.set(address, before.replace(from, to));
          };
          // The catalogue, the notes, the archive itself, the manifest, and the list of checksums.
          swap(at.streams, fakeHash("noble 20261112 arm64"), fakeHash("other"));
          swap(
            at.releases("actions/runner"),
            `-->${fakeHash(runnerUrl("2.338.0", "arm64"))}<`,
            `-->${fakeHash("other")}<`,
          );
          answers.set(at.zip("2.40.2", "aarch64"), "other bytes");
          swap(at.rust, fakeHash(rustUrl("cargo", "1.100.0", "2026-11-12", "x86_64")), fakeHash("other"));
          swap(
            at.pluginSums("1.2.0"),
            fakeHash("packer-plugin-qemu_v1.2.0_x5.0_linux_amd64.zip"),
            fakeHash("other"),
          );
        },
        [
          /^error: base image: .*expected sha256 [0-9a-f]{64} of ubuntu-24\.04-server-cloudimg-arm64\.img, as it is signed, not [0-9a-f]{64}; do not use it/,
          /^error: runner: .*expected actions-runner-linux-arm64-2\.338\.0\.tar\.gz to have the sha256 of its notes/,
          /^error: AWS CLI: .*aarch64-2\.40\.2\.zip\.sig: expected a signature by the key pins\/keys\/aws-cli\.gpg; do not use it/,
          /^error: Rust: .*channel-rust-stable\.toml: expected sha256 [0-9a-f]{64}, not [0-9a-f]{64}/,
          /^error: Packer's QEMU plugin: .*_SHA256SUMS: expected sha256 [0-9a-f]{64}, not [0-9a-f]{64}; do not use it/,
        ],
      );
    });

    it("a signature of somebody else", { timeout }, async () => {
      await expectRefusal(
        async (answers) => {
          for (const [address, signature] of [
            [at.sums("20261112"), ".gpg"],
            [at.zip("2.40.2", "x86_64"), ".sig"],
            [at.rust, ".asc"],
          ] as const)
            answers.set(
              address + signature,
              await signer.detached(answers.get(address) as string, "mallory"),
            );
        },
        [
          /^error: base image: .*SHA256SUMS\.gpg: expected a signature by the key pins\/keys\/ubuntu-cloud-images\.gpg/,
          /^error: AWS CLI: .*x86_64-2\.40\.2\.zip\.sig: expected a signature by the key/,
          /^error: Rust: .*\.toml\.asc: expected a signature by the key pins\/keys\/rust\.gpg/,
        ],
      );
    });

    it("other content under a version that is pinned", { timeout }, async () => {
      await expectRefusal(
        async (answers) => {
          const sums = (answers.get(at.sums("20260705")) as string).replace(
            fakeHash("noble 20260705 amd64"),
            fakeHash("other"),
          );
          answers.set(at.sums("20260705"), sums);
          answers.set(`${at.sums("20260705")}.gpg`, await signer.detached(sums));
          const replaceAll = (address: string, of: string) =>
            (answers.get(address) as string).replaceAll(fakeHash(of), fakeHash("other"));
          answers.set(at.streams, replaceAll(at.streams, "noble 20260705 amd64"));
          const runners = at.releases("actions/runner");
          answers.set(runners, replaceAll(runners, runnerUrl("2.337.0", "x64")));
          await setRust(
            answers,
            signer,
            replaceAll(at.rust, rustUrl("rustc", "1.98.1", "2026-09-03", "aarch64")),
          );
          const tag = at.tag("actions/checkout", "v7.0.1");
          answers.set(
            tag,
            (answers.get(tag) as string).replace(fakeCommit("actions/checkout 7.0.1"), fakeCommit("other")),
          );
        },
        ["base image", "runner", "Rust", "actions/checkout"].map(
          (what) =>
            new RegExp(
              `^error: ${what}: .*expected [0-9a-f]{40,64}, as pinned, not [0-9a-f]{40,64}; the same version is something else now`,
            ),
        ),
        { from: old },
      );
    });

    it("none at all", { timeout }, async () => {
      await expectRefusal(everywhere(404), all(/an answer, not 404; try again later$/));
    });

    it("none from a server that is down, after a few more tries", { timeout }, async () => {
      const { root, files, read } = await createCheckout();
      const { exitCode, errors } = await pins(root, new Map(), ["--only", "runner"], {
        PINS_MIRROR: "https://localhost:9",
      });
      expect(errors).toEqual([
        expect.stringMatching(
          /^error: runner: https:\/\/api\S+: expected an answer \(.+\); try again later$/,
        ),
      ]);
      expect(exitCode).toBe(1);
      expect(await read()).toEqual(files);
    });

    it("none to somebody without a token who asked too often", { timeout }, async () => {
      await expectRefusal(
        (answers) => void answers.set(at.releases("actions/runner"), 429),
        [/^error: runner: .*GitHub's limit of questions is used up; set GH_TOKEN/],
        { args: ["--only", "runner"] },
      );
    });
  },
);

describe.concurrent("npm run pins refuses, with one line and nothing changed,", () => {
  const snapshotOf = async (answers: Answers, suite: string, text: string, by?: "mallory") =>
    answers.set(at.inRelease(recent.snapshot, suite), await signer.inline(text, by));
  const late = "Tue, 24 Nov 2026 22:01:09 UTC";

  it.each<[string, (answers: Answers) => unknown, RegExp]>([
    [
      "a snapshot from before the base image",
      async (answers) => {
        for (const suite of ["noble-updates", "noble-security"])
          await snapshotOf(answers, suite, inRelease(suite, "noble", "Wed, 11 Nov 2026 23:00:00 UTC"));
      },
      /expected packages from 2026-11-12, the day of the base image, or later, not from 2026-11-11; the snapshots are behind/,
    ],
    [
      "a snapshot from after the day that was asked for",
      (answers) =>
        snapshotOf(
          answers,
          "noble-updates",
          inRelease("noble-updates", "noble", "Wed, 25 Nov 2026 00:00:01 UTC"),
        ),
      /expected a date until 20261125T000000Z, not Wed, 25 Nov/,
    ],
    [
      "a snapshot without a date that can be read",
      (answers) => snapshotOf(answers, "noble-updates", inRelease("noble-updates", "noble", "yesterday")),
      /expected a date until 20261125T000000Z, not yesterday/,
    ],
    [
      "a snapshot of another suite",
      (answers) => snapshotOf(answers, "noble-security", inRelease("jammy-security", "jammy", late)),
      /expected the suite noble-security, not jammy-security of jammy/,
    ],
    [
      "a snapshot that somebody else signed",
      (answers) => snapshotOf(answers, "noble", inRelease("noble", "noble", late), "mallory"),
      /expected a signature by the key pins\/keys\/ubuntu-archive\.gpg/,
    ],
    [
      "a snapshot that nobody signed",
      (answers) => answers.set(at.inRelease(recent.snapshot, "noble"), inRelease("noble", "noble", late)),
      /expected a signature by the key/,
    ],
  ])("%s", { timeout }, async (_, change, line) => {
    await expectRefusal(
      async (answers) => void (await change(answers)),
      [and(/^error: snapshot: https:\/\/snapshot\.ubuntu\.com\/ubuntu\/20261125T000000Z\S*: /, line)],
      { args: ["--only", "ubuntu"] },
    );
  });
  const and = (line: RegExp, rest: RegExp) => new RegExp(line.source + rest.source);

  it("to believe a clock that is behind a release", { timeout }, async () => {
    await expectRefusal(
      () => undefined,
      [
        /^error: runner: this machine's clock: expected 2026-10-06 or later, when 2\.338\.0 came out, not 2026-09-30; set the clock$/,
      ],
      { args: ["--only", "runner"], env: { TEST_NOW: "2026-09-30T12:00:00Z" } },
    );
  });

  it("a series that there is not, and names those there are", { timeout }, async () => {
    await expectRefusal(
      () => undefined,
      [/^error: base image: .*expected the series hardy for amd64; it has noble, resolute$/],
      { args: ["--only", "ubuntu", "--series", "hardy"] },
    );
  });

  it("--series without ubuntu", { timeout }, async () => {
    await expectRefusal(
      () => undefined,
      [/^error: --series changes the pins of ubuntu: name it with --only/],
      {
        args: ["--only", "runner", "--series", "resolute"],
      },
    );
  });

  it("to go without gpgv, and names its package", { timeout }, async () => {
    await expectRefusal(
      () => undefined,
      [/^error: gpgv is missing, which checks signatures: sudo apt-get install gpgv$/],
      {
        args: ["--only", "rust"],
        env: { PATH: folder },
      },
    );
  });

  it("everything, where one of many is wrong", { timeout }, async () => {
    await expectRefusal(
      (answers) => void answers.set(at.releases("actions/checkout"), "{}"),
      [/^error: actions\/checkout: /],
    );
  });
});
