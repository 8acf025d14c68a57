import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Entry } from "../../../../release/inspect/disk.js";
import { judgeGuest, guestFacts, type GuestFacts } from "../../../../release/inspect/guest.js";
import {
  judgeIdentity,
  judgePasswords,
  judgePaths,
  judgePermissions,
  judgeSudoers,
  judgeTimers,
  judgeUsers,
  rules,
  summarize,
  type Finding,
} from "../../../../release/inspect/rules.js";
import { readOwned, suspects } from "../../../../release/inspect/secrets.js";

const names = (findings: Finding[]) => findings.map(({ rule, path }) => `${rule} ${path}`);
function entry(path: string, changes: Partial<Entry> = {}): Entry {
  return { path, kind: "file", mode: 0o644, bytes: 1, ...changes };
}
const folder = (path: string, mode = 0o755): Entry => entry(path, { kind: "directory", mode, bytes: 0 });

describe("a password", () => {
  it.each([
    ["!", null],
    ["*", null],
    ["!!", null],
    ["!*", null],
    ["", "root logs in without a password"],
    ["$y$j9T$salt$hash", "root has a password"],
    ["!$y$j9T$salt$hash", "root has a password"],
    ["x", "root has a password"],
  ])("field %j is judged: %s", (field, what) => {
    expect(judgePasswords(`root:${field}:20000:0:99999:7:::\n`).map(({ what }) => what)).toEqual(
      what === null ? [] : [what],
    );
  });
});

describe("an account", () => {
  it.each([
    ["root:x:0:0:root:/root:/bin/bash", []],
    ["gha:x:1000:1000::/gha:/bin/bash", []],
    ["nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin", []],
    ["sshd:x:101:65534::/run/sshd:/usr/sbin/nologin", []],
    ["tss:x:102:102::/var/lib/tpm:/bin/false", []],
    ["sync:x:4:65534:sync:/bin:/bin/sync", []],
    ["toor:x:0:0::/root:/usr/sbin/nologin", ["toor is root by another name"]],
    ["root:x:1000:0::/root:/bin/bash", ["root is no account of the system"]],
    ["ubuntu:x:1000:1000::/home/ubuntu:/usr/sbin/nologin", ["ubuntu is no account of the system"]],
    ["lxd:x:999:100::/var/snap/lxd:/bin/sh", ["lxd can log in, with /bin/sh"]],
    ["empty:x:999:100::/:", ["empty can log in, with "]],
    ["gha::1000:1000::/gha:/bin/bash", ["gha has its password here instead of in /etc/shadow"]],
  ])("%s is judged: %j", (line, what) => {
    expect(judgeUsers(`${line}\n`).map((finding) => finding.what)).toEqual(what);
  });
});

describe("a line of sudoers", () => {
  it.each([
    ["", true],
    ["# build ALL=(ALL) ALL", true],
    ["@includedir /etc/sudoers.d", true],
    ["Defaults\tenv_reset", true],
    ["root\tALL=(ALL:ALL) ALL", true],
    ["%sudo\tALL=(ALL:ALL) ALL", true],
    ["gha ALL=(ALL) NOPASSWD: ALL", true],
    ["build ALL=(ALL) NOPASSWD:ALL", false],
    ["%sudo ALL=(ALL:ALL) NOPASSWD: ALL", false],
    ["@include /tmp/grants", false],
  ])("%j is expected: %s", (line, expected) => {
    expect(names(judgeSudoers([{ path: "/etc/sudoers", line }]))).toEqual(
      expected ? [] : ["sudoers /etc/sudoers"],
    );
  });
});

describe("a name", () => {
  it.each<[Entry, string | null, string | null]>([
    [entry("/root/.ssh/authorized_keys"), "authorized-keys", "authorized-keys"],
    [entry("/root/.ssh/authorized_keys", { bytes: 0 }), null, null],
    [entry("/gha/.ssh/id_ed25519"), "private-key", "private-key"],
    [entry("/gha/.ssh/id_ed25519.pub"), null, null],
    [entry("/etc/ssl/private/ssl-cert-snakeoil.key"), "private-key", "private-key"],
    [entry("/etc/ssh/ssh_host_ed25519_key"), "host-key", null],
    [entry("/var/lib/dbus/machine-id", { kind: "link", bytes: 15 }), null, null],
    [entry("/var/lib/dbus/machine-id"), "machine-id", null],
    [entry("/var/lib/systemd/credential.secret"), "random-seed", null],
    [folder("/var/lib/cloud/instances"), null, null],
    [entry("/var/lib/cloud/instance", { kind: "link" }), "cloud-init", "cloud-init"],
    [entry("/var/lib/apt/lists/lock", { bytes: 0 }), null, null],
    [entry("/var/lib/apt/lists/partial/Packages"), "apt-lists", "apt-lists"],
    [entry("/var/cache/apt/pkgcache.bin"), "package-cache", "package-cache"],
    [entry("/var/log/wtmp", { bytes: 0 }), null, null],
    [entry("/var/log/wtmp"), "log", null],
    [folder("/var/log/journal"), null, null],
    [folder("/var/log/journal/0123"), "log", null],
    [entry("/gha/.python_history"), "history", "history"],
    [entry("/gha/.node_repl_history"), "history", "history"],
    [entry("/gha/history"), null, null],
    [folder("/root"), null, null],
    [entry("/root/.bashrc"), null, null],
    [entry("/root/.cache"), "leftover", "leftover"],
    [folder("/home/ubuntu"), "leftover", "leftover"],
    [folder("/tmp"), null, null],
    [folder("/tmp/.X11-unix"), null, null],
    [folder("/tmp/payload"), "leftover", null],
    [entry("/etc/shadow-"), "leftover", null],
    [entry("/var/crash/core.1"), "leftover", null],
  ])("is judged on the disk and in the guest: %o", (one, onDisk, inGuest) => {
    expect(judgePaths([one], "disk").map(({ rule }) => rule)).toEqual(onDisk === null ? [] : [onDisk]);
    expect(judgePaths([one], "guest").map(({ rule }) => rule)).toEqual(inGuest === null ? [] : [inGuest]);
  });
});

describe("a permission", () => {
  it.each<[Entry, string[]]>([
    [entry("/usr/bin/sudo", { mode: 0o4755 }), []],
    [entry("/usr/bin/passwd", { mode: 0o4755 }), []],
    [entry("/usr/libexec/polkit-1/polkit-agent-helper-1", { mode: 0o4755 }), []],
    [entry("/usr/lib/x86_64-linux-gnu/utempter/utempter", { mode: 0o2755 }), []],
    [entry("/usr/bin/sudo", { mode: 0o6755 }), ["setgid"]],
    [entry("/usr/bin/sudo", { mode: 0o4757 }), ["world-writable"]],
    [entry("/usr/local/bin/sudo", { mode: 0o4755 }), ["setuid"]],
    [entry("/gha/.cargo/bin/cargo", { mode: 0o777 }), ["world-writable"]],
    [entry("/bin", { kind: "link", mode: 0o777 }), []],
    [folder("/usr/local/lib", 0o2775), []],
    [folder("/tmp", 0o1777), []],
    [folder("/var/tmp/systemd-private-5527f2e5-systemd-logind.service-1chrbc/tmp", 0o1777), []],
    [folder("/opt/cache", 0o1777), ["world-writable"]],
    [entry("/dev/null", { kind: "other", mode: 0o666 }), []],
    [entry("/opt/pipe", { kind: "other", mode: 0o666 }), ["world-writable"]],
  ])("that is not listed with a reason is found: %o", (one, found) => {
    expect(judgePermissions([one]).map(({ rule }) => rule)).toEqual(found);
  });
});

describe("the identity of VMs", () => {
  const machineId = entry("/etc/machine-id", { bytes: 0 });
  const installed = entry("/usr/bin/cloud-init");
  const disabled = entry("/etc/cloud/cloud-init.disabled", { bytes: 0 });
  it.each<[string, Entry[], string[]]>([
    ["is their own", [machineId], []],
    ["is their own, with cloud-init switched off", [machineId, installed, disabled], []],
    ["is the build's", [entry("/etc/machine-id")], ["machine-id /etc/machine-id"]],
    ["is missing", [], ["machine-id /etc/machine-id"]],
    ["is configured anew", [machineId, installed], ["cloud-init /etc/cloud/cloud-init.disabled"]],
  ])("%s", (_, entries, found) => {
    expect(names(judgeIdentity(entries))).toEqual(found);
  });
});

describe("a timer", () => {
  it.each<[string, string[], boolean]>([
    ["/usr/lib/systemd/system/timers.target.wants/fstrim.timer", [], true],
    ["/etc/systemd/system/multi-user.target.requires/own.timer", [], true],
    ["/etc/systemd/system/multi-user.target.wants/cron.service", [], true],
    ["/usr/lib/systemd/system/timers.target.wants/fstrim.timer", ["fstrim.timer"], false],
    ["/usr/lib/systemd/system/fstrim.timer", [], false],
    ["/etc/systemd/system/multi-user.target.wants/ssh.service", [], false],
  ])("%s, masked: %j, would run: %s", (path, masked, runs) => {
    const link = entry(path, { kind: "link", mode: 0o777 });
    expect(names(judgeTimers([link], new Set(masked)))).toEqual(runs ? [`timer ${path}`] : []);
  });
});

describe("a file that is scanned for secrets", () => {
  const md5 = "d".repeat(32);
  const owned = readOwned(`Package: one\nConffiles:\n /etc/one ${md5}\n /etc/old ${md5} obsolete\n`, [
    "/.\n/etc/one\n/bin/tool\n/usr/share/one\n",
  ]);
  it.each<[Entry, boolean]>([
    [entry("/opt/own"), true],
    [entry("/etc/one"), true],
    [entry("/usr/share/one"), false],
    [entry("/usr/bin/tool"), false],
    [entry("/opt/empty", { bytes: 0 }), false],
    [entry("/opt/large", { bytes: 2 ** 20 + 1 }), false],
    [folder("/opt"), false],
    [entry("/var/lib/dpkg/info/one.list"), false],
    [entry("/gha/externals/node20/README.md"), false],
    [entry("/gha/.netrc"), true],
  ])("is one of no package, or a setting: %o", (one, scanned) => {
    expect(suspects([{ ...one, inode: 12 }], owned)).toHaveLength(scanned ? 1 : 0);
  });

  it("has the sum its package gave it", () => {
    expect([...owned.conffiles]).toEqual([
      ["/etc/one", md5],
      ["/etc/old", md5],
    ]);
  });
});

describe("a guest", () => {
  const good: GuestFacts = {
    passwd: "root:x:0:0:root:/root:/bin/bash\ngha:x:1000:1000::/gha:/bin/bash\n",
    shadow: "root:*:20000::::::\ngha:!:20000::::::\n",
    sudoers: ["/etc/sudoers:root\tALL=(ALL:ALL) ALL", "/etc/sudoers.d/gha:gha ALL=(ALL) NOPASSWD: ALL"],
    timers: [],
    files: [
      "f 4755 72000 /usr/bin/su",
      "d 1777 4096 /tmp",
      "f 644 570 /root/.bashrc",
      "f 600 9 /etc/shadow-",
    ],
  };

  it("passes when nothing undid what the disk was", () => {
    expect(judgeGuest(guestFacts.parse(good))).toEqual([]);
  });

  it.each<[string, Partial<GuestFacts>, string]>([
    ["a password", { shadow: "root:x:20000::::::\n" }, "password /etc/shadow"],
    ["a user", { passwd: "me:x:1001:1001::/:/bin/sh\n" }, "user /etc/passwd"],
    ["a right to sudo", { sudoers: ["/etc/sudoers.d/me:me ALL=(ALL:ALL) ALL"] }, "sudoers /etc/sudoers.d/me"],
    ["a timer", { timers: ["fstrim.timer"] }, "timer fstrim.timer"],
    ["a setuid program", { files: ["f 4755 9 /opt/a tool"] }, "setuid /opt/a tool"],
    ["a history", { files: ["f 600 9 /gha/.bash_history"] }, "history /gha/.bash_history"],
  ])("with %s has that finding", (_, changes, finding) => {
    expect(names(judgeGuest(guestFacts.parse({ ...good, ...changes })))).toEqual([finding]);
  });

  it.each(["", "f 9 9 /a", "f 644 /a", "f 644 9 a"])("does not say %j of a file", (line) => {
    expect(guestFacts.safeParse({ ...good, files: [line] }).success).toBe(false);
  });
});

describe("the rules", () => {
  it("are all explained to those who write an image", () => {
    const readme = readFileSync(new URL("../../../../image/README.md", import.meta.url), "utf8");
    const section = readme.split("## What it may not hold")[1]!.split("\n## ")[0]!;
    const named = section.split("\n").flatMap((line) => [...(line.split("|")[1] ?? "").matchAll(/`(.+?)`/g)]);
    expect(named.map(([, name]) => name)).toEqual(rules);
  });
});

describe("findings", () => {
  const finding = (path: string): Finding => ({ rule: "log", path, what: "is one" });
  it.each([
    [["/a"], "log /a (is one)"],
    [["/a", "/b", "/c", "/d", "/e"], "log /a (is one), log /b (is one), log /c (is one), and 2 more"],
  ])("are one line: %j", (paths, line) => {
    expect(summarize(paths.map(finding))).toBe(line);
  });
});
