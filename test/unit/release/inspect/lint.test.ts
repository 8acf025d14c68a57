import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { withDisk } from "../../../../release/inspect/disk.js";
import { lintDisk } from "../../../../release/inspect/lint.js";
import { toolPath } from "../../../../release/process/tools.js";

/*
 * Real ext4 file systems, small ones: a good one has no finding, and each that a test sabotages in one way has that one.
 */

let folder: string;
/** What is put onto the good disk. */
let extra: string;
let disk: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "runner-images-lint-"));
  extra = path.join(folder, "extra");
  disk = path.join(folder, "disk.qcow2");
  await mkdir(extra);
});
afterEach(() => rm(folder, { recursive: true }));

const env = { PATH: toolPath() };
const script = path.resolve(import.meta.dirname, "../../../engine/fake-image/make-disk");
const makeDisk = () => execa(script, [disk, "a".repeat(40), "x86_64", "fixture", "1000", extra]);

async function put(file: string, text: string, mode = 0o644): Promise<void> {
  await mkdir(path.dirname(path.join(extra, file)), { recursive: true });
  await writeFile(path.join(extra, file), text);
  await execa("chmod", [mode.toString(8), path.join(extra, file)]);
}

async function enable(timer: string): Promise<void> {
  const wants = path.join(extra, "usr/lib/systemd/system/timers.target.wants");
  await mkdir(wants, { recursive: true });
  await symlink(`../${timer}`, path.join(wants, timer));
}

/** The findings, as lines. */
async function lint(): Promise<string[]> {
  const findings = await withDisk(disk, lintDisk);
  return findings.map(({ rule, path, what }) => `${rule} ${path}: ${what}`);
}

const root = "root:x:0:0:root:/root:/bin/bash\n";
const locked = "root:!:20000::::::\n";
// In halves, so that nobody's scanner takes this file for a place with secrets.
const pem = [
  "-----BEGIN OPENSSH PRIVATE",
  `KEY-----\n${"b3BlbnNzaC1rZXktdjEAAAAABG5vbmU\n".repeat(8)}-----END OPENSSH PRIVATE`,
  "KEY-----\n",
].join(" ");
const githubToken = ["ghp", "wWPw5k4aXcaT4fNP0UcnZwJUVFk6LO0pINUx"].join("_");
const awsKey = ["wJalrXUtnFEMI", "K7MDENG", "bPxRfiCYnoEXAMPLE1"].join("/");

describe("a disk", () => {
  it("that is good has no finding, and leaves nothing beside it", async () => {
    await makeDisk();
    expect(await lint()).toEqual([]);
    expect((await readdir(folder)).sort()).toEqual(["disk.qcow2", "extra"]);
  });

  it.each<[string, () => Promise<unknown>, RegExp]>([
    [
      "a password",
      () => put("etc/shadow", `${locked}gha:$6$salt$hash:20000::::::\n`),
      /^password \/etc\/shadow: gha has a password$/,
    ],
    [
      "another user",
      () => put("etc/passwd", `${root}build:x:1001:1001::/:/bin/bash\n`),
      /^user \/etc\/passwd: build is no account of the system$/,
    ],
    [
      "a right to sudo",
      () =>
        put("etc/sudoers.d/90-cloud-init-users", "# by cloud-init\nbuild ALL=(ALL) NOPASSWD:ALL\n", 0o440),
      /^sudoers \/etc\/sudoers\.d\/90-cloud-init-users: grants what it should not to build$/,
    ],
    [
      "somebody's public key",
      () => put("gha/.ssh/authorized_keys", "ssh-ed25519 AAAA\n", 0o600),
      /^authorized-keys \/gha\/\.ssh\/authorized_keys: /,
    ],
    [
      "an SSH host key",
      () => put("etc/ssh/ssh_host_rsa_key.pub", "ssh-rsa AAAA\n"),
      /^host-key \/etc\/ssh\/ssh_host_rsa_key\.pub: /,
    ],
    [
      "a machine-id",
      () => put("etc/machine-id", `${"1".repeat(32)}\n`),
      /^machine-id \/etc\/machine-id: is not empty$/,
    ],
    [
      "a random seed",
      () => put("var/lib/systemd/random-seed", "seed"),
      /^random-seed \/var\/lib\/systemd\/random-seed: /,
    ],
    [
      "cloud-init's state",
      () => put("var/lib/cloud/data/instance-id", "build\n"),
      /^cloud-init \/var\/lib\/cloud\/data\/instance-id: /,
    ],
    [
      "apt lists",
      () => put("var/lib/apt/lists/mirror_dists_Packages", "Package: dash\n"),
      /^apt-lists \/var\/lib\/apt\/lists\/mirror_/,
    ],
    [
      "a downloaded package",
      () => put("var/cache/apt/archives/dash.deb", "!<arch>\n"),
      /^package-cache \/var\/cache\/apt\/archives\/dash\.deb: /,
    ],
    [
      "a log",
      () => put("var/log/apt/history.log", "Start-Date: today\n"),
      /^log \/var\/log\/apt\/history\.log: /,
    ],
    ["a history", () => put("gha/.bash_history", "ls\n"), /^history \/gha\/\.bash_history: /],
    ["something left by the build", () => put("root/payload/seal.sh", ""), /^leftover \/root\/payload: /],
    ["a setuid program", () => put("opt/tool", "", 0o4755), /^setuid \/opt\/tool: mode 4755, /],
    ["a setgid program", () => put("opt/tool", "", 0o2755), /^setgid \/opt\/tool: mode 2755, /],
    [
      "a world-writable file with a line break in its name",
      () => put("opt/a\nb", "", 0o666),
      /^world-writable \/opt\/a\nb: mode 666, /,
    ],
    [
      "an enabled timer",
      () => enable("apt-daily.timer"),
      /^timer \/usr\/lib\/systemd\/system\/timers\.target\.wants\/apt-daily\.timer: /,
    ],
    [
      "a private key in a setting",
      () => put("etc/tls/server.conf", `key:\n${pem}`),
      /^secret \/etc\/tls\/server\.conf: PrivateKey$/,
    ],
    [
      "an AWS key",
      () => put("opt/deploy.env", `AWS_SECRET_ACCESS_KEY=${awsKey}\n`),
      /^secret \/opt\/deploy\.env: AWSSecretAccessKey$/,
    ],
    [
      "a token of GitHub",
      () => put("gha/.netrc", `machine github.com password ${githubToken}\n`),
      /^secret \/gha\/\.netrc: GITHUB_TOKEN$/,
    ],
  ])("with %s has that finding alone", async (_, sabotage, finding) => {
    await sabotage();
    await makeDisk();
    const findings = await lint();
    expect(findings).toHaveLength(1);
    expect(findings[0]).toMatch(finding);
  });

  /** Changes the file system itself. */
  async function damage(...commands: string[]): Promise<void> {
    await makeDisk();
    const raw = path.join(folder, "raw");
    await execa("qemu-img", ["convert", "-f", "qcow2", "-O", "raw", disk, raw]);
    for (const command of commands)
      await execa("debugfs", ["-w", "-R", command, `${raw}?offset=1048576`], { env });
    await execa("qemu-img", ["convert", "-f", "raw", "-O", "qcow2", raw, disk]);
    await rm(raw);
  }

  it.each([
    [
      "that was not unmounted",
      ["feature has_journal", "feature needs_recovery"],
      /^file-system \/: its journal was not written back: it was not unmounted$/,
    ],
    ["in use when it was copied", ["set_super_value state 0"], /^file-system \/: its state is "not clean"$/],
    [
      "whose files are shared where they should not be",
      ["set_inode_field /random links_count 7"],
      /^file-system \/: Inode \d+ ref count is 7, should be 1\.$/,
    ],
  ])("%s has a finding about its file system", async (_, commands, finding) => {
    await damage(...commands);
    const findings = await lint();
    expect(findings).toHaveLength(1);
    expect(findings[0]).toMatch(finding);
  });

  it("hides nothing below a folder whose owner has so large a number that debugfs prints it below zero", async () => {
    await put("opt/theirs/tool", "", 0o4755);
    await damage("set_inode_field /opt/theirs uid 4294967294");
    expect(await lint()).toEqual([expect.stringMatching(/^setuid \/opt\/theirs\/tool: mode 4755, /)]);
  });

  it("with a timer that is masked has no finding", async () => {
    await enable("apt-daily.timer");
    await mkdir(path.join(extra, "etc/systemd/system"), { recursive: true });
    await symlink("/dev/null", path.join(extra, "etc/systemd/system/apt-daily.timer"));
    await makeDisk();
    expect(await lint()).toEqual([]);
  });

  it("never has a secret in what is said of it", async () => {
    await put("gha/.netrc", githubToken);
    await makeDisk();
    expect((await lint()).join()).not.toContain(githubToken.slice(4));
  });

  it("without accounts is no image, which is one line", async () => {
    await damage("rm /etc/shadow");
    await expect(lint()).rejects.toThrow(/^\S+ is no image of this project: \/etc\/shadow is missing on it$/);
  });

  it("that cannot be read is one line, and leaves nothing beside it", async () => {
    await writeFile(disk, "no disk");
    await expect(lint()).rejects.toThrow(/^\S+ cannot be read as an image's disk: .*$/);
    expect((await readdir(folder)).sort()).toEqual(["disk.qcow2", "extra"]);
  });
});
