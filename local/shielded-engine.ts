import { chmod, mkdir } from "node:fs/promises";
import path from "node:path";
import { PulumiCommand } from "@pulumi/pulumi/automation/index.js";
import { writeFileAtomically } from "../release/process/files.js";
import type { PlatformPaths } from "./paths.js";

/** Seconds from the first time an engine is told to end until it is killed. */
const patience = 50;

/** The engine below a script which shields it, for the Automation API. */
export async function shieldedEngine(engine: string, paths: PlatformPaths): Promise<PulumiCommand> {
  const root = path.join(paths.run, "engine");
  const file = path.join(root, "bin", "pulumi");
  await mkdir(path.dirname(file), { recursive: true });
  await writeFileAtomically(file, shield(engine, patience));
  await chmod(file, 0o755);
  return PulumiCommand.get({ root });
}

/**
 * A shell script that runs the engine in a session of its own, so that Ctrl-C on a terminal reaches it once, from us: told twice, it cuts off
 * the clean-up of the commands. When we are killed, the kernel has it told, once too: the first `timeout` dies with us, and with that one,
 * which has one thread, the second is told. Of us it would be told again for each thread that the kernel hands it on to
 * (https://github.com/torvalds/linux/blob/v6.1/kernel/exit.c, forget_original_parent).
 *
 * It is killed where it does not end: told right after its last event, which comes when its program is gone, it waits for ever to print that
 * it was told (https://github.com/pulumi/pulumi/blob/v3.259.0/pkg/backend/cancellation_scope.go).
 *
 * `timeout` without a limit hands on each signal, and kills so long after the first; of two signals, its implementations all know SIGTERM.
 * @param seconds until it is killed
 */
export function shield(engine: string, seconds: number): string {
  const quoted = `'${engine.replaceAll("'", `'\\''`)}'`;
  const dying = "setpriv --pdeathsig KILL timeout --foreground 0";
  const telling = `setpriv --pdeathsig TERM timeout --foreground --kill-after=${seconds} 0`;
  return `#!/bin/sh\nexec setsid ${dying} ${telling} ${quoted} "$@"\n`;
}
