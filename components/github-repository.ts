import * as github from "@pulumi/github";
import * as pulumi from "@pulumi/pulumi";
import { deployEnvironment, pruneEnvironment } from "./policies/trust-policy.js";

export interface GitHubRepositoryArgs {
  owner: string;
  /** The repository, which is there already: its name without the owner. */
  repository: string;
  /** Reviews that a pull request needs before it can be merged, one of them by a code owner (.github/CODEOWNERS). */
  approvals: number;
  /** GitHub's IDs of those who may let a deploy begin; nobody: it begins by itself. */
  reviewers: { users: readonly number[]; teams: readonly number[] };
  /** Whether pull requests are merged through GitHub's merge queue. */
  mergeQueue: boolean;
  /** What the workflows have to know. Variables, not secrets: none of it gives access to anything. */
  variables: Record<Exclude<WorkflowVariable, "CHANNELS">, pulumi.Input<string>> & {
    /** Their names, separated by spaces; only where there are any. */
    CHANNELS?: pulumi.Input<string>;
  };
}

/** The variables that .github/workflows/ read, as `vars.<name>`. */
export const workflowVariables = [
  "AWS_REGION",
  "BUCKET",
  "CHANNELS",
  "DEPLOY_MINUTES",
  "DEPLOY_ROLE_ARN",
  "DEPLOY_SESSION_SECONDS",
  "IMAGES_URL",
  "PREVIEW_ROLE_ARN",
  "PRUNE_ROLE_ARN",
] as const;
export type WorkflowVariable = (typeof workflowVariables)[number];

const mainBranch = "main";
/** The environment of upkeep.yml's job that opens a pull request: it holds the key of a GitHub App, put there by hand. */
export const upkeepEnvironment = "upkeep";
/** The one required check: the job of pull-request.yml that sums up the others. */
export const requiredCheck = "finish";
/** How long the queue waits for that check: longer than the longest job of pull-request.yml that runs in the queue. */
export const queueTimeoutMinutes = 120;
/** GitHub Actions' own app: a status with the name of the check from anybody else does not count. */
const githubActionsApp = 15368;

/**
 * A deploy waits for one of the reviewers, who did not start it (a merge is started by whoever merged). GitHub keeps the rule against
 * oneself as part of the reviewers, so without any it would only show as drift.
 * https://docs.github.com/actions/reference/workflows-and-actions/deployments-and-environments#required-reviewers
 */
function gate({ users, teams }: GitHubRepositoryArgs["reviewers"]) {
  if (users.length + teams.length === 0) return {};
  const reviewers = {
    ...(users.length > 0 && { users: [...users] }),
    ...(teams.length > 0 && { teams: [...teams] }),
  };
  return { preventSelfReview: true, reviewers: [reviewers] };
}

/** What GitHub itself enforces: only `main` deploys, removes images or gets at the App's key, and nothing reaches `main` without review and checks. */
export class GitHubRepository extends pulumi.ComponentResource {
  constructor(name: string, args: GitHubRepositoryArgs, opts?: pulumi.ComponentResourceOptions) {
    super("runner-images:index:GitHubRepository", name, {}, opts);
    const { repository } = args;
    // Of this repository's owner, whatever `github:owner` says. It gets its token from `gh auth token`, which knows GH_TOKEN too;
    // a token that Pulumi hands it would be kept in the state (preflight.ts).
    const provider = new github.Provider(`${name}-github`, { owner: args.owner }, { parent: this });
    const parts = { parent: this, provider };

    // GitHub lets only jobs on main into them: the roles that add and remove images trust tokens of the first two, the third holds the
    // App's key.
    for (const environmentName of [deployEnvironment, pruneEnvironment, upkeepEnvironment]) {
      const environment = new github.RepositoryEnvironment(
        `${name}-${environmentName}`,
        {
          repository,
          environment: environmentName,
          canAdminsBypass: false,
          deploymentBranchPolicy: { protectedBranches: false, customBranchPolicies: true },
          ...(environmentName !== upkeepEnvironment && gate(args.reviewers)),
        },
        parts,
      );
      new github.RepositoryEnvironmentDeploymentPolicy(
        `${name}-${environmentName}-${mainBranch}`,
        { repository, environment: environment.environment, branchPattern: mainBranch },
        parts,
      );
    }

    // A merge is a deploy, so a merge takes a pull request, reviews and the checks. No one is exempt.
    new github.RepositoryRuleset(
      `${name}-${mainBranch}`,
      {
        repository,
        name: mainBranch,
        target: "branch",
        enforcement: "active",
        conditions: { refName: { includes: [`refs/heads/${mainBranch}`], excludes: [] } },
        rules: {
          deletion: true,
          nonFastForward: true,
          pullRequest: {
            requiredApprovingReviewCount: args.approvals,
            // A review is of what is merged, not of what was there before the last push.
            dismissStaleReviewsOnPush: true,
            requireLastPushApproval: args.approvals > 0,
            // What hosts boot and what binds CI is not for anybody who may push to let pass. An owner that GitHub does not know, or
            // who may not write, counts as none:
            // https://docs.github.com/repositories/managing-your-repositorys-settings-and-features/customizing-your-repository/about-code-owners
            requireCodeOwnerReview: args.approvals > 0,
          },
          requiredStatusChecks: {
            requiredChecks: [{ context: requiredCheck, integrationId: githubActionsApp }],
            // What was tested is what main will be; a queue sees to that by itself.
            strictRequiredStatusChecksPolicy: !args.mergeQueue,
          },
          ...(args.mergeQueue && {
            mergeQueue: {
              mergeMethod: "MERGE",
              maxEntriesToMerge: 1,
              checkResponseTimeoutMinutes: queueTimeoutMinutes,
            },
          }),
        },
      },
      parts,
    );

    // A workflow of a branch must not approve its own pull request, and gets no more than it asks for.
    new github.WorkflowRepositoryPermissions(
      `${name}-workflow-permissions`,
      { repository, canApprovePullRequestReviews: false, defaultWorkflowPermissions: "read" },
      parts,
    );

    // The workflows are the same for every team; what differs is here.
    for (const variableName of workflowVariables) {
      const value = args.variables[variableName];
      if (value === undefined) continue;
      new github.ActionsVariable(
        `${name}-variable-${variableName.toLowerCase().replaceAll("_", "-")}`,
        { repository, variableName, value },
        parts,
      );
    }

    this.registerOutputs();
  }
}
