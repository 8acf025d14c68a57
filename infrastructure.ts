import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import { CiAccess, roleArn } from "./components/ci-access.js";
import { GitHubRepository } from "./components/github-repository.js";
import { ImageCdn } from "./components/image-cdn.js";
import { ImageStore } from "./components/image-store.js";
import { storeEnvironment, type AwsStore, type CdnConfig } from "./config.js";

/** What the rest of the program needs of what is provisioned here. */
export interface Infrastructure {
  url: pulumi.Output<string>;
  /** Of the release commands. */
  environment: Record<string, pulumi.Input<string>>;
  /** What must be there before an image is published. */
  ready: pulumi.Resource[];
  /** The name that CloudFront gave to the stack's own distribution. */
  cdn: pulumi.Output<string> | undefined;
  previewRole: pulumi.Output<string>;
  deployRole: pulumi.Output<string>;
}

/** The production stack's own bucket, CDN, roles and rules. Loaded for the store `aws` only: its SDKs are large. */
export function provision(
  { account, region, bucket, cdn, ci, placeholders }: AwsStore,
  channels: readonly string[],
): Infrastructure {
  // It refuses every account but ours, so a preview with the placeholder of an account has to do without that.
  const isOurs = placeholders.every(({ key }) => key !== "aws:allowedAccountIds");
  const provider = new aws.Provider("aws", { region, ...(isOurs && { allowedAccountIds: [account] }) });
  // All of it, since `pulumi destroy` deletes what is not protected before it refuses the rest: it must not take the roles, or the
  // rules that guard main, from a stack that goes on.
  const kept = { protect: true, providers: [provider] };
  const images = new ImageStore("images", { bucket }, kept);
  const { url, domainName, ready, ...served } = provisionCdn(cdn, images, channels, kept);
  images.allow({
    distributionArn: served.distributionArn,
    pruneRoleArn: roleArn(account, "prune"),
    channels,
  });

  const sessionSeconds = (ci.deployMinutes + sessionMarginMinutes) * 60;
  const access = new CiAccess(
    "ci",
    {
      account,
      subject: ci.repository.subject,
      oidcProvider: ci.oidcProvider,
      sessionSeconds,
      resources: pulumi.output(served).apply((known) => ({
        ...known,
        region,
        bucket,
        channels,
        zone: cdn.kind === "own" ? cdn.zone : undefined,
        stateBucket: ci.state.bucket,
        stateKey: ci.state.key,
      })),
    },
    kept,
  );

  new GitHubRepository(
    "repository",
    {
      owner: ci.repository.owner,
      repository: ci.repository.name,
      approvals: ci.approvals,
      reviewers: ci.reviewers,
      mergeQueue: ci.mergeQueue,
      variables: {
        AWS_REGION: region,
        BUCKET: bucket,
        DEPLOY_MINUTES: String(ci.deployMinutes),
        DEPLOY_ROLE_ARN: access.deployRoleArn,
        DEPLOY_SESSION_SECONDS: String(sessionSeconds),
        IMAGES_URL: url,
        PREVIEW_ROLE_ARN: access.previewRoleArn,
        PRUNE_ROLE_ARN: access.pruneRoleArn,
        ...(channels.length > 0 && { CHANNELS: channels.join(" ") }),
      },
    },
    { protect: true },
  );

  return {
    url,
    environment: { ...storeEnvironment(bucket, region), IMAGES_URL: url },
    ready: [images, ...ready],
    cdn: domainName,
    previewRole: access.previewRoleArn,
    deployRole: access.deployRoleArn,
  };
}

/** What a deploy does after its time limit: GitHub ends the job, the commands clean up, Pulumi writes its state. */
const sessionMarginMinutes = 15;

/** A CDN, and what its settings are made of: nothing, where it is not this stack's to look at. */
interface Cdn {
  url: pulumi.Output<string>;
  /** The name that CloudFront gave it. */
  domainName?: pulumi.Output<string>;
  distributionArn: pulumi.Output<string>;
  cdnPolicyArns?: pulumi.Output<string[]>;
  channelFunctionArn?: pulumi.Output<string | undefined>;
  certificateArn?: pulumi.Output<string | undefined>;
  ready: pulumi.Resource[];
}

function provisionCdn(
  cdn: CdnConfig,
  images: ImageStore,
  channels: readonly string[],
  opts: pulumi.ComponentResourceOptions,
): Cdn {
  if (cdn.kind === "foreign") {
    return { url: pulumi.output(cdn.url), distributionArn: pulumi.output(cdn.distribution), ready: [] };
  }
  const own = new ImageCdn("cdn", { originDomain: images.originDomain, channels, ...cdn }, opts);
  return {
    url: own.url,
    domainName: own.domainName,
    distributionArn: own.distributionArn,
    cdnPolicyArns: own.policyArns,
    channelFunctionArn: own.channelFunctionArn,
    certificateArn: own.certificateArn,
    ready: [own],
  };
}
