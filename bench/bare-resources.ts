import { local } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";

/** What ours is measured against: as many resources of the same types, and nothing else. */
export async function program(): Promise<Record<string, string>> {
  for (const [component, commands] of Object.entries({
    image: ["publish", "boot-test"],
    latest: ["promote"],
  })) {
    const parent = new pulumi.ComponentResource("bare:index:Component", component);
    for (const name of commands) new local.Command(`${component}-${name}`, { create: "true" }, { parent });
  }
  return Promise.resolve({ url: "none" });
}
