import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import { bucketPolicy } from "./policies/bucket-policy.js";

export interface ImageStoreArgs {
  /** The bucket's name. It is known before the bucket is, so that the release commands can be told. */
  bucket: string;
}

/**
 * The S3 bucket with images, pointer and the log of moves. Register it with `protect`, which its parts inherit.
 *
 * Who may read through a CDN is said by `allow()`, once that CDN is known.
 */
export class ImageStore extends pulumi.ComponentResource {
  /** The origin of a distribution: the bucket's name in its own region, which redirects nobody. */
  readonly originDomain: pulumi.Output<string>;

  readonly #name: string;
  readonly #bucket: aws.s3.Bucket;
  /** Without it, S3 may refuse a policy that it holds to be public. */
  readonly #publicAccess: aws.s3.BucketPublicAccessBlock;

  constructor(name: string, args: ImageStoreArgs, opts?: pulumi.ComponentResourceOptions) {
    super("runner-images:index:ImageStore", name, {}, opts);
    this.#name = name;
    const inBucket = { parent: this };

    // The one thing in this stack that cannot be made again: every image that can be rolled back to.
    this.#bucket = new aws.s3.Bucket(`${name}-bucket`, { bucket: args.bucket }, inBucket);
    const { bucket } = this.#bucket;
    this.originDomain = this.#bucket.bucketRegionalDomainName;

    // Hosts read through the CDN only; no policy or ACL, however it came about, makes the bucket public.
    this.#publicAccess = new aws.s3.BucketPublicAccessBlock(
      `${name}-public-access`,
      {
        bucket,
        blockPublicAcls: true,
        blockPublicPolicy: true,
        ignorePublicAcls: true,
        restrictPublicBuckets: true,
      },
      inBucket,
    );

    // No ACLs: whoever writes an object, it belongs to this account and to the policies below.
    new aws.s3.BucketOwnershipControls(
      `${name}-ownership`,
      { bucket, rule: { objectOwnership: "BucketOwnerEnforced" } },
      inBucket,
    );

    // `latest` is overwritten by each move: whatever it named stays to be seen.
    const versioning = new aws.s3.BucketVersioning(
      `${name}-versioning`,
      { bucket, versioningConfiguration: { status: "Enabled" } },
      inBucket,
    );

    // S3's own key: the images are served to the public anyway, and a KMS key would have to let the CDN in.
    new aws.s3.BucketServerSideEncryptionConfiguration(
      `${name}-encryption`,
      { bucket, rules: [{ applyServerSideEncryptionByDefault: { sseAlgorithm: "AES256" } }] },
      inBucket,
    );

    // Nothing ever expires what is in images/ or pointer/: a rollback goes to it, and it is the audit log. Images that were removed, as
    // release/retention/ says, can be brought back for 30 days.
    new aws.s3.BucketLifecycleConfiguration(
      `${name}-lifecycle`,
      {
        bucket,
        rules: [
          {
            id: "abort-unfinished-uploads",
            status: "Enabled",
            filter: {},
            abortIncompleteMultipartUpload: { daysAfterInitiation: 2 },
          },
          {
            id: "forget-old-pointers",
            status: "Enabled",
            filter: { prefix: "latest" },
            noncurrentVersionExpiration: { noncurrentDays: 30 },
          },
          // Each move writes them again, and each is made of what is stored.
          ...["index.html", "feed.atom", "moves/"].map((prefix) => ({
            id: `forget-old-pages-${prefix.replace(/\W.*/, "")}`,
            status: "Enabled",
            filter: { prefix },
            noncurrentVersionExpiration: { noncurrentDays: 1 },
          })),
          // A class that goes by use, so it needs no word of what is live: what nobody asked for in 30 days gets cheaper, then again after
          // 90, and is read at once and without a fee when a rollback brings it back (docs/operations.md has the prices). Objects below
          // 128 KiB stay where they are.
          // https://docs.aws.amazon.com/AmazonS3/latest/userguide/intelligent-tiering-overview.html
          {
            id: "images-pay-by-use",
            status: "Enabled",
            filter: { prefix: "images/" },
            transitions: [{ days: 1, storageClass: "INTELLIGENT_TIERING" }],
          },
          {
            id: "forget-removed-images",
            status: "Enabled",
            filter: { prefix: "images/" },
            noncurrentVersionExpiration: { noncurrentDays: 30 },
            expiration: { expiredObjectDeleteMarker: true },
          },
        ],
      },
      // Rules about versions mean nothing before there are versions.
      { ...inBucket, dependsOn: versioning },
    );

    this.registerOutputs();
  }

  /** Lets one distribution read and one role remove images, and binds everybody to the rules of the bucket (components/policies/bucket-policy.ts). */
  allow({
    distributionArn,
    pruneRoleArn,
    channels,
  }: {
    distributionArn: pulumi.Input<string>;
    pruneRoleArn: string;
    channels?: readonly string[];
  }): void {
    new aws.s3.BucketPolicy(
      `${this.#name}-policy`,
      {
        bucket: this.#bucket.bucket,
        policy: pulumi
          .all([this.#bucket.bucket, distributionArn])
          .apply(([bucket, arn]) =>
            JSON.stringify(bucketPolicy({ bucket, distributionArn: arn, pruneRoleArn, channels })),
          ),
      },
      // S3 takes one change of a bucket's access at a time.
      { parent: this, dependsOn: this.#publicAccess },
    );
  }
}
