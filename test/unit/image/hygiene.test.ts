import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { guestFacts, judgeGuest } from "../../../release/inspect/guest.js";

/** What the guest says of itself, said of a folder: the script is the image's own. */
const script = path.resolve(import.meta.dirname, "../../../image/files/usr/lib/runner-image/hygiene");

let root: string;
let timers: string;
beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), "runner-images-hygiene-"));
  timers = "";
  await put("etc/passwd", "root:x:0:0:root:/root:/bin/bash\ngha:x:1000:1000::/gha:/bin/bash\n");
  await put("etc/shadow", "root:*:20000::::::\ngha:!:20000::::::\n");
  await put("etc/sudoers", "# comment\nroot\tALL=(ALL:ALL) ALL\n");
  await put("etc/sudoers.d/gha", "gha ALL=(ALL) NOPASSWD: ALL\n");
  await put("root/.bashrc", "\n");
  await put("usr/bin/su", "", "4755");
  await put("etc/id_of", "");
});
afterEach(() => rm(root, { recursive: true }));

async function put(file: string, text: string, mode = "644"): Promise<void> {
  await mkdir(path.dirname(path.join(root, file)), { recursive: true });
  await writeFile(path.join(root, file), text);
  await execa("chmod", [mode, path.join(root, file)]);
}

async function facts() {
  const tools = await mkdtemp(path.join(tmpdir(), "runner-images-tools-"));
  try {
    await writeFile(path.join(tools, "systemctl"), `#!/bin/sh\nprintf '${timers}'\n`, { mode: 0o755 });
    const { stdout } = await execa(script, [root], { env: { PATH: `${tools}:${process.env.PATH}` } });
    return { text: stdout, facts: guestFacts.parse(JSON.parse(stdout)) };
  } finally {
    await rm(tools, { recursive: true });
  }
}

describe("the guest's own account of what no image may hold", () => {
  it("has nothing in it of a good system", async () => {
    expect(judgeGuest((await facts()).facts)).toEqual([]);
  });

  it.each<[string, string, string, string?]>([
    ["password", "etc/shadow", "gha:!$6$salt$hash:20000::::::\n"],
    ["user", "etc/passwd", "build:x:1001:1001::/:/bin/sh\n"],
    ["sudoers", "etc/sudoers.d/build", "build ALL=(ALL) ALL\n"],
    ["authorized-keys", "gha/.ssh/authorized_keys", "ssh-ed25519 AAAA\n"],
    ["private-key", "gha/.ssh/id_rsa", ""],
    ["private-key", "etc/ssl/private/own.key", ""],
    ["cloud-init", "var/lib/cloud/data/instance-id", ""],
    ["cloud-init", "etc/netplan/50-cloud-init.yaml", ""],
    ["apt-lists", "var/lib/apt/lists/partial/Packages", "Package: dash\n"],
    ["package-cache", "var/cache/apt/archives/dash.deb", "!<arch>\n"],
    ["history", "gha/.bash_history", ""],
    ["history", "gha/.viminfo", ""],
    ["leftover", "root/script", ""],
    ["setuid", "opt/tool", "", "4755"],
    ["setgid", "opt/tool", "", "2755"],
    ["world-writable", "opt/a tool", "", "666"],
  ])("has a %s in it: %s", async (rule, file, text, mode) => {
    await put(file, text, mode);
    const findings = judgeGuest((await facts()).facts);
    expect(findings.map(({ rule, path }) => `${rule} ${path}`)).toEqual([`${rule} /${file}`]);
  });

  it("has each timer in it that waits for its time", async () => {
    timers = "apt-daily.timer loaded active waiting Daily apt\\nfstrim.timer loaded active waiting Trim\\n";
    const findings = judgeGuest((await facts()).facts);
    expect(findings.map(({ path }) => path)).toEqual(["apt-daily.timer", "fstrim.timer"]);
  });

  it("has no password's hash in it", async () => {
    await put("etc/shadow", "root:$6$salt$hash:20000::::::\ngha:!$y$salt$hash:20000::::::\nme::1::::::\n");
    const { text, facts: said } = await facts();
    expect(said.shadow).toBe("root:x:20000::::::\ngha:!x:20000::::::\nme::1::::::");
    expect(text).not.toContain("hash");
  });

  it("stays a report, however much is wrong", async () => {
    await mkdir(path.join(root, "home"));
    await Promise.all(
      Array.from({ length: 2_500 }, (_, index) => writeFile(path.join(root, "home", `${index}`), "")),
    );
    expect((await facts()).facts.files).toHaveLength(2_000);
  });
});
