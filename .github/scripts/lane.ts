import { isDeepStrictEqual } from "node:util";
import { execa } from "execa";
import { parse } from "yaml";
import { stack } from "./pulumi.js";

/**
 * rollback: nothing is changed but which commits production's stack and its channels are pinned to, which `check` and the preview's proof of
 * each target judge in minutes. Tests say nothing about it: the program and the images are those of `main`.
 */
export type Lane = "rollback" | "ordinary";

const stackFile = `Pulumi.${stack}.yaml`;
const keys = { pin: "runner-images:latest", channels: "runner-images:channels" };
/** A line of either, as `pulumi config set` writes it, which quotes what YAML would take for a number. */
const pin = new RegExp(`^  (?:${keys.pin}|    latest): (["']?)[0-9a-f]{40}\\1\\n`, "gm");
const regularFile = "100644";

/**
 * The lane of a change from one commit to another: any other byte in the stack's file, any other file, or another kind of change than of
 * a file's content, is ordinary.
 * @param diff of `git diff --raw -z --no-renames`
 * @param before the stack's file, byte by byte (latin1), and `after` the change
 */
export function laneOf(diff: string, before: string, after: string): Lane {
  const [change, file, ...others] = diff.split("\0");
  // Modes are 000000 where a file is added or deleted.
  const modes = (change ?? "").replace(/^:/, "").split(" ").slice(0, 2);
  const isContentOfStackFile =
    file === stackFile && others.join("") === "" && modes.every((mode) => mode === regularFile);
  if (!isContentOfStackFile) return "ordinary";
  if (withoutPins(before) !== withoutPins(after)) return "ordinary";
  // The lines are where they are settings, and not part of some text; and each is there once, since YAML refuses a key that is there twice.
  const [one, other] = [settings(before), settings(after)];
  return one !== null && other !== null && isDeepStrictEqual(one, other) ? "rollback" : "ordinary";
}

function withoutPins(text: string): string {
  return text.replaceAll(pin, "");
}

/** What a stack's file says beside its pins; null where it is not one, or a pin is no commit. */
function settings(text: string): unknown {
  try {
    const { config, ...file } = parse(text) as { config: Record<string, unknown> };
    const { [keys.pin]: pinned, [keys.channels]: channels = {}, ...others } = config;
    const pins = [pinned];
    const named = Object.entries(channels as Record<string, Record<string, unknown>>);
    const unpinned = named.map(([name, { latest, ...channel }]) => {
      pins.push(latest);
      return [name, channel];
    });
    const areCommits = pins.every((pin) => pin === undefined || /^[0-9a-f]{40}$/.test(pin as string));
    return areCommits ? { file, others, channels: unpinned } : null;
  } catch {
    return null;
  }
}

/** @param base the commit that is changed: HEAD is compared with where it left that */
export async function readLane(root: string, base: string): Promise<Lane> {
  const git = async (...args: string[]) =>
    (await execa("git", args, { cwd: root, encoding: "latin1", stripFinalNewline: false })).stdout;
  const from = (await git("merge-base", base, "HEAD")).trim();
  const show = (commit: string) => git("show", `${commit}:${stackFile}`).catch(() => "");
  const diff = await git("diff", "--raw", "-z", "--no-renames", "--no-abbrev", from, "HEAD");
  return laneOf(diff, await show(from), await show("HEAD"));
}
