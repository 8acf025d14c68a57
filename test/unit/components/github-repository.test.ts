import { beforeAll, describe, expect, it, vi } from "vitest";
import type { GitHubRepositoryArgs } from "../../../components/github-repository.js";
import { inputsOf, recordResources, type Recorded } from "./recorder.js";

const variables = {
  AWS_REGION: "eu-central-1",
  BUCKET: "acme-runner-images",
  DEPLOY_MINUTES: "180",
  DEPLOY_ROLE_ARN: "arn:deploy",
  DEPLOY_SESSION_SECONDS: "11700",
  IMAGES_URL: "https://images.acme.test",
  PREVIEW_ROLE_ARN: "arn:preview",
  PRUNE_ROLE_ARN: "arn:prune",
};
let resources: Recorded[];

async function make(changes: Partial<GitHubRepositoryArgs> = {}): Promise<void> {
  // The provider's SDK would take it from there, and preflight.ts refuses to run with it.
  vi.stubEnv("GITHUB_TOKEN", "");
  const recording = await recordResources();
  const { GitHubRepository } = await import("../../../components/github-repository.js");
  const args = {
    owner: "acme",
    repository: "runner-images",
    approvals: 1,
    reviewers: { users: [], teams: [] },
    mergeQueue: false,
    variables,
  };
  new GitHubRepository("repository", { ...args, ...changes });
  await recording.flush();
  ({ resources } = recording);
}

const inputs = (type: string, name: string) => inputsOf(resources, `github:index/${type}`, name);
const ruleset = () => inputs("repositoryRuleset:RepositoryRuleset", "repository-main");
const rules = () => ruleset()["rules"] as Record<string, unknown>;

describe("GitHubRepository", () => {
  beforeAll(() => make());

  it.each(["production", "prune", "upkeep"])(
    "limits the environment %s to main, for administrators too",
    (name) => {
      expect(inputs("repositoryEnvironment:RepositoryEnvironment", `repository-${name}`)).toEqual({
        repository: "runner-images",
        environment: name,
        canAdminsBypass: false,
        deploymentBranchPolicy: { protectedBranches: false, customBranchPolicies: true },
      });
      const policies = resources.filter(
        ({ type, inputs: given }) => type.includes("DeploymentPolicy") && given["environment"] === name,
      );
      expect(policies.map(({ inputs: given }) => given)).toEqual([
        { repository: "runner-images", environment: name, branchPattern: "main" },
      ]);
    },
  );

  it("protects main by a ruleset in force, with nobody exempt", () => {
    expect(ruleset()).toMatchObject({
      repository: "runner-images",
      target: "branch",
      enforcement: "active",
      conditions: { refName: { includes: ["refs/heads/main"], excludes: [] } },
    });
    expect(ruleset()).not.toHaveProperty("bypassActors");
  });

  it("takes a reviewed pull request to get to main, and never a force-push or deletion", () => {
    expect(rules()).toMatchObject({
      deletion: true,
      nonFastForward: true,
      pullRequest: {
        requiredApprovingReviewCount: 1,
        dismissStaleReviewsOnPush: true,
        requireLastPushApproval: true,
        requireCodeOwnerReview: true,
      },
    });
  });

  it("requires the check `finish` of GitHub Actions, of what main will be", () => {
    expect(rules()["requiredStatusChecks"]).toEqual({
      requiredChecks: [{ context: "finish", integrationId: 15368 }],
      strictRequiredStatusChecksPolicy: true,
    });
    expect(rules()).not.toHaveProperty("mergeQueue");
  });

  it("lets no workflow approve a pull request, nor write without asking", () => {
    expect(
      inputs(
        "workflowRepositoryPermissions:WorkflowRepositoryPermissions",
        "repository-workflow-permissions",
      ),
    ).toEqual({
      repository: "runner-images",
      canApprovePullRequestReviews: false,
      defaultWorkflowPermissions: "read",
    });
  });

  it("holds what the workflows read in variables, and nothing in secrets", () => {
    const made = resources.filter(({ type }) => type === "github:index/actionsVariable:ActionsVariable");
    const given = made.map(({ inputs: { variableName, value } }) => [variableName, value]);
    expect(Object.fromEntries(given)).toEqual(variables);
    expect(resources.filter(({ type }) => /secret/i.test(type))).toEqual([]);
  });

  it("names the owner to the provider, and gives it no token to store", () => {
    const given = inputsOf(resources, "pulumi:providers:github", "repository-github");
    expect(given).toMatchObject({ owner: "acme" });
    expect(given).not.toHaveProperty("token");
  });

  it("merges through a queue where that is wanted, one at a time", async () => {
    await make({ mergeQueue: true });
    expect(rules()["mergeQueue"]).toEqual({
      mergeMethod: "MERGE",
      maxEntriesToMerge: 1,
      checkResponseTimeoutMinutes: 120,
    });
    expect(rules()["requiredStatusChecks"]).toMatchObject({ strictRequiredStatusChecksPolicy: false });
  });

  it("lets a deploy, or a removal, begin by another than who started it, and asks nobody for the App's key", async () => {
    await make({ reviewers: { users: [583231], teams: [12, 13] } });
    const environment = (name: string) =>
      inputs("repositoryEnvironment:RepositoryEnvironment", `repository-${name}`);
    for (const name of ["production", "prune"])
      expect(environment(name), name).toMatchObject({
        preventSelfReview: true,
        reviewers: [{ users: [583231], teams: [12, 13] }],
        canAdminsBypass: false,
      });
    expect(environment("upkeep")).not.toHaveProperty("reviewers");
    await make({ reviewers: { users: [583231], teams: [] } });
    expect(environment("production")["reviewers"]).toEqual([{ users: [583231] }]);
  });

  it("asks for no approval of the last push or of an owner where it asks for none at all", async () => {
    await make({ approvals: 0 });
    expect(rules()["pullRequest"]).toMatchObject({
      requiredApprovingReviewCount: 0,
      requireLastPushApproval: false,
      requireCodeOwnerReview: false,
    });
  });
});
