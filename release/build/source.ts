import { access, mkdir, readFile, rename, rm } from "node:fs/promises";
import path from "node:path";
import { execa, type ExecaError } from "execa";
import { UserError } from "../process/errors.js";

/** Everything a build takes in lives here, so the last commit that touched it names the image (docs/architecture.md). */
const imageFolder = "image";

/**
 * The commit that names the newest image: the last one that touched `image/`.
 * @param root the checkout's root
 * @throws UserError where that commit cannot be known: no git, no checkout, no commit, uncommitted changes, history cut off
 */
export async function lastImageCommit(root: string): Promise<string> {
  const history = await readHistory(root);
  await requireCleanImage(root);
  const commit = await git(root, "log", "-1", "--format=%H", "--", imageFolder);
  // In a shallow clone the oldest commit looks as if it had added every file, so it answers for whatever lies before it.
  if (history.cutOff.has(commit) || (commit === "" && history.cutOff.size > 0))
    throw new UserError(
      `${root} is a shallow clone, and its history stops before the last commit of ${imageFolder}/: fetch all of it (actions/checkout: fetch-depth: 0; by hand: git fetch --unshallow)`,
    );
  if (commit === "")
    throw new UserError(`no commit of ${root} has ${imageFolder}/: git add ${imageFolder} && git commit`);
  return commit;
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
    await git(root, "archive", "--format=tar", `--output=${tar}`, commit, imageFolder);
    await execa("tar", ["-xf", tar, "-C", temporary]);
    await rename(path.join(temporary, imageFolder), image);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  return image;
}

/** @returns the commits whose parents this clone does not have; none where the history is whole */
async function readHistory(root: string): Promise<{ cutOff: Set<string> }> {
  const answer = await git(root, "rev-parse", "--is-shallow-repository", "--git-path", "shallow", "HEAD");
  const [isShallow, shallowFile] = answer.split("\n") as [string, string];
  if (isShallow !== "true") return { cutOff: new Set() };
  const commits = (await readFile(path.resolve(root, shallowFile), "utf8")).split("\n");
  return { cutOff: new Set(commits.filter((commit) => commit !== "")) };
}

async function requireCleanImage(root: string): Promise<void> {
  const status = await git(root, "status", "--porcelain", "--untracked-files=all", "--", imageFolder);
  const [first, ...others] = status.split("\n").filter((line) => line !== "");
  if (first === undefined) return;
  const rest = others.length === 0 ? "" : ` and ${others.length} more`;
  throw new UserError(
    `${imageFolder}/ has uncommitted changes (${first.slice(3)}${rest}): commit them, a local commit is enough, or undo them`,
  );
}

/** @throws UserError with what git says, where it fails */
async function git(root: string, ...args: string[]): Promise<string> {
  try {
    // The untranslated messages are those people find on the web.
    const { stdout } = await execa("git", args, { cwd: root, env: { LC_ALL: "C" } });
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
