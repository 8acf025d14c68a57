import { bucketArn, objectArns, policyDocument, type PolicyDocument } from "./document.js";
import { allPointerKeys } from "./pointers.js";
import type { PolicyScope } from "./preview-policy.js";

/**
 * What removing images takes: finding them and what names them, taking them away, and saying so. It takes no version of an object away,
 * so whatever it removed comes back by removing the delete marker, for as long as the bucket's lifecycle keeps it.
 */
export function prunePolicy({ bucket }: Pick<PolicyScope, "bucket">): PolicyDocument {
  return policyDocument(
    {
      Sid: "FindImages",
      Effect: "Allow",
      Action: ["s3:ListBucket"],
      Resource: [bucketArn(bucket)],
    },
    // What names an image: the pointer and its log. And an earlier record, where a removal is repeated.
    {
      Sid: "ReadWhatNamesThem",
      Effect: "Allow",
      Action: ["s3:GetObject"],
      Resource: objectArns(bucket, ...allPointerKeys, "pruned/*"),
    },
    // Not `latest`, not the log, not the records: those are what shows that it was done.
    {
      Sid: "RemoveImages",
      Effect: "Allow",
      Action: ["s3:DeleteObject"],
      Resource: objectArns(bucket, "images/*"),
    },
    // Written before an image goes, once only, as the bucket's rules say.
    {
      Sid: "RecordRemovals",
      Effect: "Allow",
      Action: ["s3:PutObject"],
      Resource: objectArns(bucket, "pruned/*"),
    },
  );
}
