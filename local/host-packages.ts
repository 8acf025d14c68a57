import { existsSync } from "node:fs";
import path from "node:path";
import { execa } from "execa";
import { UserError } from "../release/process/errors.js";
import type { Architecture } from "../release/store/keys.js";
import { step } from "../release/process/progress.js";
import { run } from "../release/process/run.js";
import { checkout, type PlatformPaths } from "./paths.js";
import { which } from "./which.js";

/** A command we run, or a file we read (an absolute path), and the package of Debian and Ubuntu that has it. */
export interface HostNeed {
  need: string;
  /** Commands that do as well. */
  or?: readonly string[];
  package: string;
}

const always: Record<string, string> = {
  curl: "curl",
  git: "git",
  jq: "jq",
  make: "make",
  "mkfs.ext4": "e2fsprogs",
  mmdebstrap: "mmdebstrap",
  nginx: "nginx-light",
  "qemu-img": "qemu-utils",
  setpriv: "util-linux",
  sfdisk: "fdisk",
  "ssh-keygen": "openssh-client",
  xz: "xz-utils",
  zstd: "zstd",
  // mmdebstrap checks Debian's packages with it; Ubuntu does not have it by itself.
  "/usr/share/keyrings/debian-archive-keyring.gpg": "debian-archive-keyring",
};

const perArchitecture: Record<Architecture, Record<string, string>> = {
  x86_64: { "qemu-system-x86_64": "qemu-system-x86" },
  aarch64: {
    "qemu-system-aarch64": "qemu-system-arm",
    "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd": "qemu-efi-aarch64",
    // The network card's, for UEFI: qemu-system-x86 depends on it, qemu-system-arm only recommends it.
    "/usr/lib/ipxe/qemu/efi-virtio.rom": "ipxe-qemu",
    "mkfs.vfat": "dosfstools",
  },
};
/** What only building takes, of those. */
const buildOnly = [
  "curl",
  "jq",
  "make",
  "mkfs.vfat",
  "mmdebstrap",
  "nginx",
  "ssh-keygen",
  "xz",
  "/usr/share/keyrings/debian-archive-keyring.gpg",
];

/** What only a look at a disk takes, before it is published. */
const inspectOnly = ["mkfs.ext4", "sfdisk"];

export interface Host {
  /** As `process.arch`. */
  arch: NodeJS.Architecture;
  isRoot: boolean;
}

const hostArchitectures: Record<Architecture, NodeJS.Architecture> = { x86_64: "x64", aarch64: "arm64" };

/** What `npm run check` needs beyond the tools it sets up; what only it needs, `npm start` does not ask for. */
export const checkNeeds: HostNeed[] = [
  { need: "git", package: "git" },
  { need: "shellcheck", package: "shellcheck" },
];

/**
 * The browser that the status page is tested in. Ubuntu's package of it is a snap's stand-in, which is left out: its machines on GitHub have
 * Chrome (https://github.com/actions/runner-images/blob/main/images/ubuntu/Ubuntu2404-Readme.md).
 */
export const browser = {
  need: "chromium",
  or: ["google-chrome", "google-chrome-stable"],
  package: "optional:chromium",
} satisfies HostNeed;

/** What `npm test` needs beyond what it runs: certificates and signatures are made with it, and signatures checked. */
export const testNeeds: HostNeed[] = [
  browser,
  { need: "openssl", package: "openssl" },
  { need: "gpg", package: "gnupg" },
  { need: "gpgv", package: "gpgv" },
];

/** What building and booting images of these architectures needs on a machine. */
export function hostNeeds(architectures: readonly Architecture[], host: Host): HostNeed[] {
  const needs = { ...always };
  for (const arch of architectures) {
    Object.assign(needs, perArchitecture[arch]);
    // The programs of a foreign architecture's base image run under emulation while it is put together.
    if (hostArchitectures[arch] !== host.arch) {
      needs[`qemu-${arch}-static`] = "qemu-user-static";
      needs["arch-test"] = "arch-test";
    }
  }
  // mmdebstrap as an ordinary user maps the image's accounts to those of /etc/subuid.
  if (!host.isRoot) needs["newuidmap"] = "uidmap";
  return Object.entries(needs).map(([need, name]) => ({ need, package: name }));
}

/** What publishing images needs that another machine built. */
export function publishNeeds(): HostNeed[] {
  return without(buildOnly, always);
}

/** What booting published images of these architectures needs. */
export function bootNeeds(architectures: readonly Architecture[]): HostNeed[] {
  const needs = architectures.map((arch) => perArchitecture[arch]);
  return without([...buildOnly, ...inspectOnly], Object.assign({}, always, ...needs) as typeof always);
}

function without(left: string[], needs: Record<string, string>): HostNeed[] {
  return Object.entries(needs)
    .filter(([need]) => !left.includes(need))
    .map(([need, name]) => ({ need, package: name }));
}

/** The packages of what is not there; each once, sorted. Looks at files only, so it is quick. */
export async function missingPackages(
  needs: HostNeed[],
  isThere: (need: string) => Promise<boolean> = isPresent,
): Promise<string[]> {
  const present = await Promise.all(
    needs.map(async ({ need, or = [] }) => {
      for (const one of [need, ...or]) if (await isThere(one)) return true;
      return false;
    }),
  );
  const missing = needs.filter((_, index) => !present[index]).map((need) => need.package);
  return [...new Set(missing)].sort();
}

async function isPresent(need: string): Promise<boolean> {
  return path.isAbsolute(need) ? existsSync(need) : (await which(need)) !== undefined;
}

/**
 * Installs packages with apt, as root or through a sudo which asks for no password; the only thing this project changes on a machine.
 * @param packages names; "optional:<name>" is left out where this release of the distribution does not have it
 * @throws UserError with the command to run by hand, when neither is possible
 */
export async function installPackages(packages: string[], paths: PlatformPaths): Promise<void> {
  if (packages.length === 0) return;
  const script = path.join(checkout, "local", "install-packages.sh");
  const command = ["sh", script, ...packages];
  if ((await which("apt-get")) === undefined) {
    throw new UserError(
      `this machine has no apt-get (Debian and Ubuntu do); install what these packages contain, then repeat: ${packages.join(" ")}`,
    );
  }
  const prefix = await rootPrefix();
  if (prefix === undefined) {
    throw new UserError(
      `packages are missing and this user may not install them; run this, then repeat: sudo ${command.join(" ")}`,
    );
  }
  await step(`host packages: installing ${packages.join(" ")}`, async () => {
    const [program, ...args] = [...prefix, ...command] as [string, ...string[]];
    await run(program, args, { log: path.join(paths.logs, "apt.log"), timeout: 30 * 60_000 });
  });
}

/** How to become root without a person's help; undefined when there is no way. */
async function rootPrefix(): Promise<string[] | undefined> {
  if (process.getuid?.() === 0) return [];
  const { failed } = await execa("sudo", ["-n", "true"], { reject: false, stdio: "ignore" });
  return failed ? undefined : ["sudo", "-n"];
}
