import { describe, expect, it } from "vitest";
import {
  bootNeeds,
  checkNeeds,
  hostNeeds,
  missingPackages,
  publishNeeds,
  type Host,
} from "../../../local/host-packages.js";
import type { Architecture } from "../../../release/store/keys.js";

const root: Host = { arch: "x64", isRoot: true };
const packagesFor = (architectures: Architecture[], host: Host) =>
  missingPackages(hostNeeds(architectures, host), () => Promise.resolve(false));

describe("the host packages", () => {
  it("are none where everything is there, so apt is not asked", async () => {
    const needs = hostNeeds(["x86_64", "aarch64"], root);
    expect(await missingPackages(needs, () => Promise.resolve(true))).toEqual([]);
  });

  it("are only those of what is missing", async () => {
    const isThere = (need: string) => Promise.resolve(need !== "zstd");
    expect(await missingPackages(hostNeeds(["x86_64"], root), isThere)).toEqual(["zstd"]);
  });

  it("are none where another command does as well", async () => {
    const needs = [{ need: "chromium", or: ["google-chrome"], package: "optional:chromium" }];
    expect(await missingPackages(needs, (name) => Promise.resolve(name === "google-chrome"))).toEqual([]);
    expect(await missingPackages(needs, () => Promise.resolve(false))).toEqual(["optional:chromium"]);
  });

  it("include the emulator of the architectures that are built, and of no other", async () => {
    expect(await packagesFor(["x86_64"], root)).toContain("qemu-system-x86");
    expect(await packagesFor(["x86_64"], root)).not.toContain("qemu-system-arm");
    expect(await packagesFor(["aarch64"], root)).toEqual(
      expect.arrayContaining(["qemu-system-arm", "qemu-efi-aarch64", "ipxe-qemu", "dosfstools"]),
    );
  });

  it("are no emulator for a machine that publishes what another one built and booted", async () => {
    const names = await missingPackages(publishNeeds(), () => Promise.resolve(false));
    expect(names).toEqual(["e2fsprogs", "fdisk", "git", "qemu-utils", "util-linux", "zstd"]);
  });

  it("are no more than one emulator for a machine that boots what is published", async () => {
    const names = (arch: Architecture) => missingPackages(bootNeeds([arch]), () => Promise.resolve(false));
    const both = ["git", "qemu-utils", "util-linux", "zstd"];
    expect(await names("x86_64")).toEqual([...both, "qemu-system-x86"].sort());
    expect(await names("aarch64")).toEqual(
      [...both, "ipxe-qemu", "qemu-efi-aarch64", "qemu-system-arm"].sort(),
    );
  });

  it("include user-mode emulation only for a foreign architecture", async () => {
    expect(await packagesFor(["aarch64"], root)).toContain("qemu-user-static");
    expect(await packagesFor(["x86_64"], { arch: "arm64", isRoot: true })).toContain("qemu-user-static");
    expect(await packagesFor(["x86_64"], root)).not.toContain("qemu-user-static");
    expect(await packagesFor(["aarch64"], { arch: "arm64", isRoot: true })).not.toContain("qemu-user-static");
  });

  it("include the mapping of accounts only for an ordinary user", async () => {
    expect(await packagesFor(["x86_64"], { arch: "x64", isRoot: false })).toContain("uidmap");
    expect(await packagesFor(["x86_64"], root)).not.toContain("uidmap");
  });

  it("leave out what only npm run check needs", async () => {
    const names = await packagesFor(["x86_64", "aarch64"], { arch: "x64", isRoot: false });
    expect(checkNeeds.map(({ package: name }) => name)).toContain("shellcheck");
    for (const name of ["shellcheck", "python3", "python3-venv"]) expect(names).not.toContain(name);
  });

  it("are named once each", async () => {
    const names = await packagesFor(["x86_64", "aarch64"], { arch: "x64", isRoot: false });
    expect(names).toEqual([...new Set(names)].sort());
  });
});
