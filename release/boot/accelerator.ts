import { fileURLToPath } from "node:url";
import { execa } from "execa";
import { withoutCredentials } from "../process/environment.js";
import { UserError } from "../process/errors.js";
import type { Architecture } from "../store/keys.js";
import type { Accelerator, AcceleratorChoice } from "../store/records.js";

// Also where this module is a part of a bundle (release/main.mjs), which lies as deep below the checkout.
const probe = fileURLToPath(new URL("../../image/probe-kvm.sh", import.meta.url));

/**
 * Decides how guests of an architecture run here, as the build does.
 * @throws UserError when KVM is demanded but does not work
 */
export async function resolveAccelerator(
  choice: AcceleratorChoice,
  arch: Architecture,
): Promise<Accelerator> {
  if (choice === "tcg") return "tcg";
  if (await kvmRunsGuests(arch)) return "kvm";
  if (choice === "auto") return "tcg";
  throw new UserError(
    `KVM was demanded and does not run a guest of ${arch} here: see that /dev/kvm is there and this user may write to it, or use ACCELERATOR=auto or tcg`,
  );
}

/**
 * Whether KVM has run a guest here to its end, and in time. `/dev/kvm` may exist and open, and QEMU may start with it and report it as
 * enabled, where a guest stands still or crawls (seen in nested virtual machines).
 */
async function kvmRunsGuests(arch: Architecture): Promise<boolean> {
  const { failed } = await execa(probe, {
    env: { ...withoutCredentials(process.env), ARCH: arch },
    extendEnv: false,
    stdio: "ignore",
    reject: false,
  });
  return !failed;
}
