import { keys } from "../../release/store/keys.js";

/**
 * Who may do what with the bucket: the publisher reads and adds, but deletes nothing; everyone (the CDN) reads what hosts need.
 * Create-only cannot be said here, as versitygw knows no condition `s3:if-none-match`: the release commands ask for it by request.
 * @param publisher the access key id of the publishing user
 */
export function bucketPolicy(bucket: string, publisher: string) {
  const objects = (pattern: string) => `arn:aws:s3:::${bucket}/${pattern}`;
  return {
    Version: "2012-10-17",
    Statement: [
      {
        Sid: "PublisherLists",
        Effect: "Allow",
        Principal: { AWS: [publisher] },
        Action: ["s3:ListBucket", "s3:ListBucketMultipartUploads"],
        Resource: `arn:aws:s3:::${bucket}`,
      },
      {
        Sid: "PublisherReadsAndAdds",
        Effect: "Allow",
        Principal: { AWS: [publisher] },
        Action: ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"],
        Resource: objects("*"),
      },
      {
        Sid: "EveryoneReads",
        Effect: "Allow",
        Principal: "*",
        Action: ["s3:GetObject"],
        Resource: ["images/*", `${keys.pointerPrefix}*`, keys.latest, keys.latestJson].map(objects),
      },
    ],
  };
}
