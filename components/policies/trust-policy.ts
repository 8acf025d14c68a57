import { policyDocument, type PolicyDocument } from "./document.js";

/** GitHub's issuer of tokens for workflows, and what AWS expects them to be made out to. */
export const issuer = "token.actions.githubusercontent.com";
export const audience = "sts.amazonaws.com";

/** The environment of deploy.yml, which GitHub limits to main (components/github-repository.ts). */
export const deployEnvironment = "production";
/** The environment of prune.yml's job that removes images; limited to main as well, and opened by the same reviewers. */
export const pruneEnvironment = "prune";

/** The roles that workflows of the repository may assume. */
export const roles = ["preview", "deploy", "prune"] as const;
export type Role = (typeof roles)[number];

/**
 * The subjects of GitHub's tokens that may have a role.
 * @param repository as GitHub's tokens name it: "owner/repo", or "owner@ID/repo@ID" where subjects are immutable. The second form
 *   stays safe when the repository is renamed and somebody else takes the old name.
 */
export function subjects(repository: string, role: Role): string[] {
  switch (role) {
    case "preview":
      // Pull requests of this repository's own branches (a fork's get no token), and the daily look for drift on main.
      return [`repo:${repository}:pull_request`, `repo:${repository}:ref:refs/heads/main`];
    case "deploy":
      // GitHub gives this subject only to a job that passed the environment's rules: main only.
      return [`repo:${repository}:environment:${deployEnvironment}`];
    case "prune":
      return [`repo:${repository}:environment:${pruneEnvironment}`];
  }
}

/** Who may assume a role: the bearer of a token from GitHub, made out to AWS, with exactly one of the given subjects. */
export function trustPolicy({
  providerArn,
  subjects,
}: {
  providerArn: string;
  subjects: string[];
}): PolicyDocument {
  return policyDocument(
    // No wildcard, and StringEquals would not read one: any subject but these is another branch, environment or repository, and
    // GitHub signs tokens for all the world's repositories. The audience keeps out tokens made for other services.
    {
      Sid: "WorkflowsOfThisRepository",
      Effect: "Allow",
      Principal: { Federated: providerArn },
      Action: ["sts:AssumeRoleWithWebIdentity"],
      Condition: {
        StringEquals: { [`${issuer}:aud`]: audience, [`${issuer}:sub`]: subjects },
      },
    },
  );
}
