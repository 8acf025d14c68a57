import { access, mkdir, rename, rm } from "node:fs/promises";
import path from "node:path";
import { execa, type ExecaError } from "execa";
import { UserError } from "../process/errors.js";

/** Everything a build takes in lives here, so a commit of it names an image (docs/architecture.md). */
const imageFolder = "image";

/** The image that a checkout stands for. */
export interface NewestImage {
  /** The commit that names it: the first one of the history with this content of `image/`. */
  commit: string;
  /** The commit that went back to that content, as `git revert` does; null where none did. */
  returnedBy: string | null;
}

/**
 * The image that a checkout stands for: what `image/` holds, under the name of the first commit that had it so. Going back to what was built
 * before is therefore going back to that image, and a new one only where the content is new.
 *
 * Looked for along git's simplified history of `image/`, which passes over the branches that a merge took nothing of: a merge of an old
 * branch renames nothing (https://git-scm.com/docs/git-log#_history_simplification).
 * @param root the checkout's root
 * @throws UserError where that cannot be known: no git, no checkout, no commit, uncommitted changes, history cut off
 */
export async function newestImage(root: string): Promise<NewestImage> {
  await requireWholeHistory(root);
  await requireCleanImage(root);
  const log = await git(root, ["log", "--topo-order", "--format=%H", "--", imageFolder]);
  const commits = log.split("\n") as [string, ...string[]];
  const contents = commits.map((commit) => `${commit}:${imageFolder}\n`).join("");
  // "<hash> tree <bytes>" for each, or "<what was asked for> missing" where the commit took the folder away.
  const answers = (await git(root, ["cat-file", "--batch-check"], contents)).split("\n");
  if (!answers[0]!.includes(" tree "))
    throw new UserError(
      `the last commit of ${root} has no ${imageFolder}/: git add ${imageFolder} && git commit`,
    );
  const first = commits[answers.lastIndexOf(answers[0]!)]!;
  const [last] = commits;
  return { commit: first, returnedBy: first === last ? null : last };
}

/**
 * Lays out `image/` as it is in a commit, so that a build never sees what is not committed.
 * @param directory of this build alone; gets `image/`, whole or not at all; one that is there already is kept
 * @returns the path of `image/` in it
 */
export async function exportImage(root: string, commit: string, directory: string): Promise<string> {
  const image = path.join(directory, imageFolder);
  if (await exists(image)) return image;
  // In the folder that goes with the build: what a killed run left here goes with it.
  const temporary = path.join(directory, "export");
  const tar = path.join(temporary, "image.tar");
  await rm(temporary, { recursive: true, force: true });
  await mkdir(temporary, { recursive: true });
  try {
    await git(root, ["archive", "--format=tar", `--output=${tar}`, commit, imageFolder]);
    await execa("tar", ["-xf", tar, "-C", temporary]);
    await rename(path.join(temporary, imageFolder), image);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  return image;
}

async function requireWholeHistory(root: string): Promise<void> {
  const [isShallow] = (await git(root, ["rev-parse", "--is-shallow-repository", "HEAD"])).split("\n");
  if (isShallow !== "true") return;
  throw new UserError(
    `${root} is a shallow clone, and the commit that ${imageFolder}/ is named after may lie before its history begins: fetch all of it (actions/checkout: fetch-depth: 0; by hand: git fetch --unshallow)`,
  );
}

async function requireCleanImage(root: string): Promise<void> {
  const status = await git(root, ["status", "--porcelain", "--untracked-files=all", "--", imageFolder]);
  const [first, ...others] = status.split("\n").filter((line) => line !== "");
  if (first === undefined) return;
  const rest = others.length === 0 ? "" : ` and ${others.length} more`;
  throw new UserError(
    `${imageFolder}/ has uncommitted changes (${first.slice(3)}${rest}): commit them, a local commit is enough, or undo them`,
  );
}

/** @throws UserError with what git says, where it fails */
export async function git(root: string, args: string[], input = ""): Promise<string> {
  try {
    const env = {
      // The untranslated messages are those people find on the web.
      LC_ALL: "C",
      // Else `git status` notes in the index what it saw, and where it is killed its lock stays:
      // https://git-scm.com/docs/git-status#_background_refresh
      GIT_OPTIONAL_LOCKS: "0",
    };
    const { stdout } = await execa("git", args, { cwd: root, env, input });
    return stdout;
  } catch (error) {
    const { code, stderr } = error as ExecaError<{ encoding: "utf8" }>;
    if (code === "ENOENT" && (await exists(root)))
      throw new UserError("git is not installed: apt-get install git", { cause: error });
    const text = String(stderr ?? "");
    if (text.includes("not a git repository"))
      throw new UserError(
        `${root} is not a git checkout, and images are named after commits: git clone the repository, or git init and commit`,
        { cause: error },
      );
    if (text.includes("unknown revision") && args.at(-1) === "HEAD")
      throw new UserError(`${root} has no commit yet: git add -A && git commit (a local commit is enough)`, {
        cause: error,
      });
    throw new UserError(`git ${args[0]} fails in ${root}: ${text.split("\n").join(" ").trim()}`, {
      cause: error,
    });
  }
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  );
}
