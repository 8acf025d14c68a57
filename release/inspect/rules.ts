import { basename } from "node:path";
import picomatch from "picomatch";
import { allowedFiles, type Permission } from "./allowed-files.js";
import type { Entry } from "./disk.js";

/*
 * What no image may hold. An image is public, and every VM is a copy of it: a password, key or identity on it is everybody's, and what
 * a build left behind, or runs in the background, is in the way of every job. The rules are functions of plain facts, which come from a
 * disk (lint.ts) or from a guest that runs (its boot report).
 */

export const rules = [
  "password",
  "user",
  "sudoers",
  "authorized-keys",
  "private-key",
  "host-key",
  "machine-id",
  "random-seed",
  "cloud-init",
  "apt-lists",
  "package-cache",
  "log",
  "history",
  "leftover",
  "secret",
  "setuid",
  "setgid",
  "world-writable",
  "timer",
  "file-system",
] as const;
export type Rule = (typeof rules)[number];

/** One thing that may not be there, or lacks. */
export interface Finding {
  rule: Rule;
  path: string;
  /** What is wrong with it, in a few words; never what is in it. */
  what: string;
}

/** The one account of a person on an image: runs jobs, and may sudo. */
const runnerUser = "gha";

/** Fields of a file with one account a line, passwd(5) and shadow(5). */
function accounts(text: string): string[][] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.split(":"));
}

/** Every account is locked, also root's and the runner's: shadow(5). A lock in front of a hash keeps the hash. */
export function judgePasswords(shadow: string): Finding[] {
  return accounts(shadow).flatMap(([name, password]): Finding[] => {
    if (/^[!*]+$/.test(password ?? "")) return [];
    const what = password ? "has a password" : "logs in without a password";
    return [{ rule: "password", path: "/etc/shadow", what: `${name} ${what}` }];
  });
}

/** Below are the system's, by Debian's policy (https://www.debian.org/doc/debian-policy/ch-opersys.html#uid-and-gid-classes). */
const firstUser = 1000;
const nobody = 65534;
const noLogin = /\/(nologin|false|sync)$/;

/** Nobody but root, the runner's user, and accounts of the system that cannot log in; with every password in /etc/shadow: passwd(5). */
export function judgeUsers(passwd: string): Finding[] {
  return accounts(passwd).flatMap(([name, password, id, , , , shell]): Finding[] => {
    const uid = Number(id);
    const finding = (rule: Rule, what: string): Finding => ({
      rule,
      path: "/etc/passwd",
      what: `${name} ${what}`,
    });
    const wrong: Finding[] = [];
    if (password !== "x") wrong.push(finding("password", "has its password here instead of in /etc/shadow"));
    if (name === runnerUser || (name === "root" && uid === 0)) return wrong;
    if (uid === 0) wrong.push(finding("user", "is root by another name"));
    else if (uid >= firstUser && uid !== nobody) wrong.push(finding("user", "is no account of the system"));
    else if (!noLogin.test(shell ?? "")) wrong.push(finding("user", `can log in, with ${shell}`));
    return wrong;
  });
}

/** Debian's and Ubuntu's own, and the runner's. */
const grants = [
  "root ALL=(ALL:ALL) ALL",
  "%admin ALL=(ALL) ALL",
  "%sudo ALL=(ALL:ALL) ALL",
  `${runnerUser} ALL=(ALL) NOPASSWD: ALL`,
];

/** Nobody may sudo but those who should: sudoers(5). */
export function judgeSudoers(lines: { path: string; line: string }[]): Finding[] {
  return lines.flatMap(({ path, line }): Finding[] => {
    const text = line.trim().replaceAll(/\s+/g, " ");
    if (text === "" || /^(#|@includedir |Defaults )/.test(text) || grants.includes(text)) return [];
    return [{ rule: "sudoers", path, what: `grants what it should not to ${text.split(" ")[0]}` }];
  });
}

interface Unwanted {
  rule: Rule;
  /** Globs; `except` are those that may be there. */
  paths: string[];
  except?: string[];
  /** "content" is a file that is not empty, "file" anything but a folder, "any" a folder as well. */
  is: "content" | "file" | "any";
  what: string;
  /** Booting makes one, or a job may: it is looked for on the disk only. */
  madeInGuest?: true;
}

const unwanted: Unwanted[] = [
  {
    rule: "authorized-keys",
    paths: ["/**/authorized_keys", "/**/authorized_keys2"],
    is: "content",
    what: "lets somebody log in to every VM",
  },
  {
    rule: "private-key",
    paths: ["/**/id_{dsa,rsa,ecdsa,ed25519}", "/etc/ssl/private/*"],
    is: "file",
    what: "would be the same in every VM",
  },
  {
    rule: "host-key",
    paths: ["/etc/ssh/ssh_host_*"],
    is: "file",
    what: "would be the same in every VM",
    madeInGuest: true,
  },
  {
    rule: "machine-id",
    paths: ["/var/lib/dbus/machine-id"],
    is: "content",
    what: "would be the same in every VM",
    madeInGuest: true,
  },
  {
    rule: "random-seed",
    paths: ["/var/lib/systemd/{random-seed,credential.secret}", "/var/lib/urandom/random-seed"],
    is: "file",
    what: "would be the same in every VM",
    madeInGuest: true,
  },
  {
    rule: "cloud-init",
    paths: ["/var/lib/cloud/**", "/etc/netplan/50-cloud-init.yaml"],
    is: "file",
    what: "was made for the build VM",
  },
  {
    rule: "apt-lists",
    paths: ["/var/lib/apt/lists/**"],
    is: "content",
    what: "is out of date when a job reads it",
  },
  {
    rule: "package-cache",
    paths: ["/var/cache/apt/**"],
    is: "content",
    what: "takes space, and is never used",
  },
  { rule: "log", paths: ["/var/log/**"], is: "content", what: "tells of the build VM", madeInGuest: true },
  {
    rule: "log",
    paths: ["/var/log/journal/*"],
    is: "any",
    what: "is the build VM's journal",
    madeInGuest: true,
  },
  {
    rule: "history",
    paths: ["/**/.*history", "/**/.{lesshst,viminfo,wget-hsts,sudo_as_admin_successful}"],
    is: "file",
    what: "tells what somebody did",
  },
  {
    rule: "leftover",
    paths: ["/root/*", "/home/*"],
    except: ["/root/{.bashrc,.profile,.ssh}"],
    is: "any",
    what: "was left by the build",
  },
  {
    rule: "leftover",
    paths: ["/etc/{passwd,shadow,group,gshadow,subuid,subgid}-"],
    is: "file",
    what: "lists accounts as they were before",
    madeInGuest: true,
  },
  {
    rule: "leftover",
    paths: ["/{tmp,var/tmp}/*"],
    except: ["/tmp/.{X11,ICE,XIM,font}-unix"],
    is: "any",
    what: "was left by the build",
    madeInGuest: true,
  },
  {
    rule: "leftover",
    paths: ["/run/**", "/var/crash/**", "/var/lib/systemd/{coredump,network}/**", "/var/lib/dhcp/**"],
    is: "content",
    what: "was left by the build VM",
    madeInGuest: true,
  },
];

const unwantedMatchers = unwanted.map((one) => ({
  ...one,
  matches: glob(one.paths),
  excepted: glob(one.except ?? []),
}));

/** What may not be there, by its name alone. */
export function judgePaths(entries: readonly Entry[], where: "disk" | "guest"): Finding[] {
  const rules = unwantedMatchers.filter(({ madeInGuest }) => where === "disk" || madeInGuest !== true);
  return entries.flatMap(({ path, kind, bytes }) =>
    rules.flatMap(({ rule, is, what, matches, excepted }): Finding[] => {
      const wanted = { any: true, file: kind !== "directory", content: kind === "file" && bytes > 0 }[is];
      return wanted && matches(path) && !excepted(path) ? [{ rule, path, what }] : [];
    }),
  );
}

const bits: Record<Permission, number> = { setuid: 0o4000, setgid: 0o2000, "world-writable": 0o0002 };

const allowedMatchers = allowedFiles.map(({ permission, paths }) => ({ permission, matches: glob(paths) }));

/** No file is setuid, setgid or world-writable, and no folder world-writable, but those listed with a reason (allowed-files.ts). */
export function judgePermissions(entries: readonly Entry[]): Finding[] {
  return entries.flatMap(({ path, kind, mode }) =>
    (Object.keys(bits) as Permission[]).flatMap((permission): Finding[] => {
      // A link's own mode means nothing, and on a folder setgid only says whose group new files have.
      const counts = kind === "directory" ? permission === "world-writable" : kind !== "link";
      if (!counts || (mode & bits[permission]) === 0) return [];
      if (allowedMatchers.some((allowed) => allowed.permission === permission && allowed.matches(path)))
        return [];
      return [
        { rule: permission, path, what: `mode ${mode.toString(8)}, and not listed in allowed-files.ts` },
      ];
    }),
  );
}

/**
 * What has to be there, so that each VM gets an identity of its own and nothing configures it anew: an empty /etc/machine-id (missing, it
 * would be the first boot to systemd: machine-id(5)), and, where cloud-init is installed, the switch that turns it off.
 */
export function judgeIdentity(entries: readonly Entry[]): Finding[] {
  const one = (path: string) => entries.find((entry) => entry.path === path);
  const machineId = one("/etc/machine-id");
  const findings: Finding[] = [];
  if (machineId?.kind !== "file" || machineId.bytes > 0)
    findings.push({
      rule: "machine-id",
      path: "/etc/machine-id",
      what: machineId ? "is not empty" : "is missing",
    });
  if (one("/usr/bin/cloud-init") && !one("/etc/cloud/cloud-init.disabled"))
    findings.push({
      rule: "cloud-init",
      path: "/etc/cloud/cloud-init.disabled",
      what: "is missing: cloud-init would run",
    });
  return findings;
}

const units = "/{etc,lib,usr/lib}/systemd/system";
/** Timers, and daemons that do the same work. */
const wantsTimer = glob([`${units}/*.{wants,requires,upholds}/{*.timer,{cron,anacron,atd}.service}`]);

/**
 * No timer is enabled: it would run beside a job, of which a VM sees one. A link to /dev/null masks a unit: systemd.unit(5).
 * @param masked names of units that are masked
 */
export function judgeTimers(entries: readonly Entry[], masked: ReadonlySet<string>): Finding[] {
  return entries
    .filter(({ path }) => wantsTimer(path) && !masked.has(basename(path)))
    .map(({ path }) => ({ rule: "timer", path, what: "would run beside a job" }));
}

/** Findings as one line: the first few, and how many more there are. */
export function summarize(findings: readonly Finding[]): string {
  const shown = findings.slice(0, 3).map(({ rule, path, what }) => `${rule} ${path} (${what})`);
  const more = findings.length - shown.length;
  return [...shown, ...(more > 0 ? [`and ${more} more`] : [])].join(", ");
}

/** @returns whether a path is one of those that globs describe; names that begin with a dot are like any other */
export function glob(patterns: string[]): (path: string) => boolean {
  return picomatch(patterns, { dot: true });
}
