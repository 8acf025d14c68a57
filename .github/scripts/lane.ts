import { isDeepStrictEqual } from "node:util";
import { execa } from "execa";
import { parse } from "yaml";
import { stack } from "./pulumi.js";

/**
 * rollback: nothing is changed but which commit production's stack is pinned to, which `check` and the preview's proof of the target judge
 * in minutes. Tests say nothing about it: the program and the images are those of `main`.
 */
export type Lane = "rollback" | "ordinary";

const stackFile = `Pulumi.${stack}.yaml`;
const key = "runner-images:latest";
/** As `pulumi config set` writes it, which quotes what YAML would take for a number. */
const pin = new RegExp(`^  ${key}: (["']?)[0-9a-f]{40}\\1\\n`, "gm");
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
  if (withoutPin(before) !== withoutPin(after)) return "ordinary";
  // The line is where it is a setting, and not part of some text; and it is there once, since YAML refuses a key that is there twice.
  const [one, other] = [settings(before), settings(after)];
  return one !== null && other !== null && isDeepStrictEqual(one, other) ? "rollback" : "ordinary";
}

function withoutPin(text: string): string {
  return text.replaceAll(pin, "");
}

/** What a stack's file says beside the pin; null where it is not one, or the pin is no commit. */
function settings(text: string): unknown {
  try {
    const file = parse(text) as { config: Record<string, unknown> };
    const { [key]: pinned, ...config } = file.config;
    if (pinned !== undefined && !/^[0-9a-f]{40}$/.test(pinned as string)) return null;
    return { ...file, config };
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
