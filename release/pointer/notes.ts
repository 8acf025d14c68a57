import { git, newestImage } from "../build/source.js";
import { printable } from "../process/progress.js";
import type { CommitNote, Pointer } from "../store/records.js";

/** Who and why, as git says it. */
export type MoveNotes = Pick<Pointer, "image" | "askedBy">;

/**
 * What a checkout knows of a move to an image: the image's own commit, and the one that asked for it where that is another, which is the one that
 * went back to the image's content, or the last one that changed a stack's file. Nothing of what is not committed, and nothing where there
 * is no checkout, or one without the image: a move does not wait for its reason.
 * @param root the checkout's root
 */
export async function readNotes(root: string, commit: string): Promise<MoveNotes> {
  const [image, askedBy] = await Promise.all([
    readNote(root, commit),
    findAsker(root, commit).catch(() => null),
  ]);
  return {
    ...(image !== undefined && { image }),
    ...(askedBy !== null && askedBy !== undefined && { askedBy }),
  };
}

async function findAsker(root: string, commit: string): Promise<CommitNote | null | undefined> {
  const newest = await newestImage(root);
  if (newest.commit === commit)
    return newest.returnedBy === null ? null : await readNote(root, newest.returnedBy);
  const stackFiles = "Pulumi.*.yaml";
  if ((await git(root, ["status", "--porcelain", "--", stackFiles])) !== "") return null;
  const pinnedBy = await git(root, ["log", "-1", "--format=%H", "--", stackFiles]);
  return pinnedBy === "" ? null : await readNote(root, pinnedBy);
}

async function readNote(root: string, commit: string): Promise<CommitNote | undefined> {
  try {
    const format = "--format=%aN%x00%s";
    const text = await git(root, ["log", "-1", "--encoding=UTF-8", format, commit]);
    const [author = "", subject = ""] = text.split("\0");
    return { commit, author: printable(author), subject: printable(subject) };
  } catch {
    return undefined;
  }
}
