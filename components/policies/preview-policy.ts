import { bucketArn, objectArns, policyDocument, type PolicyDocument, type Statement } from "./document.js";
import { allPointerKeys } from "./pointers.js";
import { stateKeys } from "./state.js";

/** What the roles of CI are about: names and ARNs of exactly this stack's resources. */
export interface PolicyScope {
  account: string;
  region: string;
  /** The image bucket. */
  bucket: string;
  /** The channels of this stack, by name: their pointers are moved like everybody's. */
  channels?: readonly string[] | undefined;
  distributionArn: string;
  /**
   * The distribution's origin access control, cache policies and response headers policy. Absent: the distribution is not this
   * stack's own, and is neither read nor changed.
   */
  cdnPolicyArns?: readonly string[] | undefined;
  /** The function by which the distribution finds a channel's images; absent: there is none. */
  channelFunctionArn?: string | undefined;
  /** ID of the hosted zone with the domain's records. */
  zone?: string | undefined;
  certificateArn?: string | undefined;
  /** The bucket of Pulumi's state, which may hold the states of other projects and stacks too. */
  stateBucket: string;
  /** This stack, by which its state is filed there. */
  project: string;
  stack: string;
  /** The key of the state's secrets: alias/<name>. */
  stateKey: string;
  /** Both roles of CI. */
  roleArns: readonly string[];
  /** GitHub's OIDC provider. */
  providerArn: string;
}

/**
 * What `pulumi preview`, with and without `--refresh`, reads. Nothing here writes, and nothing that is read is a secret: the images
 * are public, the stack's state holds no secret, the rest is configuration.
 */
export function previewPolicy(scope: PolicyScope): PolicyDocument {
  const { account, region, bucket, stateBucket } = scope;
  const { layout, projects, state } = stateKeys(scope);

  const always: Statement[] = [
    // What there is, so that a preview can tell what would change. It takes no lock and asks for none, and reads no history. Other
    // stacks' states may hold what is nobody's business here.
    {
      Sid: "ReadState",
      Effect: "Allow",
      Action: ["s3:GetObject"],
      Resource: objectArns(stateBucket, layout, state),
    },
    // The state may be compressed, so Pulumi looks for it by listing. It also reads the stack's tags, which are seldom there, and takes
    // 403 for a fault where it expects 404: S3 answers 404 to those who may list the missing key as a prefix (not documented; Ceph
    // built the same "to match aws behavior": https://github.com/ceph/ceph/pull/68577, and Kopia measured it:
    // https://github.com/kopia/kopia/pull/3072).
    {
      Sid: "FindState",
      Effect: "Allow",
      Action: ["s3:ListBucket"],
      Resource: [bucketArn(stateBucket)],
      Condition: { StringLike: { "s3:prefix": [state] } },
    },
    // Asked for at each start. Pulumi goes on without an answer, but each run would leave a refused request in the log, which is where
    // a theft is looked for. All that it tells is the names of the bucket's projects: no stack, since the delimiter is compulsory.
    {
      Sid: "ListProjects",
      Effect: "Allow",
      Action: ["s3:ListBucket"],
      Resource: [bucketArn(stateBucket)],
      Condition: { StringEquals: { "s3:prefix": projects, "s3:delimiter": "/" } },
    },
    // Pulumi opens the stack's data key before anything else. It gives KMS the ciphertext only, not the alias it was made with, so
    // the alias cannot be asked for in the request (kms:RequestAlias); the key which the ciphertext names has to bear it. Neither is
    // the key's ID known here, hence key/* of this account and region. No kms:ViaService: Pulumi calls KMS itself, and a state
    // bucket encrypted with the same key would have S3 call it.
    {
      Sid: "OpenSecretsOfState",
      Effect: "Allow",
      Action: ["kms:Decrypt"],
      Resource: [`arn:aws:kms:${region}:${account}:key/*`],
      Condition: { "ForAnyValue:StringEquals": { "kms:ResourceAliases": scope.stateKey } },
    },
    // The proof that a target is whole and booted, and where the pointer stands (release/pointer/plan.ts). All of it is public anyway.
    {
      Sid: "ReadImages",
      Effect: "Allow",
      Action: ["s3:GetObject"],
      Resource: objectArns(bucket, "images/*", ...allPointerKeys),
    },
    // The log of moves is read by listing it; a missing object is 404 instead of 403; and a refresh asks whether the bucket is there.
    {
      Sid: "ListImages",
      Effect: "Allow",
      Action: ["s3:ListBucket"],
      Resource: [bucketArn(bucket)],
    },
    // A refresh compares every setting of the bucket with the state: policy, public access, ownership, versioning, encryption,
    // lifecycle. The AWS provider asks for a dozen settings that we leave alone as well, and for more with each release; an asterisk
    // here lets it, without letting it near an object.
    {
      Sid: "ReadBucketSettings",
      Effect: "Allow",
      Action: [
        "s3:GetBucket*",
        "s3:GetAccelerateConfiguration",
        "s3:GetEncryptionConfiguration",
        "s3:GetLifecycleConfiguration",
        "s3:GetReplicationConfiguration",
        "s3:ListTagsForResource",
      ],
      Resource: [bucketArn(bucket)],
    },
    // A refresh compares who may be which role, and what it may do.
    {
      Sid: "ReadRoles",
      Effect: "Allow",
      Action: ["iam:GetRole", "iam:ListRolePolicies", "iam:GetRolePolicy", "iam:ListAttachedRolePolicies"],
      Resource: [...scope.roleArns],
    },
    // A preview looks whether an existing provider is there, and a refresh compares whose tokens this account believes.
    {
      Sid: "ReadGithubProvider",
      Effect: "Allow",
      Action: ["iam:GetOpenIDConnectProvider"],
      Resource: [scope.providerArn],
    },
  ];

  return policyDocument(
    ...always,
    ...cdn(scope),
    ...channelFunction(scope),
    ...dns(scope),
    ...certificate(scope),
  );
}

function cdn({ distributionArn, cdnPolicyArns = [] }: PolicyScope): Statement[] {
  if (cdnPolicyArns.length === 0) return [];
  return [
    // A refresh compares the distribution's settings: origin, certificate, caching.
    {
      Sid: "ReadDistribution",
      Effect: "Allow",
      Action: ["cloudfront:GetDistribution", "cloudfront:ListTagsForResource"],
      Resource: [distributionArn],
    },
    // A refresh compares how the distribution signs, caches and answers.
    {
      Sid: "ReadCdnPolicies",
      Effect: "Allow",
      Action: [
        "cloudfront:GetOriginAccessControl",
        "cloudfront:GetCachePolicy",
        "cloudfront:GetResponseHeadersPolicy",
      ],
      Resource: [...cdnPolicyArns],
    },
  ];
}

function channelFunction({ channelFunctionArn }: PolicyScope): Statement[] {
  if (channelFunctionArn === undefined) return [];
  return [
    // A refresh compares its code and settings. Changing them is an administrator's, as is making it.
    {
      Sid: "ReadChannelFunction",
      Effect: "Allow",
      Action: ["cloudfront:DescribeFunction", "cloudfront:GetFunction"],
      Resource: [channelFunctionArn],
    },
  ];
}

function dns({ zone }: PolicyScope): Statement[] {
  if (zone === undefined) return [];
  return [
    // The zone is checked against the domain before anything happens, and a refresh compares the records in it. The AWS provider
    // reads the zone's tags whether wanted or not.
    {
      Sid: "ReadZone",
      Effect: "Allow",
      Action: ["route53:GetHostedZone", "route53:ListResourceRecordSets", "route53:ListTagsForResource"],
      Resource: [`arn:aws:route53:::hostedzone/${zone}`],
    },
  ];
}

function certificate({ certificateArn }: PolicyScope): Statement[] {
  if (certificateArn === undefined) return [];
  return [
    // A refresh asks whether the certificate is still issued for the domain. No private key can be had: that is another action.
    {
      Sid: "ReadCertificate",
      Effect: "Allow",
      Action: ["acm:DescribeCertificate", "acm:ListTagsForCertificate"],
      Resource: [certificateArn],
    },
  ];
}
