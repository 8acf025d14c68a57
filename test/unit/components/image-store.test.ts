import { beforeAll, describe, expect, it } from "vitest";
import { bucketPolicy } from "../../../components/policies/bucket-policy.js";
import { inputsOf, optionsProbe, recordResources, type Recorded } from "./recorder.js";

const bucket = "acme-runner-images";
const pruneRoleArn = "arn:aws:iam::123456789012:role/runner-images-prod-prune";
const distributionArn = "arn:aws:cloudfront::123456789012:distribution/E1";
let resources: Recorded[];
let probed: ReturnType<typeof optionsProbe>;

beforeAll(async () => {
  const recording = await recordResources({
    outputs: (type) =>
      type === "aws:s3/bucket:Bucket"
        ? { bucketRegionalDomainName: `${bucket}.s3.eu-central-1.amazonaws.com` }
        : {},
  });
  const { ImageStore } = await import("../../../components/image-store.js");
  probed = optionsProbe();
  new ImageStore("images", { bucket }, { protect: true, transformations: [probed.probe] }).allow({
    distributionArn,
    pruneRoleArn,
  });
  await recording.flush();
  ({ resources } = recording);
});

const inputs = (type: string, name: string) => inputsOf(resources, type, name);

describe("ImageStore", () => {
  it("is a bucket of the given name and six settings of it, and nothing else", () => {
    expect(resources.map(({ name }) => name).sort()).toEqual([
      "images",
      "images-bucket",
      "images-encryption",
      "images-lifecycle",
      "images-ownership",
      "images-policy",
      "images-public-access",
      "images-versioning",
    ]);
    expect(inputs("aws:s3/bucket:Bucket", "images-bucket")).toEqual({ bucket });
  });

  it("applies every setting to that bucket", () => {
    for (const { name, inputs: given } of resources.filter(({ name }) => name !== "images"))
      expect(given["bucket"], name).toBe(bucket);
  });

  it("is never emptied by a destroy", () => {
    expect(inputs("aws:s3/bucket:Bucket", "images-bucket")).not.toHaveProperty("forceDestroy");
  });

  it("blocks public access in all four ways", () => {
    expect(inputs("aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock", "images-public-access")).toEqual({
      bucket,
      blockPublicAcls: true,
      blockPublicPolicy: true,
      ignorePublicAcls: true,
      restrictPublicBuckets: true,
    });
  });

  it("has no ACLs, keeps versions, and encrypts with S3's own key", () => {
    expect(
      inputs("aws:s3/bucketOwnershipControls:BucketOwnershipControls", "images-ownership")["rule"],
    ).toEqual({ objectOwnership: "BucketOwnerEnforced" });
    expect(
      inputs("aws:s3/bucketVersioning:BucketVersioning", "images-versioning")["versioningConfiguration"],
    ).toEqual({ status: "Enabled" });
    expect(
      inputs(
        "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration",
        "images-encryption",
      )["rules"],
    ).toEqual([{ applyServerSideEncryptionByDefault: { sseAlgorithm: "AES256" } }]);
  });

  describe("lifecycle", () => {
    interface Rule {
      id: string;
      status: string;
      filter: { prefix?: string };
      abortIncompleteMultipartUpload?: { daysAfterInitiation: number };
      noncurrentVersionExpiration?: { noncurrentDays: number };
      expiration?: object;
      transitions?: object[];
    }
    const rules = () =>
      inputs("aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration", "images-lifecycle")[
        "rules"
      ] as Rule[];

    it("aborts uploads that are unfinished after two days, everywhere", () => {
      const [rule] = rules().filter((found) => found.abortIncompleteMultipartUpload !== undefined);
      expect(rule).toMatchObject({
        status: "Enabled",
        filter: {},
        abortIncompleteMultipartUpload: { daysAfterInitiation: 2 },
      });
    });

    it("forgets old versions of the pointer, and images that were removed, after thirty days, those of the page after one, and nothing else", () => {
      const forgetting = rules().filter((found) => found.noncurrentVersionExpiration !== undefined);
      const days = { latest: 30, "index.html": 1, "feed.atom": 1, "moves/": 1, "images/": 30 };
      expect(forgetting).toMatchObject(
        Object.entries(days).map(([prefix, noncurrentDays]) => ({
          status: "Enabled",
          filter: { prefix },
          noncurrentVersionExpiration: { noncurrentDays },
        })),
      );
      expect(new Set(rules().map(({ id }) => id)).size).toBe(rules().length);
    });

    it("lets images pay by their use, in a class from which everything is read at once, and moves nothing else", () => {
      const moving = rules().filter((found) => found.transitions !== undefined);
      expect(moving).toMatchObject([
        {
          status: "Enabled",
          filter: { prefix: "images/" },
          transitions: [{ days: 1, storageClass: "INTELLIGENT_TIERING" }],
        },
      ]);
    });

    it("expires nothing that is current, and moves no old version to another storage class", () => {
      for (const rule of rules()) {
        // A marker without versions behind it is no object.
        expect(rule.expiration ?? { expiredObjectDeleteMarker: true }).toEqual({
          expiredObjectDeleteMarker: true,
        });
        expect(rule).not.toHaveProperty("noncurrentVersionTransitions");
      }
    });

    it("waits for versioning", () => {
      expect(probed.dependenciesOf("images-lifecycle")).toEqual(["images-versioning"]);
    });
  });

  it("binds everybody by one bucket policy, which lets in the given distribution", () => {
    const { policy } = inputs("aws:s3/bucketPolicy:BucketPolicy", "images-policy");
    expect(JSON.parse(policy as string)).toEqual(bucketPolicy({ bucket, distributionArn, pruneRoleArn }));
    expect(probed.dependenciesOf("images-policy")).toEqual(["images-public-access"]);
  });

  it("protects the bucket and every setting of it", () => {
    expect(probed.protectedOnes().sort()).toEqual(resources.map(({ name }) => name).sort());
  });
});
