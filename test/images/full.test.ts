import { readFile } from "node:fs/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BootRecord, Manifest } from "../../release/store/records.js";
import { Checkout, expectSuccess } from "../e2e/checkout.js";

// Seconds: an emulated machine takes its time.
process.env["BOOT_TIMEOUT"] ??= "2700";

/** `npm run test:full`: the image that production builds, with Debian's packages in place of Ubuntu's. */
describe.sequential("the full image", () => {
  let checkout: Checkout;

  beforeAll(async () => {
    checkout = await Checkout.clone();
  });

  afterAll(async () => {
    await checkout.npm("run", "reset");
    await checkout.remove();
  });

  it("is built, published and booted by one line of config, and everything in it answers in the guest", async () => {
    await checkout.configure("profile", "full");
    expectSuccess(await checkout.npm("start"));

    const manifest = await checkout.served<Manifest>("x86_64", "json");
    const boot = await checkout.served<BootRecord>("x86_64", "boot.json");
    expect(manifest.build.profile).toBe("full");
    const { contents } = JSON.parse(await readFile(checkout.file("image/inputs.json"), "utf8")) as {
      contents: Record<"small" | "full", { name: string }[]>;
    };
    const names = [...contents.small, ...contents.full].map(({ name }) => name);
    expect(boot.checks).toContainEqual({ name: "contents answer", passed: true, seen: names.join(", ") });
    expect(boot.checks.filter(({ passed }) => !passed)).toEqual([]);
    checkout.say(manifest, boot);
  });
});
