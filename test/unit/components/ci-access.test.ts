import { beforeAll, describe, expect, it } from "vitest";
import type { CiAccessArgs } from "../../../components/ci-access.js";
import { deployPolicy } from "../../../components/policies/deploy-policy.js";
import { prunePolicy } from "../../../components/policies/prune-policy.js";
import { previewPolicy } from "../../../components/policies/preview-policy.js";
import { inputsOf, optionsProbe, recordResources, type Recorded } from "./recorder.js";

const account = "123456789012";
const providerArn = `arn:aws:iam::${account}:oidc-provider/token.actions.githubusercontent.com`;
const args = {
  account,
  subject: "acme@12/runner-images@345",
  oidcProvider: "create",
  sessionSeconds: 11700,
  resources: {
    region: "eu-central-1",
    bucket: "acme-runner-images",
    distributionArn: `arn:aws:cloudfront::${account}:distribution/E1`,
    cdnPolicyArns: [],
    zone: "Z1",
    certificateArn: undefined,
    stateBucket: "acme-pulumi-state",
    stateKey: "alias/pulumi-state",
  },
} satisfies CiAccessArgs;
const scope = {
  ...args.resources,
  account,
  project: "runner-images",
  stack: "prod",
  providerArn,
  roleArns: ["preview", "deploy", "prune"].map(
    (role) => `arn:aws:iam::${account}:role/runner-images-prod-${role}`,
  ),
};
let resources: Recorded[];
let probed: ReturnType<typeof optionsProbe>;

async function make(changes: Partial<CiAccessArgs> = {}): Promise<void> {
  const recording = await recordResources({ stack: "prod" });
  const { CiAccess } = await import("../../../components/ci-access.js");
  probed = optionsProbe();
  new CiAccess("ci", { ...args, ...changes }, { transformations: [probed.probe] });
  await recording.flush();
  ({ resources } = recording);
}

const role = (name: string) => inputsOf(resources, "aws:iam/role:Role", name);
const policy = (name: string) => inputsOf(resources, "aws:iam/rolePolicy:RolePolicy", name);
const subjectsOf = (name: string) => {
  const { Statement } = JSON.parse(role(name)["assumeRolePolicy"] as string) as {
    Statement: { Condition: { StringEquals: Record<string, unknown> } }[];
  };
  expect(Statement).toHaveLength(1);
  return Statement[0]!.Condition.StringEquals["token.actions.githubusercontent.com:sub"];
};

describe("CiAccess", () => {
  beforeAll(() => make());

  it("believes GitHub's tokens that are made out to AWS", () => {
    expect(inputsOf(resources, "aws:iam/openIdConnectProvider:OpenIdConnectProvider", "ci-github")).toEqual({
      url: "https://token.actions.githubusercontent.com",
      clientIdLists: ["sts.amazonaws.com"],
    });
  });

  it("gives the preview role to pull requests and main, for an hour", () => {
    expect(subjectsOf("ci-preview")).toEqual([
      "repo:acme@12/runner-images@345:pull_request",
      "repo:acme@12/runner-images@345:ref:refs/heads/main",
    ]);
    expect(role("ci-preview")["maxSessionDuration"]).toBe(3600);
  });

  it("gives the deploy role to the environment production and to nothing else, for longer than a deploy", () => {
    expect(subjectsOf("ci-deploy")).toEqual(["repo:acme@12/runner-images@345:environment:production"]);
    expect(role("ci-deploy")["maxSessionDuration"]).toBe(11700);
  });

  it("gives the prune role to the environment prune and to nothing else, for an hour", () => {
    expect(subjectsOf("ci-prune")).toEqual(["repo:acme@12/runner-images@345:environment:prune"]);
    expect(role("ci-prune")["maxSessionDuration"]).toBe(3600);
    expect(JSON.parse(policy("ci-prune-policy")["policy"] as string)).toEqual(
      JSON.parse(JSON.stringify(prunePolicy(scope))),
    );
  });

  it("uses the other form of the subject where the repository is given by name only", async () => {
    await make({ subject: "acme/runner-images" });
    expect(subjectsOf("ci-deploy")).toEqual(["repo:acme/runner-images:environment:production"]);
    await make();
  });

  it("gives each role its policy, by a name that its policy can speak of", () => {
    expect(role("ci-preview")["name"]).toBe("runner-images-prod-preview");
    expect(role("ci-deploy")["name"]).toBe("runner-images-prod-deploy");
    expect(JSON.parse(policy("ci-preview-policy")["policy"] as string)).toEqual(
      JSON.parse(JSON.stringify(previewPolicy(scope))),
    );
    expect(JSON.parse(policy("ci-deploy-policy")["policy"] as string)).toEqual(
      JSON.parse(JSON.stringify(deployPolicy(scope))),
    );
    expect(policy("ci-preview-policy")["role"]).toBe("runner-images-prod-preview");
    expect(policy("ci-deploy-policy")["role"]).toBe("runner-images-prod-deploy");
  });

  it("attaches no managed policy, which AWS could extend", () => {
    for (const name of ["ci-preview", "ci-deploy", "ci-prune"])
      expect(role(name)).not.toHaveProperty("managedPolicyArns");
    expect(resources.filter(({ type }) => type.includes("PolicyAttachment"))).toEqual([]);
  });

  it("makes the roles after the provider that they trust", () => {
    expect(probed.dependenciesOf("ci-preview")).toEqual(["ci-github"]);
    expect(probed.dependenciesOf("ci-deploy")).toEqual(["ci-github"]);
  });

  it("makes no provider where the account has one, since there can be only one", async () => {
    await make({ oidcProvider: "existing" });
    expect(resources.map(({ name }) => name).sort()).toEqual([
      "ci",
      "ci-deploy",
      "ci-deploy-policy",
      "ci-preview",
      "ci-preview-policy",
      "ci-prune",
      "ci-prune-policy",
    ]);
    expect(role("ci-deploy")["assumeRolePolicy"]).toContain(providerArn);
  });

  it("lets a session last an hour at least, which is AWS's own minimum", async () => {
    await make({ sessionSeconds: 2700 });
    expect(role("ci-deploy")["maxSessionDuration"]).toBe(3600);
  });
});
