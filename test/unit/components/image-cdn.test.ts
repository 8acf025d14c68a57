import { runInNewContext } from "node:vm";
import { beforeAll, describe, expect, it } from "vitest";
import { channelImagesFunction, type ImageCdnArgs } from "../../../components/image-cdn.js";
import { contentSecurityPolicy } from "../../../release/store/headers.js";
import { inputsOf, optionsProbe, recordResources, type Recorded } from "./recorder.js";

const originDomain = "acme-runner-images.s3.eu-central-1.amazonaws.com";
const certificate = "arn:aws:acm:us-east-1:123456789012:certificate/0a1b";
const proof = {
  resourceRecordName: "_x.images.acme.test.",
  resourceRecordType: "CNAME",
  resourceRecordValue: "_y.acm-validations.aws.",
};
const types = {
  distribution: "aws:cloudfront/distribution:Distribution",
  cachePolicy: "aws:cloudfront/cachePolicy:CachePolicy",
  headers: "aws:cloudfront/responseHeadersPolicy:ResponseHeadersPolicy",
  originAccess: "aws:cloudfront/originAccessControl:OriginAccessControl",
  certificate: "aws:acm/certificate:Certificate",
  validation: "aws:acm/certificateValidation:CertificateValidation",
  record: "aws:route53/record:Record",
};

interface Made {
  resources: Recorded[];
  probed: ReturnType<typeof optionsProbe>;
  url: string;
}

async function make(changes: Partial<ImageCdnArgs>): Promise<Made> {
  const recording = await recordResources({
    outputs: (type, name) => {
      switch (type) {
        case types.distribution:
          return { arn: "the-arn", domainName: "d1.cloudfront.net", hostedZoneId: "Z2FDTNDATAQYW2" };
        case types.certificate:
          return { arn: "made-certificate", domainValidationOptions: [proof] };
        case types.record:
          return { fqdn: `${name}.fqdn` };
        default:
          return {};
      }
    },
  });
  const { ImageCdn } = await import("../../../components/image-cdn.js");
  const probed = optionsProbe();
  const none = { domain: undefined, zone: undefined, certificate: undefined, accessLogBucket: undefined };
  const cdn = new ImageCdn(
    "cdn",
    { originDomain, ...none, ...changes },
    { protect: true, transformations: [probed.probe] },
  );
  const url = new Promise<string>((resolve) => cdn.url.apply(resolve));
  await recording.flush();
  return { resources: recording.resources, probed, url: await url };
}

let made: Made;
const names = () => made.resources.map(({ name }) => name).sort();
const inputs = (type: keyof typeof types, name: string) => inputsOf(made.resources, types[type], name);
const distribution = () => inputs("distribution", "cdn-distribution");

describe("ImageCdn with a domain and its zone", () => {
  beforeAll(async () => {
    made = await make({ domain: "images.acme.test", zone: "Z1" });
  });

  it("is a distribution with its policies, a certificate with its proof, and two records", () => {
    expect(names()).toEqual([
      "cdn",
      "cdn-certificate",
      "cdn-certificate-record",
      "cdn-certificate-validation",
      "cdn-distribution",
      "cdn-headers",
      "cdn-immutable",
      "cdn-ipv4",
      "cdn-ipv6",
      "cdn-origin-access",
      "cdn-pointer",
    ]);
  });

  it("serves GET and HEAD over HTTP/2 and 3, IPv4 and IPv6, and redirects to HTTPS", () => {
    expect(distribution()).toMatchObject({ enabled: true, httpVersion: "http2and3", isIpv6Enabled: true });
    for (const behavior of behaviors()) {
      expect(behavior).toMatchObject({
        viewerProtocolPolicy: "redirect-to-https",
        allowedMethods: ["GET", "HEAD"],
        cachedMethods: ["GET", "HEAD"],
      });
    }
  });

  it("never compresses, since hosts rely on there being no Content-Encoding", () => {
    for (const behavior of behaviors()) expect(behavior["compress"]).toBe(false);
    for (const name of ["cdn-immutable", "cdn-pointer"]) {
      expect(inputs("cachePolicy", name)["parametersInCacheKeyAndForwardedToOrigin"]).toMatchObject({
        enableAcceptEncodingBrotli: false,
        enableAcceptEncodingGzip: false,
      });
    }
  });

  it("keeps one copy for all clients: no cookie, header or query string is part of the key or sent on", () => {
    for (const name of ["cdn-immutable", "cdn-pointer"]) {
      expect(inputs("cachePolicy", name)["parametersInCacheKeyAndForwardedToOrigin"]).toMatchObject({
        cookiesConfig: { cookieBehavior: "none" },
        headersConfig: { headerBehavior: "none" },
        queryStringsConfig: { queryStringBehavior: "none" },
      });
    }
    for (const behavior of behaviors()) {
      expect(behavior).not.toHaveProperty("originRequestPolicyId");
      expect(behavior).not.toHaveProperty("forwardedValues");
    }
  });

  it("caches images/ and pointer/ for a year, and everything else, the pointer above all, for a minute", () => {
    const { orderedCacheBehaviors, defaultCacheBehavior } = distribution() as {
      orderedCacheBehaviors: { pathPattern: string; cachePolicyId: string }[];
      defaultCacheBehavior: { cachePolicyId: string };
    };
    expect(
      orderedCacheBehaviors.map(({ pathPattern, cachePolicyId }) => [pathPattern, cachePolicyId]),
    ).toEqual([
      ["images/*", "cdn-immutable-id"],
      ["pointer/*", "cdn-immutable-id"],
    ]);
    expect(defaultCacheBehavior.cachePolicyId).toBe("cdn-pointer-id");
    expect(inputs("cachePolicy", "cdn-immutable")).toMatchObject({ defaultTtl: 31536000, maxTtl: 31536000 });
    expect(inputs("cachePolicy", "cdn-pointer")).toMatchObject({ minTtl: 0, defaultTtl: 5, maxTtl: 5 });
  });

  it("forgets every error within ten seconds, and never replaces its status", () => {
    const errors = distribution()["customErrorResponses"] as {
      errorCode: number;
      errorCachingMinTtl: number;
    }[];
    expect(errors.map(({ errorCode }) => errorCode)).toEqual([
      400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504,
    ]);
    for (const error of errors) {
      expect(error.errorCachingMinTtl).toBeLessThanOrEqual(10);
      expect(error).not.toHaveProperty("responseCode");
    }
  });

  it("answers / from the page, so that it never shows the list of the bucket, also while there is no page", () => {
    expect(distribution()["defaultRootObject"]).toBe("index.html");
  });

  it("asks the bucket in its own name, signed", () => {
    expect(distribution()["origins"]).toEqual([
      { originId: "images", domainName: originDomain, originAccessControlId: "cdn-origin-access-id" },
    ]);
    // No name: it would have to be unique in the account.
    expect(inputs("originAccess", "cdn-origin-access")).toEqual({
      originAccessControlOriginType: "s3",
      signingBehavior: "always",
      signingProtocol: "sigv4",
    });
  });

  it("tells clients to stay with HTTPS, runs no script in a browser, and hides how the bucket stores things", () => {
    expect(inputs("headers", "cdn-headers")).toMatchObject({
      securityHeadersConfig: {
        strictTransportSecurity: { accessControlMaxAgeSec: 31536000, override: true },
        contentTypeOptions: { override: true },
        contentSecurityPolicy: { contentSecurityPolicy, override: true },
      },
      removeHeadersConfig: {
        items: [{ header: "x-amz-server-side-encryption" }, { header: "x-amz-version-id" }],
      },
    });
    for (const behavior of behaviors()) expect(behavior["responseHeadersPolicyId"]).toBe("cdn-headers-id");
  });

  it("has the domain as its name, with a validated certificate of us-east-1 and TLS 1.2 at least", () => {
    expect(made.url).toBe("https://images.acme.test");
    expect(distribution()["aliases"]).toEqual(["images.acme.test"]);
    expect(inputs("certificate", "cdn-certificate")).toEqual({
      region: "us-east-1",
      domainName: "images.acme.test",
      validationMethod: "DNS",
    });
    expect(inputs("record", "cdn-certificate-record")).toMatchObject({
      zoneId: "Z1",
      name: proof.resourceRecordName,
      type: "CNAME",
      records: [proof.resourceRecordValue],
    });
    expect(inputs("validation", "cdn-certificate-validation")).toEqual({
      region: "us-east-1",
      certificateArn: "made-certificate",
      validationRecordFqdns: ["cdn-certificate-record.fqdn"],
    });
    // The validation's, not the certificate's own: the distribution waits until it is issued.
    expect(distribution()["viewerCertificate"]).toEqual({
      acmCertificateArn: "made-certificate",
      minimumProtocolVersion: "TLSv1.2_2021",
      sslSupportMethod: "sni-only",
    });
  });

  it("points the domain to the distribution over IPv4 and IPv6", () => {
    for (const [name, type] of [
      ["cdn-ipv4", "A"],
      ["cdn-ipv6", "AAAA"],
    ] as const) {
      expect(inputs("record", name)).toEqual({
        zoneId: "Z1",
        name: "images.acme.test",
        type,
        aliases: [{ name: "d1.cloudfront.net", zoneId: "Z2FDTNDATAQYW2", evaluateTargetHealth: false }],
      });
    }
  });

  it("does not make an update wait until CloudFront has spread a change: a rollback may be part of it", () => {
    expect(distribution()["waitForDeployment"]).toBe(false);
  });

  it("bounds the wait for the certificate", () => {
    expect(made.probed.optionsOf("cdn-certificate-validation").customTimeouts).toEqual({ create: "30m" });
  });

  it("keeps no access logs unless told where", () => {
    expect(distribution()).not.toHaveProperty("loggingConfig");
  });

  it("protects the distribution and all that belongs to it", () => {
    expect(made.probed.protectedOnes().sort()).toEqual(names());
  });
});

describe("ImageCdn without a domain", () => {
  beforeAll(async () => {
    made = await make({ accessLogBucket: "acme-logs" });
  });

  it("uses CloudFront's own name and certificate, and makes no record", () => {
    expect(made.url).toBe("https://d1.cloudfront.net");
    expect(names()).toEqual([
      "cdn",
      "cdn-distribution",
      "cdn-headers",
      "cdn-immutable",
      "cdn-origin-access",
      "cdn-pointer",
    ]);
    expect(distribution()).toMatchObject({
      aliases: [],
      viewerCertificate: { cloudfrontDefaultCertificate: true },
    });
  });

  it("writes access logs to the bucket it is given, without cookies", () => {
    expect(distribution()["loggingConfig"]).toEqual({
      bucket: "acme-logs.s3.amazonaws.com",
      prefix: "cdn/",
      includeCookies: false,
    });
  });
});

describe("ImageCdn with a certificate of one's own", () => {
  it("makes none, and no records where no zone is given", async () => {
    made = await make({ domain: "images.acme.test", certificate });
    expect(names().filter((name) => /certificate|ipv/.test(name))).toEqual([]);
    expect(distribution()["viewerCertificate"]).toMatchObject({ acmCertificateArn: certificate });
  });

  it("still makes the records where a zone is given", async () => {
    made = await make({ domain: "images.acme.test", zone: "Z1", certificate });
    expect(names().filter((name) => /certificate|ipv/.test(name))).toEqual(["cdn-ipv4", "cdn-ipv6"]);
  });
});

function behaviors(): Record<string, unknown>[] {
  const { orderedCacheBehaviors, defaultCacheBehavior } = distribution();
  return [...(orderedCacheBehaviors as []), defaultCacheBehavior as Record<string, unknown>];
}

describe("ImageCdn with channels", () => {
  const pattern = ({ pathPattern }: Record<string, unknown>) => pathPattern as string;
  const ordered = () => distribution()["orderedCacheBehaviors"] as Record<string, unknown>[];

  beforeAll(async () => {
    made = await make({ channels: ["canary", "lab"] });
  });

  it("keeps a channel's log and images for a year, and its latest like everybody's", () => {
    const immutable = ordered()[0]!["cachePolicyId"];
    expect(ordered().map(pattern)).toEqual([
      "images/*",
      "pointer/*",
      "canary/pointer/*",
      "lab/pointer/*",
      "canary/images/*",
      "lab/images/*",
    ]);
    for (const behavior of ordered()) expect(behavior["cachePolicyId"]).toBe(immutable);
  });

  it("runs one function, for the images of channels alone", () => {
    expect(names().filter((name) => name.includes("channel"))).toEqual(["cdn-channel-images"]);
    const running = ordered().filter(({ functionAssociations }) => functionAssociations !== undefined);
    expect(running.map(pattern)).toEqual(["canary/images/*", "lab/images/*"]);
    for (const { functionAssociations } of running)
      expect(functionAssociations).toMatchObject([{ eventType: "viewer-request" }]);
    expect(distribution()["defaultCacheBehavior"]).not.toHaveProperty("functionAssociations");
    expect(inputsOf(made.resources, "aws:cloudfront/function:Function", "cdn-channel-images")).toMatchObject({
      runtime: "cloudfront-js-2.0",
      code: channelImagesFunction,
    });
  });

  it.each([
    ["/canary/images/0123/ubuntu-x86_64.qcow2.zst", "/images/0123/ubuntu-x86_64.qcow2.zst"],
    ["/lab/images/", "/images/"],
    ["/lab/images/images/x", "/images/images/x"],
  ])("finds %s at %s", (asked, found) => {
    // As CloudFront runs it: a script whose handler gets the event.
    const handler = runInNewContext(`${channelImagesFunction}; handler`) as (event: object) => object;
    expect(handler({ request: { uri: asked, method: "GET", headers: {} } })).toEqual({
      uri: found,
      method: "GET",
      headers: {},
    });
  });

  it("has none of it where there is no channel", async () => {
    made = await make({ channels: [] });
    const none = [names(), distribution()];
    made = await make({});
    expect([names(), distribution()]).toEqual(none);
    expect(names().filter((name) => name.includes("channel"))).toEqual([]);
    expect(ordered().map(pattern)).toEqual(["images/*", "pointer/*"]);
  });
});
