import { bucketArn, objectArns, policyDocument, type PolicyDocument, type Statement } from "./document.js";
import { logKeys, polledKeys } from "./pointers.js";
import { previewPolicy, type PolicyScope } from "./preview-policy.js";
import { stateKeys } from "./state.js";

/**
 * What a merge may do: look like a preview, keep the state, add images, move the pointer, write the page about it, change the CDN's settings. What binds CI
 * is not in here, because CI must not be able to change it: bucket settings and policy, roles and OIDC provider, DNS and
 * certificate. An administrator applies those.
 */
export function deployPolicy(scope: PolicyScope): PolicyDocument {
  const { bucket, channels, stateBucket } = scope;
  const { state, locks, history, backups } = stateKeys(scope);

  const always: Statement[] = [
    // An update writes what it did, with a copy of what was there before, a line of history and a backup. It deletes none of them, and
    // earlier versions are the bucket's. Not the layout's version: another number there stops every stack in the bucket.
    {
      Sid: "WriteState",
      Effect: "Allow",
      Action: ["s3:PutObject"],
      Resource: objectArns(stateBucket, state, history, backups),
    },
    // It locks the stack and removes the lock, or one that a lost run left; who holds another it says in its refusal.
    {
      Sid: "LockStack",
      Effect: "Allow",
      Action: ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"],
      Resource: objectArns(stateBucket, locks),
    },
    {
      Sid: "FindLocks",
      Effect: "Allow",
      Action: ["s3:ListBucket"],
      Resource: [bucketArn(stateBucket)],
      Condition: { StringLike: { "s3:prefix": [locks] } },
    },
    // Publishing an image, recording its boot test, logging a move. That these keys are written once only is the bucket's rule.
    {
      Sid: "AddImages",
      Effect: "Allow",
      Action: ["s3:PutObject"],
      Resource: objectArns(bucket, "images/*", ...logKeys(channels)),
    },
    // What hosts poll. Earlier versions stay for 30 days.
    {
      Sid: "MovePointer",
      Effect: "Allow",
      Action: ["s3:PutObject"],
      Resource: objectArns(bucket, ...polledKeys(channels)),
    },
    // The page about it, which is written where it still is what was read. It can say what it likes, and runs no script (image-cdn.ts).
    {
      Sid: "WritePage",
      Effect: "Allow",
      Action: ["s3:GetObject", "s3:PutObject"],
      Resource: objectArns(bucket, "index.html", "feed.atom", "moves/*"),
    },
    // A publisher which failed or was killed leaves parts that are paid for; the next one finds them by listing. No object goes.
    {
      Sid: "FindUnfinishedUploads",
      Effect: "Allow",
      Action: ["s3:ListBucketMultipartUploads"],
      Resource: [bucketArn(bucket)],
    },
    // Ends those uploads, and its own if it fails. Only disks are large enough to be uploaded in parts.
    {
      Sid: "EndUnfinishedUploads",
      Effect: "Allow",
      Action: ["s3:AbortMultipartUpload"],
      Resource: objectArns(bucket, "images/*"),
    },
  ];

  return policyDocument(...previewPolicy(scope).Statement, ...always, ...cdn(scope));
}

function cdn({ distributionArn, cdnPolicyArns = [] }: PolicyScope): Statement[] {
  if (cdnPolicyArns.length === 0) return [];
  return [
    // Caching, TLS and error settings are ordinary changes which a merge deploys. Neither creating nor deleting: a new distribution
    // has a new name, and hosts know the old one.
    {
      Sid: "ChangeDistribution",
      Effect: "Allow",
      Action: ["cloudfront:UpdateDistribution"],
      Resource: [distributionArn],
    },
    // The distribution's settings that CloudFront keeps as objects of their own; other distributions' are out of reach.
    {
      Sid: "ChangeCdnPolicies",
      Effect: "Allow",
      Action: [
        "cloudfront:UpdateOriginAccessControl",
        "cloudfront:UpdateCachePolicy",
        "cloudfront:UpdateResponseHeadersPolicy",
      ],
      Resource: [...cdnPolicyArns],
    },
  ];
}
