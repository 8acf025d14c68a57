import { bucketArn, objectArns, policyDocument, type PolicyDocument } from "./document.js";
import { logKeys } from "./pointers.js";

/**
 * The rules of the image bucket, which bind everybody, administrators included. Who may change these rules is said by having, or not
 * having, s3:PutBucketPolicy: the roles of CI do not have it (deploy-policy.ts).
 */
export function bucketPolicy({
  bucket,
  distributionArn,
  pruneRoleArn,
  channels,
}: {
  bucket: string;
  distributionArn: string;
  /** The one role that may remove images. */
  pruneRoleArn: string;
  /** Those of the stack, by name: their logs are kept like everybody's. */
  channels?: readonly string[] | undefined;
}): PolicyDocument {
  const everyone = "*" as const;
  // CloudFront signs as one service for all its customers, so it is the ARN that tells our distribution from a stranger's.
  const cdn = {
    Principal: { Service: "cloudfront.amazonaws.com" },
    Condition: { StringEquals: { "AWS:SourceArn": distributionArn } },
  };
  const log = objectArns(bucket, ...logKeys(channels), "pruned/*");
  const images = objectArns(bucket, "images/*");
  const kept = [...images, ...log];

  return policyDocument(
    // All objects: whatever is in this bucket is public, and a shorter list would answer 403 instead of 404 for the rest.
    {
      Sid: "CdnReads",
      Effect: "Allow",
      ...cdn,
      Action: ["s3:GetObject"],
      Resource: objectArns(bucket, "*"),
    },
    // S3 says 404 for a missing key only to those who may list; others get 403. Nobody lists through the CDN: it passes no query
    // on, and has a default root object, so that `GET /` is not a listing either.
    {
      Sid: "CdnLearnsWhatIsMissing",
      Effect: "Allow",
      ...cdn,
      Action: ["s3:ListBucket"],
      Resource: [bucketArn(bucket)],
    },
    // What travels in clear can be read and changed on its way: nobody gets anything without TLS.
    {
      Sid: "TlsOnly",
      Effect: "Deny",
      Principal: everyone,
      Action: ["s3:*"],
      Resource: [bucketArn(bucket), ...objectArns(bucket, "*")],
      Condition: { Bool: { "aws:SecureTransport": "false" } },
    },
    // An image or a log entry is written once: S3 itself refuses a second write to the key if it is asked to look, so asking is made
    // compulsory. Starting a multipart upload and sending its parts creates no object and cannot carry the header; completing does
    // both. A copy onto these keys creates an object like any other write.
    {
      Sid: "CreateOnly",
      Effect: "Deny",
      Principal: everyone,
      Action: ["s3:PutObject"],
      Resource: kept,
      Condition: {
        Null: { "s3:if-none-match": "true" },
        Bool: { "s3:ObjectCreationOperation": "true" },
      },
    },
    // They are what a rollback goes to, and the audit log. Nobody takes a version away, so whatever was removed can be brought back.
    // (Lifecycle rules are not requests and pass by any policy: the bucket's expire what was removed 30 days ago, and CI cannot change them.)
    {
      Sid: "NoVersionDeleted",
      Effect: "Deny",
      Principal: everyone,
      Action: ["s3:DeleteObjectVersion", "s3:ReplicateDelete"],
      Resource: kept,
    },
    // A delete marker frees the key for another object, so plain deletes count like the removal of a version.
    {
      Sid: "LogNeverDeleted",
      Effect: "Deny",
      Principal: everyone,
      Action: ["s3:DeleteObject"],
      Resource: log,
    },
    // Which images nobody needs any more is said by the rule of retention, which a policy cannot: what the pointer names changes with each
    // move, and this document by an administrator alone. So it says who.
    // https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalarn
    {
      Sid: "ImagesDeletedByPruneOnly",
      Effect: "Deny",
      Principal: everyone,
      Action: ["s3:DeleteObject"],
      Resource: images,
      Condition: { ArnNotEquals: { "aws:PrincipalArn": pruneRoleArn } },
    },
    // The two other ways to change what a host gets: replication writes without asking whether the key is taken, and another encryption
    // key is one that the CDN may not use. What else can be done to an object leaves its bytes served as they are: tags, retention
    // and legal hold (they only protect), restore (nothing is archived), ACLs (switched off by the ownership setting).
    {
      Sid: "NeverReplaced",
      Effect: "Deny",
      Principal: everyone,
      Action: ["s3:ReplicateObject", "s3:UpdateObjectEncryption"],
      Resource: kept,
    },
  );
}
