import { writeFile } from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { withoutCredentials } from "../process/environment.js";
import { UserError } from "../process/errors.js";
import type { Architecture } from "../store/keys.js";
import type { Accelerator } from "../store/records.js";

/** A VM as a VM host starts it (docs/contract.md, "What the VM needs from its hypervisor"). */
export interface VirtualMachine {
  arch: Architecture;
  accelerator: Accelerator;
  cpus: number;
  memoryMb: number;
  /** The qcow2 it runs on, and writes to. */
  disk: string;
  /** Files made by `writeCredential`. */
  credentials: string[];
  /** Where its serial console goes; made afresh. */
  console: string;
  /** A port of this machine's loopback interface, which the guest reaches as `guestService`: all of the network that it has. */
  service?: number;
}

/** Where a guest finds its service: an address of QEMU's user network that nothing else has. */
export const guestService = "10.0.2.100";
// Also where this module is a part of a bundle (release/main.mjs), which lies as deep below the checkout.
const relay = fileURLToPath(new URL("../../release/boot/relay.sh", import.meta.url));

export function qemuBinary<A extends Architecture>(arch: A): `qemu-system-${A}` {
  return `qemu-system-${arch}`;
}

/** e.g. "7.2.22". */
export async function qemuVersion(arch: Architecture): Promise<string> {
  const binary = qemuBinary(arch);
  const { stdout } = await execa(binary, ["--version"], { stdin: "ignore", timeout: 10_000, reject: false });
  const version = /version (\S+)/.exec(stdout ?? "")?.[1];
  if (version === undefined) throw new UserError(`${binary} --version does not say its version`);
  return version;
}

/** Machine, processor and firmware. */
function machineArguments(arch: Architecture, accelerator: Accelerator): string[] {
  const cpu = accelerator === "kvm" ? "host" : "max";
  const common = ["-accel", accelerator, "-cpu", cpu];
  return arch === "x86_64"
    ? ["-machine", "pc", ...common]
    : [
        ...["-machine", "virt,gic-version=max", ...common],
        // Where Debian's and Ubuntu's package qemu-efi-aarch64 puts it.
        ...["-bios", "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd"],
      ];
}

/** The whole command line of QEMU. Nothing in it is secret: credentials are named by their files. */
export function qemuArguments(vm: VirtualMachine): string[] {
  return [
    ...machineArguments(vm.arch, vm.accelerator),
    ...["-smp", String(vm.cpus), "-m", String(vm.memoryMb)],
    // The disk is thrown away afterwards: nothing in it has to survive a crash of the host.
    ...["-drive", `file=${escape(vm.disk)},format=qcow2,if=virtio,cache=unsafe,discard=unmap`],
    ...["-netdev", network(vm.service), "-device", "virtio-net-pci,netdev=network"],
    ...["-device", "virtio-rng-pci"],
    ...vm.credentials.flatMap((file) => ["-smbios", `type=11,path=${escape(file)}`]),
    ...["-display", "none"],
    ...["-chardev", `file,id=console,path=${escape(vm.console)}`, "-serial", "chardev:console"],
    ...["-qmp", "stdio"],
    // A guest that restarts instead of powering off has to end as well.
    "-no-reboot",
  ];
}

/**
 * QEMU's user network, closed: without `restrict` it shows a guest this machine's loopback interface as 10.0.2.2, where anything may
 * listen, and lets it out. Forwarding that was asked for stays: https://www.qemu.org/docs/master/system/invocation.html (guestfwd). Of
 * its two forms, the one that starts a command for each connection: the other one mixes them.
 */
function network(service: number | undefined): string {
  const user = "user,id=network,restrict=on";
  if (service === undefined) return user;
  // Taken apart by glib as a shell would.
  const command = `'${relay.replaceAll("'", String.raw`'\''`)}' ${service}`;
  return `${user},guestfwd=tcp:${guestService}:80-cmd:${escape(command)}`;
}

/** In a QEMU option a comma separates, and two are one. */
function escape(text: string): string {
  return text.replaceAll(",", ",,");
}

/**
 * Writes a systemd credential the way `-smbios type=11,path=` takes it, readable by us only.
 * QEMU before 10 passes it without its final NUL, so garbage may follow the value in the guest: end URLs in a
 * query string that may swallow it.
 * @returns the file
 */
export async function writeCredential(folder: string, name: string, value: string): Promise<string> {
  const file = path.join(folder, name);
  await writeFile(file, `io.systemd.credential:${name}=${value}`, { mode: 0o600 });
  return file;
}

/** A disk of `bytes` which reads from `base` and keeps what is written to itself. */
export async function createOverlay(base: string, overlay: string, bytes: number): Promise<void> {
  const args = [
    "create",
    "-q",
    "-f",
    "qcow2",
    "-F",
    "qcow2",
    "-b",
    path.resolve(base),
    overlay,
    String(bytes),
  ];
  const result = await execa("qemu-img", args, { stdin: "ignore", timeout: 60_000, reject: false });
  if (result.failed)
    throw new UserError(`qemu-img cannot use ${base}: ${result.stderr.slice(0, 300).trim()}`);
}

/** How a VM ended. */
export interface VmEnd {
  /** What QEMU said of it: "guest-shutdown" is a power-off by the guest, null no clean end at all. */
  reason: string | null;
  exitCode: number | undefined;
  signal: string | undefined;
  /** The end of what QEMU wrote to stderr. */
  stderr: string;
}

export interface RunningVm {
  /** Settles when QEMU is gone; never rejects. */
  ended: Promise<VmEnd>;
  /** Presses the power button: the guest powers off if it heeds ACPI. */
  powerdown: () => void;
  /** Ends QEMU at once, and returns when it is gone. */
  kill: () => Promise<void>;
}

/** Starts a VM. The kernel ends it when this process dies, however it dies. */
export function startVm(vm: VirtualMachine): RunningVm {
  const qemu = execa("setpriv", ["--pdeathsig", "KILL", qemuBinary(vm.arch), ...qemuArguments(vm)], {
    stdin: "pipe",
    buffer: false,
    reject: false,
    env: withoutCredentials(process.env),
    extendEnv: false,
  });
  let reason: string | null = null;
  createInterface({ input: qemu.stdout }).on("line", (line) => (reason = shutdownReason(line) ?? reason));
  let stderr = "";
  qemu.stderr.on("data", (chunk: Buffer) => (stderr = (stderr + chunk.toString("utf8")).slice(-4096)));
  // QEMU may be gone when it is spoken to: `ended` tells.
  qemu.stdin.on("error", () => undefined);
  const command = (execute: string): void => void qemu.stdin.write(`${JSON.stringify({ execute })}\n`);
  command("qmp_capabilities");
  const ended = qemu.then(({ exitCode, signal }): VmEnd => ({ reason, exitCode, signal, stderr }));
  return {
    ended,
    powerdown: () => command("system_powerdown"),
    kill: async () => {
      qemu.kill("SIGKILL");
      await ended;
    },
  };
}

/** The reason in QMP's SHUTDOWN event, if the line is one. */
export function shutdownReason(line: string): string | null {
  try {
    const message = JSON.parse(line) as { event?: string; data?: { reason?: string } } | null;
    return message?.event === "SHUTDOWN" ? (message.data?.reason ?? null) : null;
  } catch {
    return null;
  }
}
