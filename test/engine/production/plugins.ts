import type { Plugin, ResourceType } from "./recording-provider.js";

/** The account and the repository in which the tables below play. */
export const account = "123412341234";
export const zone = { zoneId: "Z0123456789ABCDEFGHIJ", name: "images.test" };
export const repository = { owner: "octo-org", ownerId: 4321, name: "runner-images", id: 8765 };

/** What another resource of this type would be, instead of the same one changed. */
const bucketSetting: ResourceType = { id: ({ bucket }) => text(bucket), replaces: ["bucket"] };

/**
 * Of hashicorp/aws, what the stack uses. The values are shaped as AWS's own are; the computed names are those that the
 * stack reads, so one that is missing here shows as `undefined` in a resource that uses it.
 * @param cdn what the distribution is reached under: host and port
 */
export function aws(cdn: string): Plugin {
  return {
    name: "aws",
    version: "7.48.0",
    types: {
      "aws:s3/bucket:Bucket": {
        id: ({ bucket }) => text(bucket),
        outputs: ({ bucket }) => ({
          arn: `arn:aws:s3:::${text(bucket)}`,
          bucketDomainName: `${text(bucket)}.s3.amazonaws.com`,
          bucketRegionalDomainName: `${text(bucket)}.s3.us-east-1.amazonaws.com`,
          region: "us-east-1",
        }),
        replaces: ["bucket"],
      },
      "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": bucketSetting,
      "aws:s3/bucketOwnershipControls:BucketOwnershipControls": bucketSetting,
      "aws:s3/bucketVersioning:BucketVersioning": bucketSetting,
      "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": bucketSetting,
      "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": bucketSetting,
      "aws:s3/bucketPolicy:BucketPolicy": bucketSetting,

      "aws:cloudfront/originAccessControl:OriginAccessControl": {
        id: () => "E1OAC23EXAMPLE",
        outputs: (_, name) => ({
          name: `${name}-a1b2c3d`,
          arn: cloudfront("origin-access-control/E1OAC23EXAMPLE"),
        }),
        replaces: ["name"],
      },
      "aws:cloudfront/cachePolicy:CachePolicy": {
        id: (_, name) => `00000000-cache-policy-${name}`,
        outputs: (_, name) => ({
          name: `${name}-a1b2c3d`,
          arn: cloudfront(`cache-policy/${name}`),
          etag: "E2CACHE",
        }),
        replaces: ["name"],
      },
      "aws:cloudfront/responseHeadersPolicy:ResponseHeadersPolicy": {
        id: (_, name) => `00000000-headers-policy-${name}`,
        outputs: (_, name) => ({
          name: `${name}-a1b2c3d`,
          arn: cloudfront(`response-headers-policy/${name}`),
          etag: "E2HEADERS",
        }),
        replaces: ["name"],
      },
      "aws:cloudfront/function:Function": {
        id: (_, name) => `${name}-a1b2c3d`,
        outputs: (_, name) => ({ name: `${name}-a1b2c3d`, arn: cloudfront(`function/${name}-a1b2c3d`) }),
        replaces: ["name"],
      },
      "aws:cloudfront/distribution:Distribution": {
        id: () => "E2DISTRIBUTION",
        outputs: () => ({
          arn: cloudfront("distribution/E2DISTRIBUTION"),
          domainName: cdn,
          // CloudFront's own, for every distribution.
          hostedZoneId: "Z2FDTNDATAQYW2",
          etag: "E2ETAG",
          status: "Deployed",
        }),
      },
      "aws:acm/certificate:Certificate": {
        id: () => certificateArn,
        outputs: ({ domainName }) => ({
          arn: certificateArn,
          domainValidationOptions: [
            {
              domainName: domainName!,
              resourceRecordName: `_a79865eb4cd1a6ab990a45779b4e0b96.${text(domainName)}.`,
              resourceRecordType: "CNAME",
              resourceRecordValue: "_424c7224e9b0146f9a8808af955727d0.acm-validations.aws.",
            },
          ],
        }),
        replaces: ["domainName", "validationMethod", "region"],
      },
      "aws:acm/certificateValidation:CertificateValidation": {
        id: () => "2026-01-01 00:00:00 +0000 UTC",
        replaces: ["certificateArn", "validationRecordFqdns", "region"],
      },
      "aws:route53/record:Record": {
        id: ({ zoneId, name, type }) => [zoneId, name, type].map(text).join("_"),
        outputs: ({ name }) => ({ fqdn: text(name) }),
        replaces: ["zoneId", "name", "type"],
      },

      "aws:iam/openIdConnectProvider:OpenIdConnectProvider": {
        id: () => oidcProviderArn,
        outputs: () => ({ arn: oidcProviderArn }),
        replaces: ["url"],
      },
      "aws:iam/role:Role": {
        id: ({ name }) => text(name),
        outputs: ({ name }) => ({
          arn: `arn:aws:iam::${account}:role/${text(name)}`,
          uniqueId: "AROAEXAMPLE",
        }),
        replaces: ["name"],
      },
      "aws:iam/rolePolicy:RolePolicy": {
        id: ({ role }, name) => `${text(role)}:${name}`,
        outputs: (_, name) => ({ name: `${name}-a1b2c3d` }),
        replaces: ["name", "role"],
      },
    },
    invokes: {
      "aws:route53/getZone:getZone": ({ zoneId }) => {
        // The words of hashicorp/aws for a zone that is not there.
        if (zoneId !== zone.zoneId)
          throw new Error(
            `invoking aws:route53/getZone:getZone: reading Route53 Hosted Zone (${text(zoneId)}): couldn't find resource`,
          );
        return {
          ...zone,
          id: zone.zoneId,
          arn: `arn:aws:route53:::hostedzone/${zone.zoneId}`,
          privateZone: false,
        };
      },
      "aws:iam/getOpenIdConnectProvider:getOpenIdConnectProvider": ({ arn }) => ({
        id: text(arn),
        arn: arn!,
        url: "token.actions.githubusercontent.com",
        clientIdLists: ["sts.amazonaws.com"],
        thumbprintLists: [],
        tags: {},
      }),
    },
  };
}

/** Of integrations/github, what the stack uses. */
export const github: Plugin = {
  name: "github",
  version: "6.15.0",
  types: {
    "github:index/repositoryEnvironment:RepositoryEnvironment": {
      id: ({ repository, environment }) => `${text(repository)}:${text(environment)}`,
      replaces: ["repository", "environment"],
    },
    "github:index/repositoryEnvironmentDeploymentPolicy:RepositoryEnvironmentDeploymentPolicy": {
      id: ({ repository, environment }) => `${text(repository)}:${text(environment)}:7`,
      replaces: ["repository", "environment"],
    },
    "github:index/repositoryRuleset:RepositoryRuleset": {
      id: () => "1001",
      outputs: () => ({ rulesetId: 1001, nodeId: "RRS_example", etag: "W/example" }),
      replaces: ["repository"],
    },
    "github:index/workflowRepositoryPermissions:WorkflowRepositoryPermissions": {
      id: ({ repository }) => text(repository),
      replaces: ["repository"],
    },
    "github:index/actionsVariable:ActionsVariable": {
      id: ({ repository, variableName }) => `${text(repository)}:${text(variableName)}`,
      outputs: () => ({
        createdAt: "2026-01-01 00:00:00 +0000 UTC",
        updatedAt: "2026-01-01 00:00:00 +0000 UTC",
      }),
      replaces: ["repository", "variableName"],
    },
  },
  invokes: {},
};

const certificateArn = `arn:aws:acm:us-east-1:${account}:certificate/12345678-1234-1234-1234-123456789012`;
const oidcProviderArn = `arn:aws:iam::${account}:oidc-provider/token.actions.githubusercontent.com`;

function cloudfront(resource: string): string {
  return `arn:aws:cloudfront::${account}:${resource}`;
}

/** An input that AWS or GitHub takes as a name. */
function text(value: unknown): string {
  if (typeof value !== "string") throw new Error(`${JSON.stringify(value)} is no text`);
  return value;
}
