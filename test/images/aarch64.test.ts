import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { architectures, keys } from "../../release/store/keys.js";
import type { BootRecord, Manifest } from "../../release/store/records.js";
import { Checkout, expectSuccess } from "../e2e/checkout.js";

// Seconds: an emulated machine takes its time.
process.env["BOOT_TIMEOUT"] ??= "2700";

/** `npm run test:aarch64`: both architectures in one update of the local platform, the other one emulated. */
describe.sequential("both architectures at once", () => {
  let checkout: Checkout;

  beforeAll(async () => {
    checkout = await Checkout.clone();
  });

  afterAll(async () => {
    await checkout.npm("run", "reset");
    await checkout.remove();
  });

  it("are built, published and booted side by side, and the pointer moves when both are complete", async () => {
    await checkout.configure("architectures", [...architectures]);
    expectSuccess(await checkout.npm("start"));

    for (const arch of architectures) {
      const manifest = await checkout.served<Manifest>(arch, "json");
      const boot = await checkout.served<BootRecord>(arch, "boot.json");
      expect(boot.result, boot.reason ?? "").toBe("passed");
      expect(boot.diskSha256).toBe(manifest.disk.sha256);
      checkout.say(manifest, boot);
    }
    const url = await checkout.url();
    expect(await (await fetch(`${url}/${keys.latest}`)).text()).toBe(`${await checkout.imageCommit()}\n`);
  });
});
