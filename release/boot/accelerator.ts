import { execa } from "execa";
import { UserError } from "../process/errors.js";
import type { Architecture } from "../store/keys.js";
import type { Accelerator, AcceleratorChoice } from "../store/records.js";
import { machineArguments, qemuBinary } from "./qemu.js";

/**
 * Decides how guests of an architecture run here.
 * @throws UserError when KVM is demanded but does not work
 */
export async function resolveAccelerator(
  choice: AcceleratorChoice,
  arch: Architecture,
): Promise<Accelerator> {
  if (choice === "tcg") return "tcg";
  const obstacle = await kvmObstacle(arch);
  if (obstacle === null) return "kvm";
  if (choice === "auto") return "tcg";
  throw new UserError(`KVM was demanded but does not work here: ${obstacle}; use ACCELERATOR=auto or tcg`);
}

const hostArchitecture: Partial<Record<NodeJS.Architecture, Architecture>> = {
  x64: "x86_64",
  arm64: "aarch64",
};

/**
 * Why KVM cannot run such a guest; null when it can. `/dev/kvm` may exist, and even open, where starting a guest
 * aborts (seen in nested virtual machines): so QEMU is started with the very machine a guest gets, and asked.
 */
async function kvmObstacle(arch: Architecture): Promise<string | null> {
  if (hostArchitecture[process.arch] !== arch) return `a ${arch} guest cannot use KVM on ${process.arch}`;
  const probe = await execa(
    "setpriv",
    [
      ...["--pdeathsig", "KILL", qemuBinary(arch), ...machineArguments(arch, "kvm")],
      ...["-m", "64", "-nodefaults", "-display", "none", "-S", "-qmp", "stdio"],
    ],
    {
      input: ["qmp_capabilities", "query-kvm", "quit"]
        .map((execute) => JSON.stringify({ execute }))
        .join("\n"),
      timeout: 10_000,
      forceKillAfterDelay: 1_000,
      reject: false,
    },
  );
  if (!probe.failed && /"enabled":\s*true/.test(probe.stdout)) return null;
  if (probe.timedOut) return "QEMU hangs with it";
  // Aborts come as two lines; the first says what, the second where in QEMU's source.
  return probe.stderr?.split("\n", 1)[0]?.slice(0, 200) || "QEMU does not report it as enabled";
}
