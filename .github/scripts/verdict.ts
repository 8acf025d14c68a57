/** A job that `finish` needs, as GitHub tells it. */
export interface NeededJob {
  result: "success" | "failure" | "cancelled" | "skipped";
  outputs: Record<string, string>;
}

/** What decides which jobs may be skipped. */
export interface Circumstances {
  event: string;
  isFork: boolean;
  /** Whether Dependabot opened it: GitHub gives its runs no more than a fork's. */
  isDependabot: boolean;
  /** Whether vars.PREVIEW_ROLE_ARN is set. */
  hasPreviewRole: boolean;
}

/** What became of one job. `why` says why it may be skipped, or what is wrong. */
export interface Judged {
  job: string;
  passed: boolean;
  why: string;
}

/** Judges every job: it has succeeded, or there is a reason to have skipped it. */
export function judge(needs: Record<string, NeededJob>, circumstances: Circumstances): Judged[] {
  return Object.entries(needs).map(([job, { result }]) => {
    if (result === "success") return { job, passed: true, why: "passed" };
    if (result !== "skipped") return { job, passed: false, why: result };
    const reason = skipReason(job, needs, circumstances);
    return reason === null
      ? { job, passed: false, why: "skipped, and must not be" }
      : { job, passed: true, why: `skipped: ${reason}` };
  });
}

/** Why a job may be skipped; null: it may not. The conditions are those of pull-request.yml. */
function skipReason(
  job: string,
  needs: Record<string, NeededJob>,
  { event, isFork, isDependabot, hasPreviewRole }: Circumstances,
): string | null {
  const inQueue = event === "merge_group";
  switch (job) {
    case "test": {
      const isProven = inQueue || needs["preview"]?.result === "success";
      return needs["changes"]?.outputs["lane"] === "rollback" && isProven
        ? "nothing but what production or a channel is pinned to is changed, which the preview has proven"
        : null;
    }
    case "preview":
    case "comment":
      if (inQueue) return "the pull request has shown it";
      if (isFork) return "a fork gets no credentials; a maintainer can push the branch to this repository";
      if (isDependabot)
        return "Dependabot's pull requests get no credentials, like a fork's; a maintainer can push the branch under another name and open one";
      return hasPreviewRole ? null : "before the first deploy there is no role to preview with";
    case "image":
      if (inQueue) return "the pull request has shown it, and the deploy boots it before it is promoted";
      return needs["changes"]?.outputs["image"] === "false"
        ? "image/ is unchanged, or what it was before"
        : null;
    default:
      return null;
  }
}
