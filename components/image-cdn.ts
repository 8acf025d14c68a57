import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import { contentSecurityPolicy as securityPolicy } from "../release/store/headers.js";

export interface ImageCdnArgs {
  /** The bucket's regional domain name. */
  originDomain: pulumi.Input<string>;
  /** The name that hosts use; without one they use CloudFront's. */
  domain: string | undefined;
  /** ID of the Route 53 hosted zone of the domain; without one its records are made elsewhere. */
  zone: string | undefined;
  /** ARN of a certificate in us-east-1; without one it is made, and validated through the zone. */
  certificate: string | undefined;
  /** The stack's channels: below the name of each everybody's images are served too. */
  channels?: readonly string[];
  /** Name of a bucket that takes access logs (one with ACLs, as CloudFront asks for); without one there are none. */
  accessLogBucket: string | undefined;
}

/** Seconds. */
const oneMinute = 60;
const oneYear = 365 * 24 * 60 * 60;

/**
 * How long the pointer is remembered, in seconds: of this and the object's own max-age of a minute, which goes on to the hosts, the less
 * counts. What it costs: docs/operations.md.
 * https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/Expiration.html
 */
const pointerTtl = 5;
/** How long an error is remembered, in seconds: what a host asked for too early must be there when it asks again. */
const errorTtl = 5;
/** All that CloudFront remembers unless told otherwise. */
const errorCodes = [400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504];

const originId = "images";

/**
 * Takes the channel's name off a path, so that /canary/images/… is /images/…: the same object, and the same copy of it in the cache. It runs
 * for the paths of channels alone, and chooses none of them, so it stays the same whatever channels there are. That it leaves the choice of
 * the cache behavior as it was: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/edge-function-restrictions-all.html
 * The shape of the event: https://docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/functions-event-structure.html
 */
export const channelImagesFunction = `function handler(event) {
  event.request.uri = event.request.uri.replace(/^\\/[^/]+\\//, "/");
  return event.request;
}
`;

/**
 * The CloudFront distribution which serves the bucket to the hosts. Register it with `protect`, which its parts inherit.
 */
export class ImageCdn extends pulumi.ComponentResource {
  /** Public base URL, without a slash at its end: of the domain where there is one. */
  readonly url: pulumi.Output<string>;
  /** The name that CloudFront gave it: what the domain's records point to. */
  readonly domainName: pulumi.Output<string>;
  readonly distributionArn: pulumi.Output<string>;
  /** The distribution's origin access control, cache policies and response headers policy. */
  readonly policyArns: pulumi.Output<string[]>;
  readonly certificateArn: pulumi.Output<string | undefined>;
  /** Of the function that finds a channel's images; undefined: there are no channels. */
  readonly channelFunctionArn: pulumi.Output<string | undefined>;

  constructor(name: string, args: ImageCdnArgs, opts?: pulumi.ComponentResourceOptions) {
    super("runner-images:index:ImageCdn", name, {}, opts);
    const { domain, zone, channels = [] } = args;
    const parts = { parent: this };

    const cache = createCachePolicies();
    const headers = createHeadersPolicy();
    const originAccess = createOriginAccess();
    const certificate = findCertificate();
    const channelFunction = createChannelFunction();
    const distribution = createDistribution();
    createRecords();

    this.domainName = distribution.domainName;
    this.distributionArn = distribution.arn;
    this.policyArns = pulumi.all(
      [originAccess, cache.immutable, cache.pointer, headers].map(({ arn }) => arn),
    );
    this.certificateArn = pulumi.output(certificate);
    this.channelFunctionArn = pulumi.output(channelFunction?.arn);
    this.url =
      domain === undefined
        ? pulumi.interpolate`https://${distribution.domainName}`
        : pulumi.output(`https://${domain}`);
    this.registerOutputs();

    /** What may change is cached for seconds, everything else for a year. One copy for all clients: nothing of a request counts. */
    function createCachePolicies() {
      const policy = (kind: string, comment: string, ttl: number) =>
        new aws.cloudfront.CachePolicy(
          `${name}-${kind}`,
          {
            comment,
            minTtl: 0,
            defaultTtl: ttl,
            maxTtl: ttl,
            parametersInCacheKeyAndForwardedToOrigin: {
              cookiesConfig: { cookieBehavior: "none" },
              headersConfig: { headerBehavior: "none" },
              queryStringsConfig: { queryStringBehavior: "none" },
              // The images are compressed already, and hosts rely on there being no Content-Encoding.
              enableAcceptEncodingBrotli: false,
              enableAcceptEncodingGzip: false,
            },
          },
          parts,
        );
      return {
        immutable: policy("immutable", "images/ and pointer/ never change", oneYear),
        pointer: policy("pointer", "latest, latest.json, and the page about them", pointerTtl),
      };
    }

    /** HTTPS only from now on, no script in what a browser shows, and no word about how the bucket stores things. */
    function createHeadersPolicy() {
      const hidden = ["x-amz-server-side-encryption", "x-amz-version-id"];
      return new aws.cloudfront.ResponseHeadersPolicy(
        `${name}-headers`,
        {
          comment: "runner images",
          securityHeadersConfig: {
            strictTransportSecurity: { accessControlMaxAgeSec: oneYear, override: true },
            contentTypeOptions: { override: true },
            contentSecurityPolicy: { contentSecurityPolicy: securityPolicy, override: true },
          },
          removeHeadersConfig: { items: hidden.map((header) => ({ header })) },
        },
        parts,
      );
    }

    /** CloudFront signs what it asks of the bucket, which lets in this distribution and nobody else. */
    function createOriginAccess() {
      // No name: it would have to be unique in the account.
      return new aws.cloudfront.OriginAccessControl(
        `${name}-origin-access`,
        { originAccessControlOriginType: "s3", signingBehavior: "always", signingProtocol: "sigv4" },
        parts,
      );
    }

    /** The ARN of the domain's certificate; undefined: CloudFront's own name has one. */
    function findCertificate(): pulumi.Input<string> | undefined {
      if (domain === undefined || args.certificate !== undefined) return args.certificate;
      // The only region that CloudFront takes certificates from.
      const region = "us-east-1";
      const certificate = new aws.acm.Certificate(
        `${name}-certificate`,
        { region, domainName: domain, validationMethod: "DNS" },
        parts,
      );
      const proof = certificate.domainValidationOptions[0]!;
      // The proof that the domain is ours, for this certificate and for its renewals.
      const record = new aws.route53.Record(
        `${name}-certificate-record`,
        {
          zoneId: zone!,
          name: proof.resourceRecordName,
          type: proof.resourceRecordType.apply((type) => type as aws.route53.RecordType),
          records: [proof.resourceRecordValue],
          ttl: oneMinute,
          // The same for every certificate of this domain in this account, so another stack may have made it.
          allowOverwrite: true,
        },
        parts,
      );
      // No distribution with a certificate that nobody has issued yet.
      return new aws.acm.CertificateValidation(
        `${name}-certificate-validation`,
        { region, certificateArn: certificate.arn, validationRecordFqdns: [record.fqdn] },
        { ...parts, customTimeouts: { create: "30m" } },
      ).certificateArn;
    }

    function createChannelFunction(): aws.cloudfront.Function | undefined {
      if (channels.length === 0) return undefined;
      return new aws.cloudfront.Function(
        `${name}-channel-images`,
        {
          runtime: "cloudfront-js-2.0",
          comment: "a channel's images are everybody's",
          code: channelImagesFunction,
        },
        parts,
      );
    }

    function createDistribution() {
      const serve = (cachePolicyId: pulumi.Input<string>) => ({
        targetOriginId: originId,
        cachePolicyId,
        responseHeadersPolicyId: headers.id,
        viewerProtocolPolicy: "redirect-to-https",
        allowedMethods: ["GET", "HEAD"],
        cachedMethods: ["GET", "HEAD"],
        compress: false,
      });
      return new aws.cloudfront.Distribution(
        `${name}-distribution`,
        {
          enabled: true,
          comment: "runner images",
          aliases: domain === undefined ? [] : [domain],
          httpVersion: "http2and3",
          isIpv6Enabled: true,
          // North America and Europe; hosts elsewhere are served from there.
          priceClass: "PriceClass_100",
          origins: [{ originId, domainName: args.originDomain, originAccessControlId: originAccess.id }],
          // The pointer, the page about it, and everything that is not there.
          defaultCacheBehavior: serve(cache.pointer.id),
          orderedCacheBehaviors: [
            ...["images/*", "pointer/*", ...channels.map((channel) => `${channel}/pointer/*`)].map(
              (pathPattern) => ({ pathPattern, ...serve(cache.immutable.id) }),
            ),
            ...channels.map((channel) => ({
              pathPattern: `${channel}/images/*`,
              ...serve(cache.immutable.id),
              functionAssociations: [{ eventType: "viewer-request", functionArn: channelFunction!.arn }],
            })),
          ],
          // The page for people. While there is none, `/` answers 404: without this, the bucket would answer with a list of what it holds.
          defaultRootObject: "index.html",
          customErrorResponses: errorCodes.map((errorCode) => ({ errorCode, errorCachingMinTtl: errorTtl })),
          restrictions: { geoRestriction: { restrictionType: "none" } },
          viewerCertificate:
            certificate === undefined
              ? // Its lowest TLS version is CloudFront's choice.
                { cloudfrontDefaultCertificate: true }
              : {
                  acmCertificateArn: certificate,
                  minimumProtocolVersion: "TLSv1.2_2021",
                  sslSupportMethod: "sni-only",
                },
          ...(args.accessLogBucket !== undefined && {
            loggingConfig: {
              bucket: `${args.accessLogBucket}.s3.amazonaws.com`,
              prefix: `${name}/`,
              includeCookies: false,
            },
          }),
          // A change takes CloudFront minutes to spread; a rollback in the same update must not wait for it. `promote` waits
          // for what matters: until the new pointer is served (release/pointer/promote.ts).
          waitForDeployment: false,
        },
        parts,
      );
    }

    /** The domain points to the distribution, over IPv4 and IPv6. */
    function createRecords() {
      if (domain === undefined || zone === undefined) return;
      for (const [family, type] of [
        ["ipv4", "A"],
        ["ipv6", "AAAA"],
      ] as const) {
        new aws.route53.Record(
          `${name}-${family}`,
          {
            zoneId: zone,
            name: domain,
            type,
            aliases: [
              {
                name: distribution.domainName,
                zoneId: distribution.hostedZoneId,
                evaluateTargetHealth: false,
              },
            ],
          },
          parts,
        );
      }
    }
  }
}
