import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { startTlsFront } from "../../engine/production/services.js";

export const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");
/** A hash, or a commit, that looks like one and is of nothing. */
export const fakeHash = (of: string) => sha256(of);
export const fakeCommit = (of: string) => sha256(of).slice(0, 40);

/** Makes signatures as publishers do, with keys of its own: theirs are not to be had. */
export interface Signer {
  /** The folder with the public key under the names of all publishers. */
  keys: string;
  /** A signature in a file of its own. `by`: somebody whose key nobody trusts. */
  detached: (text: string, by?: "mallory") => Promise<Buffer>;
  /** A text in its signature. */
  inline: (text: string, by?: "mallory") => Promise<string>;
  stop: () => Promise<void>;
}

export async function createSigner(folder: string): Promise<Signer> {
  // Short, since the agent's socket is in it.
  const home = await mkdtemp(path.join(tmpdir(), "gpg-"));
  const gpg = (args: string[], input?: string) =>
    execa("gpg", ["--homedir", home, "--batch", "--quiet", "--pinentry-mode", "loopback", ...args], {
      ...(input === undefined ? {} : { input }),
      encoding: "buffer",
      // A signature may end in any byte.
      stripFinalNewline: false,
    });
  for (const name of ["publisher", "mallory"])
    await gpg(["--passphrase", "", "--quick-gen-key", `${name}@example.org`, "ed25519", "sign", "never"]);
  const keys = path.join(folder, "keys");
  await mkdir(keys);
  const { stdout: key } = await gpg(["--export", "publisher@example.org"]);
  for (const name of ["aws-cli", "rust", "ubuntu-archive", "ubuntu-cloud-images"])
    await writeFile(path.join(keys, `${name}.gpg`), key);

  const made = new Map<string, Promise<Buffer>>();
  const sign = (kind: "--detach-sign" | "--clear-sign", text: string, by = "publisher") => {
    const id = [kind, by, text].join("\n");
    const signature =
      made.get(id) ??
      gpg(["--local-user", `${by}@example.org`, kind], text).then(({ stdout }) => Buffer.from(stdout));
    made.set(id, signature);
    return signature;
  };
  return {
    keys,
    detached: (text, by) => sign("--detach-sign", text, by),
    inline: async (text, by) => (await sign("--clear-sign", text, by)).toString("utf8"),
    stop: async () => {
      await execa("gpgconf", ["--homedir", home, "--kill", "all"]);
      await rm(home, { recursive: true, force: true });
    },
  };
}

/** What the publishers have, by URL without https://. A number is the status they answer with instead. */
export type Answers = Map<string, string | Buffer | number>;

export interface PublishersServer {
  /** Serves answers, and says what it takes to be asked for them. */
  serve: (answers: Answers) => Record<string, string>;
  stop: () => void;
}

/** All publishers behind one HTTPS server, as PINS_MIRROR describes it; each set of answers below a path of its own. */
export async function startPublishers(folder: string): Promise<PublishersServer> {
  const worlds: Answers[] = [];
  const server = createServer((request, response) => {
    const [, world, address] = /^\/(\d+)\/(.+)$/.exec(request.url!) ?? [];
    const answer = worlds[Number(world)]?.get(address!) ?? 404;
    if (typeof answer !== "number") response.end(answer);
    else if (answer === 429) response.writeHead(403, { "x-ratelimit-remaining": "0" }).end("{}");
    else response.writeHead(answer).end("<html>sorry</html>");
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const front = await startTlsFront(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, folder);
  return {
    serve: (answers) => {
      const mirror = `https://localhost:${front.port}/${worlds.push(answers) - 1}`;
      return { ...front.environment, PINS_MIRROR: mirror };
    },
    stop: () => {
      front.stop();
      server.closeAllConnections();
      server.close();
    },
  };
}

/** What is out there on one day. */
export interface Published {
  /** Serials of the base image, by series; hashes are made of them. */
  serials: Record<string, { version: string; serial: string }>;
  /** The moment of the archive's last change, as its Release files write it. */
  archive: string;
  /** The day whose snapshot is asked for. */
  snapshot: string;
  runner: { version: string; day: string }[];
  awsCli: string;
  rust: { version: string; date: string };
  plugin: string;
  /** The newest version of each action. */
  actions: Record<string, string>;
}

export const imageUrl = (series: string, version: string, serial: string, arch: string) =>
  `https://cloud-images.ubuntu.com/releases/${series}/release-${serial}/ubuntu-${version}-server-cloudimg-${arch}.img`;
export const runnerUrl = (version: string, arch: string) =>
  `https://github.com/actions/runner/releases/download/v${version}/actions-runner-linux-${arch}-${version}.tar.gz`;
export const awsUrl = (version: string, arch: string) =>
  `https://awscli.amazonaws.com/awscli-exe-linux-${arch}-${version}.zip`;
export const rustUrl = (name: string, version: string, date: string, arch: string) =>
  `https://static.rust-lang.org/dist/${date}/${name}-${version}-${arch}-unknown-linux-gnu.tar.xz`;
/** The AWS CLI's archive, as far as a hash goes. */
export const awsZip = (version: string, arch: string) => `zip of ${version} for ${arch}`;

/** The addresses of the answers that tests change. */
export const at = {
  streams: "cloud-images.ubuntu.com/releases/streams/v1/com.ubuntu.cloud:released:download.json",
  sums: (serial: string) => `cloud-images.ubuntu.com/releases/noble/release-${serial}/SHA256SUMS`,
  inRelease: (snapshot: string, suite: string) =>
    `snapshot.ubuntu.com/ubuntu/${snapshot}/dists/${suite}/InRelease`,
  releases: (repository: string) => `api.github.com/repos/${repository}/releases?per_page=30`,
  tag: (repository: string, tag: string) => `api.github.com/repos/${repository}/commits/tags/${tag}`,
  changelog: "raw.githubusercontent.com/aws/aws-cli/v2/CHANGELOG.rst",
  zip: (version: string, arch: string) => awsUrl(version, arch).replace("https://", ""),
  rust: "static.rust-lang.org/dist/channel-rust-stable.toml",
  pluginSums: (version: string) =>
    `github.com/hashicorp/packer-plugin-qemu/releases/download/v${version}/packer-plugin-qemu_v${version}_SHA256SUMS`,
};

const days: Record<string, string> = {};
/** The day on which a version of an action, a plugin or the AWS CLI came out, in these answers. */
export const dayOf = (version: string) =>
  (days[version] ??= `2026-0${(Number(version.split(".").at(-1)) % 9) + 1}-15`);

/** The answers of all publishers, each of the form that it has; what is not looked at is left out, but for a few examples of it. */
export async function answersOf(published: Published, signer: Signer): Promise<Answers> {
  const answers: Answers = new Map();
  await Promise.all([
    ubuntu(published, signer, answers),
    rust(published, signer, answers),
    awsCli(published, signer, answers),
  ]);
  runner(published, answers);
  plugin(published, answers);
  for (const [repository, version] of Object.entries(published.actions)) {
    answers.set(at.releases(repository), JSON.stringify([release(version, dayOf(version), "", [])]));
    answers.set(at.tag(repository, `v${version}`), tag(`${repository} ${version}`, dayOf(version)));
  }
  return answers;
}

async function ubuntu({ serials, archive, snapshot }: Published, signer: Signer, answers: Answers) {
  const products: Record<string, object> = {};
  for (const [series, { version, serial }] of Object.entries(serials)) {
    const files = ["amd64", "arm64", "s390x"].map((arch) => ({
      arch,
      file: `ubuntu-${version}-server-cloudimg-${arch}.img`,
      hash: fakeHash(`${series} ${serial} ${arch}`),
    }));
    for (const { arch, file, hash } of files) {
      const item = (sha256: string, day: string) => ({
        items: {
          "disk1.img": {
            ftype: "disk1.img",
            path: `server/releases/${series}/release-${day}/${file}`,
            sha256,
          },
          manifest: { ftype: "manifest" },
        },
        label: "release",
      });
      products[`com.ubuntu.cloud:server:${version}:${arch}`] = {
        ...{ arch, os: "ubuntu", release: series, version, supported: true },
        versions: {
          "20240423": item(fakeHash("of the first day"), "20240423"),
          [serial]: item(hash, serial),
        },
      };
    }
    const sums = files.map(({ file, hash }) => `${hash} *${file}\n`).join("");
    const folder = `cloud-images.ubuntu.com/releases/${series}/release-${serial}`;
    answers.set(`${folder}/SHA256SUMS`, sums);
    answers.set(`${folder}/SHA256SUMS.gpg`, await signer.detached(sums));
    for (const suite of [series, `${series}-updates`, `${series}-security`]) {
      const date = suite === series ? "Thu, 25 Apr 2024 15:10:33 UTC" : archive;
      answers.set(at.inRelease(snapshot, suite), await signer.inline(inRelease(suite, series, date)));
    }
  }
  answers.set(at.streams, JSON.stringify({ datatype: "image-downloads", format: "products:1.0", products }));
}

export function inRelease(suite: string, codename: string, date: string): string {
  return `Origin: Ubuntu\nLabel: Ubuntu\nSuite: ${suite}\nVersion: 24.04\nCodename: ${codename}\nDate: ${date}\nArchitectures: amd64 arm64\nComponents: main universe\nSHA256:\n ${fakeHash("index")} 1234 main/binary-amd64/Packages.gz\n`;
}

async function rust({ rust: { version, date } }: Published, signer: Signer, answers: Answers) {
  const parts = ["cargo", "rust-std", "rustc"].map((name) => {
    const targets = ["x86_64", "aarch64"].map((arch) => {
      const url = rustUrl(name, version, date, arch);
      return `[pkg.${name}.target.${arch}-unknown-linux-gnu]\navailable = true\nurl = "${url.replace(".xz", ".gz")}"\nhash = "${fakeHash("gz")}"\nxz_url = "${url}"\nxz_hash = "${fakeHash(url)}"\n`;
    });
    return `[pkg.${name}]\nversion = "${version} (48a229cea 2026-09-01)"\n\n[pkg.${name}.target.wasm32-wasip1]\navailable = false\n\n${targets.join("\n")}`;
  });
  await setRust(answers, signer, `manifest-version = "2"\ndate = "${date}"\n\n${parts.join("\n")}`);
}

export async function setRust(answers: Answers, signer: Signer, toml: string): Promise<void> {
  answers.set(at.rust, toml);
  answers.set(`${at.rust}.sha256`, `${sha256(toml)}  channel-rust-stable.toml\n`);
  answers.set(`${at.rust}.asc`, await signer.detached(toml));
}

async function awsCli({ awsCli: version }: Published, signer: Signer, answers: Answers) {
  answers.set(
    at.changelog,
    `=========\nCHANGELOG\n=========\n\n${version}\n======\n\n* api-change:\`\`ec2\`\`: more\n\n2.30.9\n======\n\n* less\n`,
  );
  for (const known of [version, "2.31.0"])
    answers.set(at.tag("aws/aws-cli", known), tag(`aws-cli ${known}`, dayOf(known)));
  for (const arch of ["x86_64", "aarch64"]) {
    const zip = awsZip(version, arch);
    answers.set(at.zip(version, arch), zip);
    answers.set(`${at.zip(version, arch)}.sig`, await signer.detached(zip));
  }
}

function runner({ runner: known }: Published, answers: Answers) {
  const list = known.map(({ version, day }) => {
    const files = ["x64", "arm64"].map((arch) => ({ arch, url: runnerUrl(version, arch) }));
    const notes = files.map(
      ({ arch, url }) =>
        `- ${path.basename(url)} <!-- BEGIN SHA linux-${arch} -->${fakeHash(url)}<!-- END SHA linux-${arch} -->\n`,
    );
    return release(
      version,
      day,
      `## What's Changed\n${notes.join("")}`,
      files.map(({ url }) => [url, fakeHash(url)]),
    );
  });
  const draft = { ...release("9.9.9", "2026-11-01", "", []), draft: true };
  answers.set(at.releases("actions/runner"), JSON.stringify([draft, ...list]));
}

function plugin({ plugin: version }: Published, answers: Answers) {
  const base = `packer-plugin-qemu_v${version}`;
  const zips = ["amd64", "arm64", "s390x"].map((arch) => `${base}_x5.0_linux_${arch}.zip`);
  const sums = zips.map((zip) => `${fakeHash(zip)}  ${zip}\n`).join("");
  const folder = `https://${path.dirname(at.pluginSums(version))}`;
  answers.set(at.pluginSums(version), sums);
  answers.set(
    at.releases("hashicorp/packer-plugin-qemu"),
    JSON.stringify([
      release(version, dayOf(version), "notes", [
        [`${folder}/${base}_SHA256SUMS`, sha256(sums)],
        ...zips.map((zip): [string, string] => [`${folder}/${zip}`, fakeHash(zip)]),
      ]),
      ...(version === "1.2.0" ? [release("1.1.4", dayOf("1.1.4"), "notes", [])] : []),
    ]),
  );
}

function release(version: string, day: string, body: string, assets: [url: string, sha256: string][]) {
  return {
    ...{ tag_name: `v${version}`, name: `v${version}`, draft: false, prerelease: false, body },
    published_at: `${day}T14:03:21Z`,
    assets: assets.map(([url, hash]) => ({
      name: path.basename(url),
      ...{ size: 4321, browser_download_url: url, digest: `sha256:${hash}` },
    })),
  };
}

function tag(of: string, day: string): string {
  return JSON.stringify({
    sha: fakeCommit(of),
    commit: { committer: { name: "GitHub", date: `${day}T14:00:00Z` } },
  });
}
