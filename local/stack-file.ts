import { readFile } from "node:fs/promises";
import path from "node:path";
import { parse } from "yaml";
import { architectures, type Architecture } from "../release/store/keys.js";
import { stackName } from "./environment.js";

/**
 * Values of a stack's file that are needed outside the program. The program checks them and says what is wrong with them;
 * here they only choose packages and are shown.
 */
async function readStackFile(root: string, stack = stackName): Promise<(key: string) => unknown> {
  const text = await readFile(path.join(root, `Pulumi.${stack}.yaml`), "utf8").catch(() => "");
  const parsed = parse(text) as { config?: Record<string, unknown> } | null;
  return (key) => parsed?.config?.[`runner-images:${key}`];
}

/** What a stack builds, by default the local one; the default of the setting is Pulumi.yaml's. */
export async function configuredArchitectures(root: string, stack = stackName): Promise<Architecture[]> {
  const configured = (await readStackFile(root, stack))("architectures");
  return Array.isArray(configured) ? architectures.filter((arch) => configured.includes(arch)) : ["x86_64"];
}

/** The commit that the local stack is pinned to; empty when it follows the newest build. */
export async function configuredPin(root: string): Promise<string> {
  const configured = (await readStackFile(root))("latest");
  return typeof configured === "string" ? configured : "";
}
