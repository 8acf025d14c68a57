import { standing, usabilityText, type Usability } from "../../release/pointer/runner-releases.js";
import type { Manifest } from "../../release/store/records.js";

/**
 * What a look for drift leaves out (`pulumi preview --exclude`): the token of a workflow cannot read Actions variables and permissions, and
 * only an administrator's update writes them.
 */
export const unreadable = [
  "**github:index/actionsVariable:ActionsVariable::**",
  "**github:index/workflowRepositoryPermissions:WorkflowRepositoryPermissions::**",
];

/** The resource that moves everybody's `latest`; a channel's has the channel's name in it. */
export const everybodysPointer = "**LatestPointer$command:local:Command::latest";

const dayMs = 24 * 60 * 60 * 1000;
/** Security updates reach hosts with a new image only. */
const oldestDays = 30;
/**
 * What is due about a live image, one line each; none: nothing.
 * @param usability of its runner, as far as it is known today
 */
export function upkeepDue(
  { arch, commit, publishedAt, build }: Pick<Manifest, "arch" | "commit" | "publishedAt" | "build">,
  usability: Usability,
  now: Date,
): string[] {
  const due: string[] = [];
  const age = Math.floor((now.getTime() - Date.parse(publishedAt)) / dayMs);
  if (age > oldestDays)
    due.push(
      `${arch}: the live image ${commit} is ${age} days old (at most ${oldestDays}): bring the pins up to date (npm run pins)`,
    );
  if (standing(usability, now) !== "fine")
    due.push(
      `${arch}: its runner ${build.runner.version}: ${usabilityText(usability, now)}: build an image with a newer runner (npm run pins)`,
    );
  return due;
}

/** What a day's look found. */
export interface Findings {
  /** Pulumi's preview, where it showed changes. */
  drift: string | null;
  due: string[];
  /** What could not be looked at, and why. */
  blind: string[];
  /** The images that can be removed, a line each with its proof. */
  removal: string[];
}

/** The exit code of `pulumi preview --expect-no-changes` where there are changes. */
const changesExpected = 7;

/** @returns Pulumi's text where the stack has drifted, why it is not known, or nothing of both where all is as it should be */
export function judgePreview(exitCode: number, text: string): Pick<Findings, "drift" | "blind"> {
  if (exitCode === 0) return { drift: null, blind: [] };
  if (exitCode === changesExpected) return { drift: text, blind: [] };
  const reason = /^\s*error: (.+)$/m.exec(text)?.[1] ?? "see the log";
  return { drift: null, blind: [`pulumi preview ended with ${exitCode}: ${reason}`] };
}
