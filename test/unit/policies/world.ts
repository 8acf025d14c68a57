import { anonymousPrincipal, runSimulation, type Simulation } from "@cloud-copilot/iam-simulate";
import { bucketPolicy } from "../../../components/policies/bucket-policy.js";
import { deployPolicy } from "../../../components/policies/deploy-policy.js";
import { policyDocument, type PolicyDocument } from "../../../components/policies/document.js";
import { prunePolicy } from "../../../components/policies/prune-policy.js";
import { previewPolicy, type PolicyScope } from "../../../components/policies/preview-policy.js";
import { subjects, trustPolicy, type Role } from "../../../components/policies/trust-policy.js";

/*
 * A production stack, and who deals with it: the policies of this project, evaluated as AWS would, by @cloud-copilot/iam-simulate.
 */

export const account = "111122223333";
const otherAccount = "999988887777";
/** As GitHub's tokens name it; the IDs are those of owner and repository. */
export const repository = "octo-org@1001/runner-images@2002";
const issuer = "token.actions.githubusercontent.com";

const roleArn = (role: string) => `arn:aws:iam::${account}:role/runner-images-prod-${role}`;

export const scope = {
  account,
  region: "eu-central-1",
  bucket: "octo-runner-images",
  channels: ["canary"],
  channelFunctionArn: `arn:aws:cloudfront::${account}:function/cdn-channel-images-0abc123`,
  distributionArn: `arn:aws:cloudfront::${account}:distribution/E1A2B3C4D5E6F7`,
  cdnPolicyArns: [
    `arn:aws:cloudfront::${account}:origin-access-control/E2OAC0000000001`,
    `arn:aws:cloudfront::${account}:cache-policy/0aaaaaaa-0000-4000-8000-000000000001`,
    `arn:aws:cloudfront::${account}:cache-policy/0bbbbbbb-0000-4000-8000-000000000002`,
    `arn:aws:cloudfront::${account}:response-headers-policy/0ccccccc-0000-4000-8000-000000000003`,
  ],
  zone: "Z0123456789ABCDEFGHIJ",
  certificateArn: `arn:aws:acm:us-east-1:${account}:certificate/0ddddddd-0000-4000-8000-000000000004`,
  stateBucket: "octo-pulumi-state",
  project: "runner-images",
  stack: "prod",
  stateKey: "alias/pulumi-state",
  roleArns: [roleArn("preview"), roleArn("deploy"), roleArn("prune")],
  providerArn: `arn:aws:iam::${account}:oidc-provider/${issuer}`,
} satisfies PolicyScope;

/** What AWS calls AdministratorAccess. */
const administratorAccess = policyDocument({
  Sid: "All",
  Effect: "Allow",
  Action: ["*"],
  Resource: ["*"],
});

/** The policy that a KMS key gets unless told otherwise: its account's IAM policies decide. */
const defaultKeyPolicy = {
  Version: "2012-10-17",
  Statement: [
    {
      Sid: "IamDecides",
      Effect: "Allow",
      Principal: { AWS: `arn:aws:iam::${account}:root` },
      Action: "kms:*",
      Resource: "*",
    },
  ],
};

type Context = Record<string, string | string[]>;

/** Who asks: signed as what, allowed what by its own account, and what AWS adds to each of its requests. */
export interface Who {
  principal: Simulation["request"]["principal"];
  identity?: PolicyDocument;
  context?: Context;
}

const session = (role: string, identity: PolicyDocument): Who => ({
  principal: `arn:aws:sts::${account}:assumed-role/runner-images-prod-${role}/GitHubActions`,
  identity,
  // https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalarn
  context: { "aws:PrincipalArn": roleArn(role) },
});
const cloudfront = (distributionArn: string): Who => ({
  principal: "cloudfront.amazonaws.com",
  context: { "aws:SourceArn": distributionArn },
});
/** A job with `id-token: write`: GitHub signs who it is, and it chooses the audience. */
const token = (subject: string, audience = "sts.amazonaws.com", from = scope.providerArn): Who => ({
  principal: from,
  context: { [`${issuer}:sub`]: `repo:${subject}`, [`${issuer}:aud`]: audience },
});

export const whos: Record<string, Who> = {
  "anyone on the internet": { principal: anonymousPrincipal },
  "administrator of another account": {
    principal: `arn:aws:iam::${otherAccount}:role/admin`,
    identity: administratorAccess,
  },
  "the CDN": cloudfront(scope.distributionArn),
  "another distribution": cloudfront(`arn:aws:cloudfront::${otherAccount}:distribution/E9ZZZZZZZZZZZZ`),
  preview: session("preview", previewPolicy(scope)),
  deploy: session("deploy", deployPolicy(scope)),
  prune: session("prune", prunePolicy(scope)),
  administrator: { principal: `arn:aws:iam::${account}:role/admin`, identity: administratorAccess },
  "token: pull request": token(`${repository}:pull_request`),
  "token: main": token(`${repository}:ref:refs/heads/main`),
  "token: another branch": token(`${repository}:ref:refs/heads/production`),
  "token: tag": token(`${repository}:ref:refs/tags/main`),
  "token: merge queue": token(`${repository}:ref:refs/heads/gh-readonly-queue/main/pr-7-0123abcd`),
  "token: environment production": token(`${repository}:environment:production`),
  "token: environment prune": token(`${repository}:environment:prune`),
  "token: environment upkeep": token(`${repository}:environment:upkeep`),
  "token: another environment": token(`${repository}:environment:staging`),
  "token: a fork's pull request to itself": token("mallory@6006/runner-images@7007:pull_request"),
  "token: a fork's environment production": token("mallory@6006/runner-images@7007:environment:production"),
  "token: environment production of a later owner of the name": token(
    "octo-org@8008/runner-images@9009:environment:production",
  ),
  "token: environment production, name without IDs": token("octo-org/runner-images:environment:production"),
  "token: environment production, made out to another service": token(
    `${repository}:environment:production`,
    "https://github.com/octo-org",
  ),
  "token: environment production, of another issuer": token(
    `${repository}:environment:production`,
    "sts.amazonaws.com",
    `arn:aws:iam::${account}:oidc-provider/gitlab.com`,
  ),
};

const bucket = `arn:aws:s3:::${scope.bucket}`;
const key = (id: string) =>
  `arn:aws:kms:${scope.region}:${account}:key/0eeeeeee-0000-4000-8000-00000000000${id}`;

export interface Target {
  arn: string;
  /** The target's own policy. */
  policy?: unknown;
  /** What AWS adds because of the target. */
  context?: Context;
}

const trust = (role: Role): Target => ({
  arn: roleArn(role),
  policy: trustPolicy({ providerArn: scope.providerArn, subjects: subjects(repository, role) }),
});
const inState = (key: string): Target => ({ arn: `arn:aws:s3:::${scope.stateBucket}/${key}` });
/** The bucket of the states, listed by what a key begins with. */
const states = (prefix: string, delimiter?: string): Target => ({
  arn: `arn:aws:s3:::${scope.stateBucket}`,
  context: { "s3:prefix": prefix, ...(delimiter !== undefined && { "s3:delimiter": delimiter }) },
});
/** The rules of the image bucket. */
export const imageBucketPolicy = bucketPolicy({ ...scope, pruneRoleArn: roleArn("prune") });

const inImages = (suffix: string): Target => ({
  arn: `${bucket}${suffix}`,
  policy: imageBucketPolicy,
});

export const targets = {
  bucket: inImages(""),
  image: inImages("/images/0123456789012345678901234567890123456789/ubuntu-x86_64.qcow2.zst"),
  logEntry: inImages("/pointer/00000007.json"),
  pruneRecord: inImages("/pruned/0123456789012345678901234567890123456789/20261126T120000000Z.json"),
  channelLogEntry: inImages("/canary/pointer/00000007.json"),
  channelLatest: inImages("/canary/latest"),
  channelLatestJson: inImages("/canary/latest.json"),
  channelImage: inImages("/canary/images/0123456789012345678901234567890123456789/ubuntu-x86_64.qcow2.zst"),
  noChannelLatest: inImages("/other/latest"),
  noChannelLogEntry: inImages("/other/pointer/00000007.json"),
  latest: inImages("/latest"),
  latestJson: inImages("/latest.json"),
  page: inImages("/index.html"),
  feed: inImages("/feed.atom"),
  movesPage: inImages("/moves/3.html"),
  otherObject: inImages("/other.html"),
  stateBucket: { arn: `arn:aws:s3:::${scope.stateBucket}` },
  state: inState(".pulumi/stacks/runner-images/prod.json"),
  stateCopy: inState(".pulumi/stacks/runner-images/prod.json.bak"),
  stackTags: inState(".pulumi/stacks/runner-images/prod.pulumi-tags"),
  history: inState(".pulumi/history/runner-images/prod/prod-1795644171694153322.checkpoint.json"),
  backup: inState(".pulumi/backups/runner-images/prod/prod.1795644171703178560.json"),
  lock: inState(".pulumi/locks/organization/runner-images/prod/0eeeeeee-0000-4000-8000-000000000001.json"),
  stateLayout: inState(".pulumi/meta.yaml"),
  otherStack: inState(".pulumi/stacks/runner-images/staging.json"),
  otherProject: inState(".pulumi/stacks/payroll/prod.json"),
  otherHistory: inState(".pulumi/history/payroll/prod/prod-1795644171694153322.checkpoint.json"),
  otherBackup: inState(".pulumi/backups/payroll/prod/prod.1795644171703178560.json"),
  otherLock: inState(".pulumi/locks/organization/payroll/prod/0eeeeeee-0000-4000-8000-000000000001.json"),
  otherInStateBucket: inState("secrets.txt"),
  wholeStateBucket: states(""),
  projects: states(".pulumi/stacks/", "/"),
  stacks: states(".pulumi/stacks/"),
  ownState: states(".pulumi/stacks/runner-images/prod.json", "/"),
  missingTags: states(".pulumi/stacks/runner-images/prod.pulumi-tags"),
  otherStates: states(".pulumi/stacks/payroll/", "/"),
  ownLocks: states(".pulumi/locks/organization/runner-images/prod/", "/"),
  otherLocks: states(".pulumi/locks/organization/payroll/prod/", "/"),
  otherBucket: { arn: "arn:aws:s3:::octo-payroll" },
  objectElsewhere: { arn: "arn:aws:s3:::octo-payroll/images/salaries" },
  stateKey: {
    arn: key("5"),
    policy: defaultKeyPolicy,
    context: { "kms:ResourceAliases": ["alias/other-name", scope.stateKey] },
  },
  otherKey: {
    arn: key("6"),
    policy: defaultKeyPolicy,
    context: { "kms:ResourceAliases": ["alias/payroll"] },
  },
  keyWithoutAlias: { arn: key("7"), policy: defaultKeyPolicy },
  distribution: { arn: scope.distributionArn },
  otherDistribution: { arn: `arn:aws:cloudfront::${account}:distribution/E9OTHEROTHER99` },
  originAccess: { arn: scope.cdnPolicyArns[0]! },
  cachePolicy: { arn: scope.cdnPolicyArns[1]! },
  headersPolicy: { arn: scope.cdnPolicyArns[3]! },
  channelFunction: { arn: scope.channelFunctionArn },
  otherFunction: { arn: `arn:aws:cloudfront::${account}:function/payroll` },
  otherCachePolicy: {
    arn: `arn:aws:cloudfront::${account}:cache-policy/0fffffff-0000-4000-8000-000000000009`,
  },
  previewRole: trust("preview"),
  deployRole: trust("deploy"),
  pruneRole: trust("prune"),
  otherRole: { arn: `arn:aws:iam::${account}:role/admin` },
  provider: { arn: scope.providerArn },
  zone: { arn: `arn:aws:route53:::hostedzone/${scope.zone}` },
  otherZone: { arn: "arn:aws:route53:::hostedzone/Z9999999999OTHERZONE" },
  certificate: { arn: scope.certificateArn },
  /** For actions that AWS knows no resource for. */
  everything: { arn: "*" },
} satisfies Record<string, Target>;

/** Whether AWS would let it happen: own policies and the target's together, over TLS unless the context says otherwise. */
export async function isAllowed(
  who: Who,
  action: string,
  target: Target,
  context: Context = {},
): Promise<boolean> {
  const simulation: Simulation = {
    request: {
      principal: who.principal,
      action,
      resource: { resource: target.arn, accountId: account },
      contextVariables: { "aws:SecureTransport": "true", ...who.context, ...target.context, ...context },
    },
    identityPolicies: who.identity === undefined ? [] : [{ name: "own", policy: who.identity }],
    serviceControlPolicies: [],
    resourceControlPolicies: [],
    resourcePolicy: target.policy,
    additionalSettings: { s3: { blockPublicAccess: true } },
  };
  const answer = await runSimulation(withKnownClaims(simulation), {});
  if (answer.resultType !== "single")
    throw new Error(`${action} on ${target.arn} is not a request that AWS knows: ${JSON.stringify(answer)}`);
  const ignored = answer.result.ignoredContextKeys ?? [];
  if (ignored.length > 0) throw new Error(`${action} on ${target.arn} carries no ${ignored.join(", ")}`);
  return answer.overallResult === "Allowed";
}

/**
 * The claims of a token under names that the library takes. Of GitHub's issuer its data has only the claims that AWS added lately, and
 * it leaves out all others before it evaluates (0.1.173; without its validation it crashes on any resource policy). Of Google's it
 * has "aud" and "sub"; what is compared with what stays the same. That the policy names GitHub's claims is a test of its own.
 */
function withKnownClaims(simulation: Simulation): Simulation {
  if (simulation.request.action !== "sts:AssumeRoleWithWebIdentity") return simulation;
  const renamed = <T>(value: T) =>
    JSON.parse(JSON.stringify(value).replaceAll(`"${issuer}:`, '"accounts.google.com:')) as T;
  const { request } = simulation;
  return {
    ...simulation,
    resourcePolicy: renamed(simulation.resourcePolicy as unknown),
    request: { ...request, contextVariables: renamed(request.contextVariables) },
  };
}
