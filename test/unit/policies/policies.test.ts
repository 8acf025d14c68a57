import { describe, expect, it } from "vitest";
import { aws } from "../../engine/production/plugins.js";
import { deployPolicy } from "../../../components/policies/deploy-policy.js";
import type { PolicyDocument, Statement } from "../../../components/policies/document.js";
import { bucketPolicy } from "../../../components/policies/bucket-policy.js";
import { prunePolicy } from "../../../components/policies/prune-policy.js";
import { previewPolicy, type PolicyScope } from "../../../components/policies/preview-policy.js";
import { stateKeys } from "../../../components/policies/state.js";
import { roles, subjects, trustPolicy, type Role } from "../../../components/policies/trust-policy.js";
import { imageBucketPolicy, isAllowed, repository, scope, targets, whos, type Target } from "./world.js";

const trust = (role: Role, name = repository) =>
  trustPolicy({ providerArn: scope.providerArn, subjects: subjects(name, role) });

const preview = previewPolicy(scope);
const deploy = deployPolicy(scope);
const documents: [string, PolicyDocument][] = [
  ["the bucket's policy", imageBucketPolicy],
  ["the preview role's policy", preview],
  ["the deploy role's policy", deploy],
  ["the prune role's policy", prunePolicy(scope)],
  ["the preview role's trust", trust("preview")],
  ["the deploy role's trust", trust("deploy")],
  ["the prune role's trust", trust("prune")],
];

const actionsOf = (statements: Statement[]) => statements.flatMap(({ Action }) => Action);
const sidsOf = ({ Statement }: PolicyDocument) => Statement.map(({ Sid }) => Sid);
/** The objects of the stack's state, by their kinds. */
const objectsOfState = (kinds: ("state" | "locks" | "history" | "backups")[]) =>
  kinds.map((kind) => `arn:aws:s3:::${scope.stateBucket}/${stateKeys(scope)[kind]}`);
/** A listing as the condition of its statement asks for it. */
function listing(condition: Statement["Condition"] = {}): Record<string, string> {
  const asked = Object.entries({ ...condition["StringEquals"], ...condition["StringLike"] });
  return Object.fromEntries(
    asked
      .filter(([name]) => name.startsWith("s3:"))
      .map(([name, value]) => [name, [value].flat()[0]!.replace("*", "one")]),
  );
}
/** The document as AWS counts it: without white space. */
const sizeOf = (document: PolicyDocument) => JSON.stringify(document).length;

describe.each(documents)("%s", (_, document) => {
  it("names each statement, and no two alike", () => {
    const sids = sidsOf(document);
    for (const sid of sids) expect(sid).toMatch(/^[A-Za-z0-9]+$/);
    expect(new Set(sids).size).toBe(sids.length);
  });

  it("has no statement without an action", () => {
    for (const { Sid, Action } of document.Statement) expect(Action, Sid).not.toHaveLength(0);
  });

  it("allows no action by asterisk, but for the bucket's settings", () => {
    const allowed = document.Statement.filter(({ Effect }) => Effect === "Allow");
    expect(actionsOf(allowed).filter((action) => action.includes("*") && action !== "s3:GetBucket*")).toEqual(
      [],
    );
  });

  it("inverts nothing: no NotAction, NotResource or NotPrincipal", () => {
    for (const statement of document.Statement)
      expect(Object.keys(statement).filter((name) => name.startsWith("Not"))).toEqual([]);
  });
});

describe.each([
  ["preview", preview],
  ["deploy", deploy],
])("the %s role", (_, document) => {
  it("is limited to named resources", () => {
    expect(document.Statement.filter(({ Resource }) => Resource?.includes("*"))).toEqual([]);
  });

  it("uses an asterisk in a resource only for keys of objects, and for the KMS key that its alias limits", () => {
    const open = document.Statement.flatMap(({ Resource }) =>
      Resource!.filter((resource) => resource.includes("*")),
    );
    expect([...new Set(open)].sort()).toEqual(
      [
        `arn:aws:kms:${scope.region}:${scope.account}:key/*`,
        `arn:aws:s3:::${scope.bucket}/images/*`,
        `arn:aws:s3:::${scope.bucket}/pointer/*`,
        // To read alone, whatever channels there were.
        ...["pointer/*", "latest", "latest.json"].map((key) => `arn:aws:s3:::${scope.bucket}/*/${key}`),
        ...(document === preview
          ? []
          : ["canary/pointer/*", "moves/*"].map((key) => `arn:aws:s3:::${scope.bucket}/${key}`)),
        ...objectsOfState(document === preview ? ["state"] : ["state", "locks", "history", "backups"]),
      ].sort(),
    );
  });

  it("only allows: what it may not do is what it does not say", () => {
    for (const { Effect, Principal } of document.Statement) {
      expect(Effect).toBe("Allow");
      expect(Principal).toBeUndefined();
    }
  });

  it("says of each action a resource that it exists for", async () => {
    const who = { ...whos.preview!, identity: document };
    const key = { ...targets.stateKey, arn: undefined };
    for (const { Sid, Action, Resource, Condition } of document.Statement)
      for (const action of Action.map((name) => name.replace("GetBucket*", "GetBucketPolicy"))) {
        const answers = await Promise.allSettled(
          Resource!.map((arn) => {
            const target: Target = arn.includes(":kms:") ? { ...key, arn } : { arn };
            const one = arn === "*" ? target : { ...target, arn: arn.replaceAll("*", "one") };
            return isAllowed(who, action, one, listing(Condition));
          }),
        );
        expect(
          answers.some((answer) => answer.status === "fulfilled" && answer.value),
          `${Sid}: ${action}`,
        ).toBe(true);
      }
  });

  it("has no statement about a CDN, a zone or a certificate that the stack has not", () => {
    const bare: PolicyScope = {
      ...scope,
      cdnPolicyArns: undefined,
      channelFunctionArn: undefined,
      zone: undefined,
      certificateArn: undefined,
    };
    const policy = document === preview ? previewPolicy : deployPolicy;
    const services = (of: PolicyDocument) =>
      new Set(actionsOf(of.Statement).map((action) => action.split(":")[0]));
    expect([...services(policy(bare))].sort()).toEqual(["iam", "kms", "s3"]);
    expect([...services(policy(scope))].sort()).toEqual(["acm", "cloudfront", "iam", "kms", "route53", "s3"]);
    expect(sidsOf(policy({ ...bare, cdnPolicyArns: [] }))).toEqual(sidsOf(policy(bare)));
  });
});

describe("a stack without channels", () => {
  const without = { ...scope, channels: undefined, channelFunctionArn: undefined };
  it.each([
    ["deploy", deployPolicy(without), deploy],
    [
      "bucket",
      bucketPolicy({ ...without, pruneRoleArn: "arn" }),
      bucketPolicy({ ...scope, pruneRoleArn: "arn" }),
    ],
  ])("has in its policy %s the same, but for what is about channels", (_, bare, whole) => {
    const text = (policy: PolicyDocument) =>
      policy.Statement.filter(({ Sid }) => Sid !== "ReadChannelFunction").map((statement) => ({
        ...statement,
        Resource: statement.Resource?.filter((resource) => !resource.includes("/canary/")),
      }));
    expect(JSON.stringify(bare)).not.toContain("canary");
    expect(text(bare)).toEqual(text(whole));
    expect(JSON.stringify(whole)).toContain("/canary/pointer/*");
  });

  it("lets its roles look as one with channels does, so that a channel that has ended can be read", () => {
    expect(previewPolicy(without)).toEqual({
      ...preview,
      Statement: preview.Statement.filter(({ Sid }) => Sid !== "ReadChannelFunction"),
    });
  });
});

describe("the preview role", () => {
  it("has only actions that read", () => {
    expect(
      actionsOf(preview.Statement).filter((action) => !/^[a-z0-9]+:(Get|List|Describe)/.test(action)),
    ).toEqual(["kms:Decrypt"]);
  });
});

describe("the deploy role", () => {
  const added = deploy.Statement.slice(preview.Statement.length);

  it("may all that the preview role may", () => {
    expect(deploy.Statement.slice(0, preview.Statement.length)).toEqual(preview.Statement);
  });

  it("deletes the stack's locks, and nothing else", () => {
    const deleting = added.filter(({ Action }) => Action.some((action) => action.includes("Delete")));
    expect(deleting.map(({ Sid }) => Sid)).toEqual(["LockStack"]);
    expect(deleting[0]!.Resource).toEqual(objectsOfState(["locks"]));
  });

  it("adds to the preview role's actions these, and no other", () => {
    expect(actionsOf(added).sort()).toEqual([
      "cloudfront:UpdateCachePolicy",
      "cloudfront:UpdateDistribution",
      "cloudfront:UpdateOriginAccessControl",
      "cloudfront:UpdateResponseHeadersPolicy",
      "s3:AbortMultipartUpload",
      "s3:DeleteObject",
      "s3:GetObject",
      "s3:GetObject",
      "s3:ListBucket",
      "s3:ListBucketMultipartUploads",
      "s3:PutObject",
      "s3:PutObject",
      "s3:PutObject",
      "s3:PutObject",
      "s3:PutObject",
    ]);
  });

  it.each([
    ["settings of a bucket", /^s3:(Put|Delete)(Bucket|Lifecycle|Encryption|Replication|Accelerate)/],
    ["versions of objects", /^s3:.*Version/],
    ["IAM, roles and the OIDC provider", /^(iam|sts):(?!Get|List)/],
    ["DNS", /^route53(domains)?:(?!Get|List)/],
    ["the certificate", /^acm:(?!Describe|List)/],
    ["KMS beyond opening the state's secrets", /^kms:(?!Decrypt$)/],
    ["creating or removing parts of the CDN", /^cloudfront:(Create|Delete|Copy|Associate)/],
  ])("has no action to change %s", (_, pattern) => {
    expect(actionsOf(deploy.Statement).filter((action) => pattern.test(action))).toEqual([]);
  });
});

describe("trust", () => {
  it("compares audience and subject of GitHub's token as they are", () => {
    expect(trust("deploy").Statement).toEqual([
      {
        Sid: "WorkflowsOfThisRepository",
        Effect: "Allow",
        Principal: { Federated: scope.providerArn },
        Action: ["sts:AssumeRoleWithWebIdentity"],
        Condition: {
          StringEquals: {
            "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
            "token.actions.githubusercontent.com:sub": [`repo:${repository}:environment:production`],
          },
        },
      },
    ]);
  });

  it.each(["octo-org/runner-images", "octo-org@1001/runner-images@2002"])(
    "names the subjects of %s in full",
    (name) => {
      expect(subjects(name, "preview")).toEqual([
        `repo:${name}:pull_request`,
        `repo:${name}:ref:refs/heads/main`,
      ]);
      expect(subjects(name, "deploy")).toEqual([`repo:${name}:environment:production`]);
    },
  );

  it("gives no subject two roles", () => {
    const all = roles.flatMap((role) => subjects(repository, role));
    expect(new Set(all).size).toBe(all.length);
  });
});

describe("AWS's limits", () => {
  /** Every value as long as AWS and GitHub let it be. */
  const longest: PolicyScope = {
    ...scope,
    region: "ap-southeast-99",
    bucket: "b".repeat(63),
    stateBucket: "s".repeat(63),
    stateKey: `alias/${"k".repeat(250)}`,
    project: "p".repeat(100),
    stack: "s".repeat(100),
    zone: "Z".repeat(32),
    roleArns: scope.roleArns.map((arn) => arn.padEnd(`arn:aws:iam::${scope.account}:role/`.length + 64, "r")),
  };

  it.each([
    ["preview", previewPolicy],
    ["deploy", deployPolicy],
    ["prune", prunePolicy],
  ])("the inline policies of the %s role stay below 10,240 characters", (_, policy) => {
    expect(sizeOf(policy(longest))).toBeLessThan(10_240);
  });

  it("a role's trust stays below 2,048 characters", () => {
    const name = `${"o".repeat(39)}@1234567890/${"r".repeat(100)}@1234567890`;
    expect(sizeOf(trust("preview", name))).toBeLessThan(2_048);
  });

  it("the bucket's policy stays below 20 KB", () => {
    expect(sizeOf(bucketPolicy({ ...longest, pruneRoleArn: longest.roleArns[2]! }))).toBeLessThan(20 * 1024);
  });
});

/**
 * What Pulumi's backend asks of the state bucket, in order, as read in
 * https://github.com/pulumi/pulumi/tree/v3.259.0/pkg/backend/diy, and as that engine was seen to ask an S3 server. A missing key is 404 to
 * those who may list it as a prefix.
 */
const asks = {
  // newDIYBackend(), of every command: the layout's version, and whether there are stacks of the one before.
  start: [
    ["s3:GetObject", targets.stateLayout],
    ["s3:ListBucket", targets.projects],
  ],
  // getTarget(): stackPath(), stackExists(), getCheckpoint(), and loadStackTags(), whose file is missing.
  look: [
    ["s3:ListBucket", targets.ownState],
    ["s3:GetObject", targets.state],
    ["s3:GetObject", targets.stackTags],
    ["s3:ListBucket", targets.missingTags],
  ],
  // Lock(), with checkForLock() before and after, which reads the locks of others; Unlock(); CancelCurrentUpdate().
  lock: [
    ["s3:ListBucket", targets.ownLocks],
    ["s3:PutObject", targets.lock],
    ["s3:GetObject", targets.lock],
    ["s3:DeleteObject", targets.lock],
  ],
  // saveCheckpoint() with backupTarget(), a copy within the bucket; addToHistory(), likewise; backupStack().
  save: [
    ["s3:GetObject", targets.state],
    ["s3:PutObject", targets.stateCopy],
    ["s3:PutObject", targets.state],
    ["s3:PutObject", targets.history],
    ["s3:PutObject", targets.backup],
  ],
} satisfies Record<string, [action: string, target: Target][]>;

describe("Pulumi's backend is refused nothing that it asks for", () => {
  it.each([
    ["a preview", "preview", [...asks.start, ...asks.look]],
    ["an update", "deploy", [...asks.start, ...asks.lock, ...asks.look, ...asks.save]],
    ["pulumi cancel", "deploy", [...asks.start, ...asks.look, ...asks.lock]],
  ] as const)("in %s", async (_, role, requests) => {
    for (const [action, target] of requests)
      expect(await isAllowed(whos[role]!, action, target), `${action} ${target.arn}`).toBe(true);
  });
});

/** What the AWS provider asks for when it refreshes: resource type → actions on it. */
const reads: Record<string, { target: Target; actions: string[] }> = {
  "aws:s3/bucket:Bucket": {
    target: targets.bucket,
    actions: [
      "s3:ListBucket",
      "s3:GetBucketPolicy",
      "s3:GetBucketAcl",
      "s3:GetBucketCORS",
      "s3:GetBucketWebsite",
      "s3:GetBucketVersioning",
      "s3:GetAccelerateConfiguration",
      "s3:GetBucketRequestPayment",
      "s3:GetBucketLogging",
      "s3:GetLifecycleConfiguration",
      "s3:GetReplicationConfiguration",
      "s3:GetEncryptionConfiguration",
      "s3:GetBucketObjectLockConfiguration",
      "s3:GetBucketLocation",
      "s3:GetBucketTagging",
      "s3:ListTagsForResource",
    ],
  },
  "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": {
    target: targets.bucket,
    actions: ["s3:GetBucketPublicAccessBlock"],
  },
  "aws:s3/bucketOwnershipControls:BucketOwnershipControls": {
    target: targets.bucket,
    actions: ["s3:GetBucketOwnershipControls"],
  },
  "aws:s3/bucketVersioning:BucketVersioning": { target: targets.bucket, actions: ["s3:GetBucketVersioning"] },
  "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": {
    target: targets.bucket,
    actions: ["s3:GetEncryptionConfiguration"],
  },
  "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": {
    target: targets.bucket,
    actions: ["s3:GetLifecycleConfiguration"],
  },
  "aws:s3/bucketPolicy:BucketPolicy": { target: targets.bucket, actions: ["s3:GetBucketPolicy"] },
  "aws:iam/rolePolicy:RolePolicy": { target: targets.deployRole, actions: ["iam:GetRolePolicy"] },
  "aws:acm/certificateValidation:CertificateValidation": {
    target: targets.certificate,
    actions: ["acm:DescribeCertificate"],
  },
  "aws:cloudfront/distribution:Distribution": {
    target: targets.distribution,
    actions: ["cloudfront:GetDistribution", "cloudfront:ListTagsForResource"],
  },
  "aws:cloudfront/originAccessControl:OriginAccessControl": {
    target: targets.originAccess,
    actions: ["cloudfront:GetOriginAccessControl"],
  },
  "aws:cloudfront/cachePolicy:CachePolicy": {
    target: targets.cachePolicy,
    actions: ["cloudfront:GetCachePolicy"],
  },
  "aws:cloudfront/function:Function": {
    target: targets.channelFunction,
    actions: ["cloudfront:DescribeFunction", "cloudfront:GetFunction"],
  },
  "aws:cloudfront/responseHeadersPolicy:ResponseHeadersPolicy": {
    target: targets.headersPolicy,
    actions: ["cloudfront:GetResponseHeadersPolicy"],
  },
  "aws:acm/certificate:Certificate": {
    target: targets.certificate,
    actions: ["acm:DescribeCertificate", "acm:ListTagsForCertificate"],
  },
  "aws:route53/record:Record": {
    target: targets.zone,
    actions: ["route53:GetHostedZone", "route53:ListResourceRecordSets"],
  },
  "aws:route53/getZone:getZone": {
    target: targets.zone,
    actions: ["route53:GetHostedZone", "route53:ListTagsForResource"],
  },
  "aws:iam/role:Role": {
    target: targets.deployRole,
    actions: ["iam:GetRole", "iam:ListRolePolicies", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies"],
  },
  "aws:iam/openIdConnectProvider:OpenIdConnectProvider": {
    target: targets.provider,
    actions: ["iam:GetOpenIDConnectProvider"],
  },
  "aws:iam/getOpenIdConnectProvider:getOpenIdConnectProvider": {
    target: targets.provider,
    actions: ["iam:GetOpenIDConnectProvider"],
  },
};

describe.each(["preview", "deploy"])("the %s role can refresh", (role) => {
  it.each(Object.entries(reads))("%s", async (_, { target, actions }) => {
    for (const action of actions) {
      const allowed = await isAllowed(whos[role]!, action, target);
      expect(allowed, action).toBe(true);
    }
  });
});

it("the list of what a refresh reads has every resource and lookup of the stack", () => {
  const { types, invokes } = aws("localhost");
  expect(Object.keys(reads).sort()).toEqual([...Object.keys(types), ...Object.keys(invokes)].sort());
});
