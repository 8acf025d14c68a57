import { keys } from "../../release/store/keys.js";

/**
 * Who may do what with the bucket: the publisher reads and adds, but deletes nothing; the pruner removes images, and adds nothing but
 * what says so; everyone (the CDN) reads what hosts need.
 * Create-only cannot be said here, as versitygw knows no condition `s3:if-none-match`: the release commands ask for it by request.
 * @param publisher the access key id of the publishing user
 * @param pruner that of the one who removes images
 */
export function bucketPolicy(bucket: string, publisher: string, pruner: string) {
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
        Sid: "PrunerLists",
        Effect: "Allow",
        Principal: { AWS: [pruner] },
        Action: ["s3:ListBucket"],
        Resource: `arn:aws:s3:::${bucket}`,
      },
      {
        Sid: "PrunerRemovesImages",
        Effect: "Allow",
        Principal: { AWS: [pruner] },
        Action: ["s3:GetObject", "s3:DeleteObject"],
        Resource: objects(`${keys.imagesRoot}*`),
      },
      {
        Sid: "PrunerSaysSo",
        Effect: "Allow",
        Principal: { AWS: [pruner] },
        Action: ["s3:GetObject", "s3:PutObject"],
        Resource: objects(`${keys.prunedPrefix()}*`),
      },
      {
        Sid: "EveryoneReads",
        Effect: "Allow",
        Principal: "*",
        Action: ["s3:GetObject"],
        // The pointers of channels too, whatever they are called: the stack may name one at any time.
        Resource: [
          "images/*",
          ...["", "*/"].flatMap((at) =>
            [`${keys.pointerPrefix}*`, keys.latest, keys.latestJson].map((key) => at + key),
          ),
          ...[keys.page, keys.feed, `${keys.movesPrefix}*`],
        ].map(objects),
      },
    ],
  };
}
