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

/** What a stack's images are made of, and how QEMU runs: values of config.ts, not checked here. */
export interface BuildSettings {
  base: string;
  profile: string;
  runner: string;
  accelerator: string;
}

/** Of a stack, by its file, else by Pulumi.yaml's defaults. */
export async function configuredBuild(root: string, stack = stackName): Promise<BuildSettings> {
  const values = await configuredValues(root, stack);
  const value = (key: string) => String(values[`runner-images:${key}`]);
  return {
    base: value("base"),
    profile: value("profile"),
    runner: value("runner"),
    accelerator: value("accelerator"),
  };
}

/** How long the local stack keeps its images, and from how many there are deltas, as release commands read it from their environment. */
export async function releaseEnvironment(root: string): Promise<Record<string, string>> {
  const values = await configuredValues(root, stackName);
  const value = (key: string) => values[`runner-images:${key}`]!;
  const kept = {
    KEEP_IMAGES: value("keepImages"),
    KEEP_DAYS: value("keepDays"),
    KEEP_MOVES: value("keepMoves"),
  };
  return { ...kept, DELTAS: value("deltas") };
}

/** Every key of a stack as Pulumi hands it to the program (config.ts, parseConfig): from its file, else Pulumi.yaml's default. */
export async function configuredValues(root: string, stack: string): Promise<Record<string, string>> {
  const [project, configured] = (
    await Promise.all([
      readFile(path.join(root, "Pulumi.yaml"), "utf8"),
      readFile(path.join(root, `Pulumi.${stack}.yaml`), "utf8").catch(() => ""),
    ])
  ).map((text) => (parse(text) as { config?: Record<string, unknown> } | null)?.config ?? {});
  const defaults = Object.entries(project!).map(([key, value]) => [
    key.includes(":") ? key : `runner-images:${key}`,
    (value as { default?: unknown }).default,
  ]);
  const values = { ...(Object.fromEntries(defaults) as Record<string, unknown>), ...configured };
  return Object.fromEntries(
    Object.entries(values).flatMap(([key, value]) =>
      value === undefined || value === null
        ? []
        : [[key, typeof value === "string" ? value : JSON.stringify(value)]],
    ),
  );
}

/** Where Pulumi keeps the state of a stack, as its file says; undefined: it does not. */
export async function configuredState(root: string, stack: string): Promise<string | undefined> {
  const configured = (await readStackFile(root, stack))("state");
  return typeof configured === "string" ? configured : undefined;
}

/** The commit that a stack, by default the local one, is pinned to; empty when it follows the newest build. */
export async function configuredPin(root: string, stack = stackName): Promise<string> {
  const configured = (await readStackFile(root, stack))("latest");
  return typeof configured === "string" ? configured : "";
}

/** A stack's channels, each by its name and the commit that it is pinned to; undefined: to none. */
export async function configuredChannels(
  root: string,
  stack = stackName,
): Promise<{ name: string; pinned: string | undefined }[]> {
  const configured = (await readStackFile(root, stack))("channels");
  return Object.entries((configured ?? {}) as Record<string, unknown>).map(([name, channel]) => {
    const { latest } = (channel ?? {}) as { latest?: unknown };
    return { name, pinned: typeof latest === "string" ? latest : undefined };
  });
}
