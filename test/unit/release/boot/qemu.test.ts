import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { createServer, type AddressInfo } from "node:net";
import path from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { resolveAccelerator } from "../../../../release/boot/accelerator.js";
import type { Architecture } from "../../../../release/store/keys.js";
import {
  qemuArguments,
  shutdownReason,
  startVm,
  writeCredential,
  type VirtualMachine,
} from "../../../../release/boot/qemu.js";

const vm: VirtualMachine = {
  arch: "x86_64",
  accelerator: "tcg",
  cpus: 2,
  memoryMb: 2048,
  disk: "/cache/disk.qcow2",
  credentials: ["/cache/one", "/cache/two"],
  console: "/logs/console.log",
};

/** The values of an option. */
function values(option: string, changes: Partial<VirtualMachine> = {}): string[] {
  const args = qemuArguments({ ...vm, ...changes });
  return args.flatMap((arg, index) => (arg === option ? [args[index + 1]!] : []));
}

describe("the VM", () => {
  it("is on x86_64 a pc with BIOS, on aarch64 a virt with UEFI", () => {
    expect(values("-machine")).toEqual(["pc"]);
    expect(values("-bios")).toEqual([]);
    expect(values("-machine", { arch: "aarch64" })[0]).toMatch(/^virt\b/);
    expect(values("-bios", { arch: "aarch64" })[0]).toMatch(/QEMU_EFI\.fd$/);
  });

  it("has a virtio disk, a virtio NIC on a network without a way out, and one credential a file", () => {
    expect(values("-drive")[0]).toMatch(/^file=\/cache\/disk\.qcow2,.*\bif=virtio\b/);
    expect(values("-netdev")).toEqual(["user,id=network,restrict=on"]);
    expect(values("-device")).toContain("virtio-net-pci,netdev=network");
    expect(values("-smbios")).toEqual(["type=11,path=/cache/one", "type=11,path=/cache/two"]);
  });

  it("reaches one service, wherever this checkout is", () => {
    expect(values("-netdev", { service: 4711 })[0]).toMatch(
      /^user,id=network,restrict=on,guestfwd=tcp:10\.0\.2\.100:80-cmd:'\/.*\/release\/boot\/relay\.sh' 4711$/,
    );
  });

  it("uses the host's processor only under KVM", () => {
    expect(values("-cpu")).toEqual(["max"]);
    expect(values("-cpu", { accelerator: "kvm" })).toEqual(["host"]);
  });

  it("keeps paths with commas whole", () => {
    expect(values("-drive", { disk: "/a,b/disk" })[0]).toMatch(/^file=\/a,,b\/disk,format=/);
    expect(values("-chardev", { console: "/a,b/log" })[0]).toMatch(/path=\/a,,b\/log$/);
  });

  it("gets a credential in a file that only we can read", async () => {
    const folder = await mkdtemp(path.join(tmpdir(), "credential-test-"));
    const file = await writeCredential(folder, "gha-jitconfig-url", "http://10.0.2.100/secret?x=1");
    expect(await readFile(file, "utf8")).toBe(
      "io.systemd.credential:gha-jitconfig-url=http://10.0.2.100/secret?x=1",
    );
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    await rm(folder, { recursive: true });
  });
});

describe("relay.sh", () => {
  it("carries a connection both ways, and ends with it", async () => {
    const server = createServer((socket) =>
      socket.on("data", (data) => socket.end(`${data.toString()}back`)),
    );
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const relay = path.join(import.meta.dirname, "../../../../release/boot/relay.sh");
    const connection = execa(relay, [String((server.address() as AddressInfo).port)], { buffer: false });
    connection.stdin.write("there and ");
    const [answer] = (await once(connection.stdout, "data")) as [Buffer];
    expect(answer.toString()).toBe("there and back");
    // As when the guest has closed it.
    connection.stdin.end();
    await expect(connection).resolves.toMatchObject({ exitCode: 0 });
    server.close();
  });
});

describe("QEMU", () => {
  it("is told no credential of the environment it is started from", async () => {
    const bin = await putOnPath({ "qemu-system-x86_64": "env >&2" });
    vi.stubEnv("AWS_SESSION_TOKEN", "secret");
    const { stderr } = await startVm(vm).ended;
    expect(stderr).toContain(`PATH=${bin}:`);
    expect(stderr).not.toContain("secret");
  });
});

describe("shutdownReason", () => {
  it.each([
    ['{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}', "guest-shutdown"],
    ['{"event": "RESET", "data": {"guest": true, "reason": "guest-reset"}}', null],
    ['{"QMP": {}}', null],
    ["null", null],
    ["not json", null],
    ["", null],
  ])("reads %j as %j", (line, reason) => {
    expect(shutdownReason(line)).toBe(reason);
  });
});

/** How a guest ends QEMU: on x86_64 through its debug-exit device, on aarch64 by a power-off (image/probe-kvm.sh). */
const ended: Record<Architecture, number> = { x86_64: 3, aarch64: 0 };

let scratch: string;
beforeEach(async () => {
  scratch = await mkdtemp(path.join(tmpdir(), "qemu-test-"));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(scratch, { recursive: true });
});

describe("resolveAccelerator", () => {
  const [own, foreign]: [Architecture, Architecture] =
    process.arch === "x64" ? ["x86_64", "aarch64"] : ["aarch64", "x86_64"];

  it("takes TCG for a guest of another architecture, and refuses to be told KVM", async () => {
    expect(await resolveAccelerator("auto", foreign)).toBe("tcg");
    await expect(resolveAccelerator("kvm", foreign)).rejects.toThrow(
      `KVM was demanded and does not run a guest of ${foreign} here: see that /dev/kvm is there`,
    );
  });

  it("takes TCG unasked where it is demanded", async () => {
    expect(await resolveAccelerator("tcg", own)).toBe("tcg");
  });

  // Of the programs that the probe calls, grep is the one that looks at the processor.
  it.skipIf(!mayUseKvm()).each([
    ["kvm", "a guest has run with it", `exit ${ended[own]}`],
    ["tcg", "QEMU aborts", "exit 134"],
  ])("takes %s, with a /dev/kvm to write to, where %s", async (accelerator, _story, script) => {
    await putOnPath({ [`qemu-system-${own}`]: script, grep: "exit 0" });
    expect(await resolveAccelerator("auto", own)).toBe(accelerator);
  });

  it.skipIf(!mayUseKvm() || own !== "x86_64")(
    "takes TCG where the processor is not made for KVM",
    async () => {
      await putOnPath({ [`qemu-system-${own}`]: `exit ${ended[own]}`, grep: "exit 1" });
      expect(await resolveAccelerator("auto", own)).toBe("tcg");
    },
  );
});

describe("the probe of KVM, emulated", () => {
  const probe = (arch: Architecture) =>
    execa("image/probe-kvm.sh", ["tcg"], { env: { ARCH: arch }, reject: false });
  const left = () => readdir(process.env["TMPDIR"]!);

  beforeEach(async () => {
    vi.stubEnv("TMPDIR", await mkdtemp(path.join(scratch, "tmp-")));
  });

  describe.each(["x86_64", "aarch64"] as const)("on %s", (arch) => {
    it("has a guest that ends the real QEMU, and leaves no file", async () => {
      expect(await probe(arch)).toMatchObject({ exitCode: 0 });
      expect(await left()).toEqual([]);
    });

    it("leaves no file where it is killed while the guest runs", async () => {
      // The parent is timeout, and the parent of that the probe.
      await putOnPath({ [`qemu-system-${arch}`]: "kill -KILL $(ps -o ppid= -p $PPID); exit 1" });
      expect(await probe(arch)).toMatchObject({ signal: "SIGKILL" });
      expect(await left()).toEqual([]);
    });

    it.each([
      ["QEMU aborts", "exit 134"],
      ["QEMU reports KVM as enabled and runs no guest", `echo '{"enabled": true}'; exit ${3 - ended[arch]}`],
    ])("fails where %s", async (_story, script) => {
      await putOnPath({ [`qemu-system-${arch}`]: script });
      expect(await probe(arch)).toMatchObject({ failed: true });
    });
  });
});

/**
 * Puts scripts before the programs of their names, for one test.
 * @returns their folder
 */
async function putOnPath(scripts: Record<string, string>): Promise<string> {
  const bin = await mkdtemp(path.join(scratch, "bin-"));
  for (const [name, script] of Object.entries(scripts))
    await writeFile(path.join(bin, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  vi.stubEnv("PATH", `${bin}:${process.env.PATH}`);
  return bin;
}

/** An ordinary user often may not, as on GitHub's machines before .github/scripts/enable-kvm.sh. */
function mayUseKvm(): boolean {
  try {
    accessSync("/dev/kvm", constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
