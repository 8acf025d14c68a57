import { readdirSync, readFileSync } from "node:fs";
import { mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { architectures, sha256Pattern } from "../../../release/store/keys.js";

const image = new URL("../../../image/", import.meta.url);
const read = (file: string) => readFileSync(new URL(file, image), "utf8");

const download = z.strictObject({ url: z.httpUrl(), sha256: z.string().regex(sha256Pattern) });
const perArchitecture = { x86_64: download, aarch64: download };
const packages = z.array(z.string().regex(/^[a-z0-9][a-z0-9+.-]+$/)).optional();
const content = z.strictObject({
  name: z.string().regex(/^[a-z][a-z-]+$/),
  for: z.string().min(1),
  check: z.string().min(1),
  packages,
  ubuntu: z.strictObject({ packages, tool: z.string().optional() }).optional(),
  debian: z.strictObject({ packages }).optional(),
});
const inputs = z.strictObject({
  ubuntu: z.strictObject({
    series: z.string().regex(/^[a-z]+$/),
    name: z.string(),
    snapshot: z.string().regex(/^\d{8}T\d{6}Z$/),
    ...perArchitecture,
  }),
  debian: z.strictObject({ suite: z.string() }),
  runner: z.strictObject({
    version: z.string(),
    releasedAt: z.iso.date(),
    ...perArchitecture,
  }),
  fixture: z.strictObject({ version: z.string(), releasedAt: z.iso.date() }),
  tools: z.record(
    z.string(),
    z.strictObject({ version: z.string(), x86_64: z.array(download), aarch64: z.array(download) }),
  ),
  contents: z.strictObject({ small: z.array(content), full: z.array(content) }),
});

describe("the pinned inputs", () => {
  const pinned = inputs.parse(JSON.parse(read("inputs.json")));

  it("are encrypted downloads, one of its own for each architecture", () => {
    for (const kind of ["ubuntu", "runner"] as const) {
      const downloads = architectures.map((arch) => pinned[kind][arch]);
      expect(downloads.every(({ url }) => url.startsWith("https://"))).toBe(true);
      expect(new Set(downloads.map(({ sha256 }) => sha256)).size).toBe(architectures.length);
    }
  });

  it("take the runner and the base image of the version they name", () => {
    for (const arch of architectures) {
      expect(pinned.runner[arch].url).toContain(`/v${pinned.runner.version}/`);
      expect(pinned.runner[arch].url).toContain(`-${pinned.runner.version}.tar.gz`);
      expect(pinned.ubuntu[arch].url).toContain(`/${pinned.ubuntu.name.replace(/^ubuntu-[\d.]+-/, "")}/`);
    }
  });

  it("see no packages from before the base image", () => {
    const built = /\d{8}$/.exec(pinned.ubuntu.name)?.[0] ?? "";
    expect(pinned.ubuntu.snapshot.slice(0, 8) >= built).toBe(true);
  });
});

describe("the contents", () => {
  const { contents, tools } = inputs.parse(JSON.parse(read("inputs.json")));
  const all = [...contents.small, ...contents.full];

  it("are each named once, and in the order of their names", () => {
    for (const list of Object.values(contents)) {
      const names = list.map(({ name }) => name);
      expect(names).toEqual([...new Set(names)].sort());
    }
    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
  });

  it("have on every base what they have on one, be it a package or a tool", () => {
    for (const { name, packages, ubuntu, debian } of all) {
      const count = (own: typeof ubuntu) =>
        (packages?.length ?? 0) + (own?.packages?.length ?? 0) + (own?.tool === undefined ? 0 : 1);
      expect(count(ubuntu) > 0, name).toBe(count(debian) > 0);
    }
  });

  it("take every pinned tool, each an encrypted download of its version with a script that installs it", () => {
    expect(all.flatMap(({ ubuntu }) => ubuntu?.tool ?? []).sort()).toEqual(Object.keys(tools).sort());
    for (const [name, { version, ...files }] of Object.entries(tools)) {
      expect(read("scripts/40-tools.sh"), name).toMatch(new RegExp(`^    ${name}\\) `, "m"));
      for (const { url } of Object.values(files).flat()) {
        expect(url).toMatch(/^https:\/\//);
        expect(url).toContain(`-${version}`);
      }
    }
  });

  it("stand in image/README.md with what they are for", () => {
    const rows = [...read("README.md").matchAll(/^\| `([a-z-]+)` +\| (small|full) +\| (.+?) +\|/gm)];
    expect(rows.map(([, name, profile, reason]) => ({ name, profile, for: reason }))).toEqual(
      Object.entries(contents).flatMap(([profile, list]) =>
        list.map(({ name, for: reason }) => ({ name, profile, for: reason })),
      ),
    );
  });
});

describe("what the replaced image holds", () => {
  it("is proven in the guest by contents and boot checks that there are", () => {
    const { contents } = inputs.parse(JSON.parse(read("inputs.json")));
    const checks = read("../release/boot/boot-checks.ts");
    const [, rows = ""] = read("README.md").split(/^\| there .*\n.*\n/m);
    const proofs = rows
      .split("\n\n", 1)[0]!
      .split("\n")
      .map((row) => row.split("|")[3]!);
    expect(proofs.length).toBeGreaterThan(10);
    const names = proofs.flatMap((proof) => [...proof.matchAll(/`([^`]+)`/g)].map(([, name]) => name!));
    const known = [...contents.small, ...contents.full].map(({ name }) => name);
    expect(names.filter((name) => !known.includes(name) && !checks.includes(`"${name}"`))).toEqual([]);
  });
});

describe("the scripts", () => {
  const scripts = readdirSync(new URL("scripts/", image)).sort();
  const numbered = scripts.filter((name) => /^\d/.test(name));

  it("are all listed in the template, in the order of their numbers", () => {
    const listed = [...read("ubuntu.pkr.hcl").matchAll(/"scripts\/(.+?)"/g)].map(([, name]) => name);
    expect(listed).toEqual(numbered);
  });

  it("say what they change and stop at the first failure", () => {
    for (const name of scripts) {
      const [shebang, comment, ...lines] = read(`scripts/${name}`).split("\n");
      expect(shebang).toBe("#!/bin/bash");
      expect(comment).toMatch(/^# [A-Z]/);
      expect(lines).toContain("set -euo pipefail");
    }
  });
});

describe("the template", () => {
  it("has no required_plugins, which Debian's Packer 1.6.6 rejects, but in a file of its own", () => {
    expect(read("ubuntu.pkr.hcl")).not.toContain("required_plugins");
    expect(read("plugins.pkr.hcl")).toMatch(/version = "= [\d.]+"/);
  });

  it("forwards SSH on loopback only, and logs in with a key", () => {
    const template = read("ubuntu.pkr.hcl");
    expect(template.match(/hostfwd=[^"]+/g)).toEqual(["hostfwd=tcp:127.0.0.1:{{ .SSHHostPort }}-:22"]);
    expect(template).toContain("ssh_private_key_file");
    expect(template).not.toContain("ssh_password");
  });
});

describe("the build's access", () => {
  it("is by key alone, and is removed by the script that seals the image", () => {
    expect(read("cloud-init/user-data")).toMatch(/lock_passwd: true[^]*ssh_pwauth: false/);
    expect(read("scripts/seal.sh")).toMatch(/userdel --force --remove build[^]*rm -rf [^\n]* \/root\/\.ssh/);
  });
});

describe("make", () => {
  it("says in one line what a machine lacks that has not even setpriv", async () => {
    const bin = await mkdtemp(path.join(tmpdir(), "bin-"));
    for (const tool of ["bash", "dirname", "env", "git", "make", "realpath", "sh", "uname"])
      await symlink((await execa("sh", ["-c", `command -v ${tool}`])).stdout, path.join(bin, tool));
    const settings = ["BASE=debian", "RUNNER=fixture", `COMMIT=${"0".repeat(40)}`, `CACHE_DIR=${bin}`];
    const { stderr, exitCode } = await execa(
      "make",
      ["-s", "-C", fileURLToPath(image), "x86_64-emul", ...settings],
      {
        env: { PATH: bin },
        extendEnv: false,
        reject: false,
      },
    );
    await rm(bin, { recursive: true });
    expect(exitCode).not.toBe(0);
    const [said, ...rest] = stderr.split("\n").filter((line) => !line.startsWith("make"));
    expect(said).toMatch(
      /^error: ubuntu-x86_64: tools are missing; install them: apt-get install .*util-linux/,
    );
    expect(rest).toEqual([]);
  });
});
