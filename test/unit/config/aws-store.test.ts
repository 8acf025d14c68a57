import { describe, expect, it } from "vitest";
import { parseConfig, type AwsStore } from "../../../config.js";
import { UserError } from "../../../release/process/errors.js";

const account = "123456789012";
const certificate = `arn:aws:acm:us-east-1:${account}:certificate/0a1b2c3d-0000-1111-2222-333344445555`;
/** A production stack that is filled in, as Pulumi hands it over. */
const values: Record<string, string> = {
  "aws:region": "eu-central-1",
  "aws:allowedAccountIds": `["${account}"]`,
  latest: "",
  architectures: '["x86_64","aarch64"]',
  base: "ubuntu",
  profile: "full",
  runner: "github",
  accelerator: "auto",
  store: "aws",
  bucket: "acme-runner-images",
  domain: "images.acme.test",
  zone: "Z0123456789ABC",
  repository: "acme/runner-images",
  oidcProvider: "create",
  approvals: "1",
  reviewers: '["user/583231","team/12"]',
  mergeQueue: "false",
  keepImages: "20",
  keepDays: "90",
  keepMoves: "30",
  deltas: "3",
  deployMinutes: "180",
  signerIssuer: "https://token.actions.githubusercontent.com",
  state: "s3://acme-pulumi-state",
  stateKey: "alias/pulumi-state",
};

/** @param changes keys to set; undefined removes one */
function parse(changes: Record<string, string | undefined> = {}): AwsStore {
  const merged = Object.entries({ ...values, ...changes }).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  const qualified = merged.map(([key, text]) => [key.includes(":") ? key : `runner-images:${key}`, text]);
  const { store } = parseConfig(Object.fromEntries(qualified) as Record<string, string>, {});
  if (store.kind !== "aws") throw new Error(`a store ${store.kind}`);
  return store;
}

/** Whom the stack believes, and what its commands are told. */
function trusted(changes: Record<string, string> = {}) {
  const given = Object.entries({ ...values, ...changes });
  const qualified = given.map(([key, text]) => [key.includes(":") ? key : `runner-images:${key}`, text]);
  const { trust, trustEnvironment } = parseConfig(
    Object.fromEntries(qualified) as Record<string, string>,
    {},
  );
  return { trust, trustEnvironment };
}

function refusal(changes: Record<string, string | undefined>): string {
  try {
    parse(changes);
  } catch (error) {
    expect(error).toBeInstanceOf(UserError);
    return (error as UserError).message;
  }
  throw new Error(`accepted ${JSON.stringify(changes)}`);
}

describe("the configuration of a store on AWS", () => {
  it.each(["acme/runner-images", "acme@12/runner-images@34"])(
    "believes the deploy workflow of the repository %s, where nobody else is named",
    (repository) => {
      const identity = "https://github.com/acme/runner-images/.github/workflows/deploy.yml@refs/heads/main";
      const issuer = "https://token.actions.githubusercontent.com";
      expect(trusted({ repository })).toEqual({
        trust: { signer: { kind: "workflow", identity, issuer }, unsignedUntil: null },
        trustEnvironment: { IMAGES_SIGNER: identity },
      });
    },
  );

  it("reads account, region, CDN and CI", () => {
    expect(parse()).toEqual({
      kind: "aws",
      account,
      region: "eu-central-1",
      bucket: "acme-runner-images",
      cdn: {
        kind: "own",
        domain: "images.acme.test",
        zone: "Z0123456789ABC",
        certificate: undefined,
        accessLogBucket: undefined,
      },
      ci: {
        repository: { owner: "acme", name: "runner-images", subject: "acme/runner-images", ids: undefined },
        oidcProvider: "create",
        approvals: 1,
        reviewers: { users: [583231], teams: [12] },
        mergeQueue: false,
        deployMinutes: 180,
        state: { bucket: "acme-pulumi-state", key: "alias/pulumi-state" },
      },
      placeholders: [],
    });
  });

  it("reads a repository's IDs where GitHub's subjects hold them", () => {
    expect(parse({ repository: "acme@12/runner-images@345" }).ci.repository).toEqual({
      owner: "acme",
      name: "runner-images",
      subject: "acme@12/runner-images@345",
      ids: { owner: 12, repository: 345 },
    });
  });

  it("lets a team of one deploy without a second person", () => {
    expect(parse({ approvals: "0", reviewers: "[]" }).ci).toMatchObject({
      approvals: 0,
      reviewers: { users: [], teams: [] },
    });
  });

  it("takes CloudFront's own name where there is no domain", () => {
    expect(parse({ domain: "", zone: "" }).cdn).toMatchObject({ kind: "own", domain: undefined });
  });

  it("takes a certificate in place of a zone, and makes no records then", () => {
    expect(parse({ zone: "", certificate }).cdn).toMatchObject({ certificate, zone: undefined });
  });

  it("takes a distribution of one's own in place of all that", () => {
    const distribution = `arn:aws:cloudfront::${account}:distribution/E1ABC`;
    const own = { domain: "", zone: "", url: "https://cdn.acme.test/", distribution };
    expect(parse(own).cdn).toEqual({ kind: "foreign", url: "https://cdn.acme.test", distribution });
  });

  it.each([
    ["no region", { "aws:region": undefined }, /aws:region must be a region.*pulumi config set aws:region/],
    [
      "no account",
      { "aws:allowedAccountIds": undefined },
      /aws:allowedAccountIds must name exactly the one account.*pulumi config set --path/,
    ],
    ["two accounts", { "aws:allowedAccountIds": `["${account}","000000000001"]` }, /exactly the one account/],
    ["an account that is a number", { "aws:allowedAccountIds": `[${account}]` }, /12 digits, quoted/],
    ["an account that lost its zeros", { "aws:allowedAccountIds": "[12345]" }, /12 digits, quoted/],
    ["no bucket", { bucket: "" }, /runner-images:bucket is required.*pulumi config set bucket/],
    [
      "a bucket with a dot, which no certificate covers",
      { bucket: "acme.images" },
      /must be a bucket's name/,
    ],
    ["no repository", { repository: "" }, /runner-images:repository is required/],
    ["a repository without owner", { repository: "images" }, /repository must be owner\/name/],
    ["the owner's ID alone", { repository: "acme@12/images" }, /repository must be owner\/name, or owner@ID/],
    [
      "the repository's ID alone",
      { repository: "acme/images@12" },
      /repository must be owner\/name, or owner@ID/,
    ],
    ["a domain without zone", { zone: "" }, /runner-images:zone is missing.*pulumi config set zone/],
    ["a zone without domain", { domain: "" }, /runner-images:zone is given without a domain/],
    ["a zone by name", { zone: "acme.test" }, /zone must be the ID of a Route 53 hosted zone/],
    [
      "a certificate of another region",
      { certificate: certificate.replace("us-east-1", "eu-central-1") },
      /runner-images:certificate must be .* in us-east-1.*pulumi config set certificate/,
    ],
    [
      "a certificate of another account",
      { certificate: certificate.replace(account, "999999999999") },
      /certificate must be of the account 123456789012/,
    ],
    [
      "a domain beside a CDN of one's own",
      { url: "https://cdn.acme.test" },
      /runner-images:domain is for the CDN that this stack provisions.*exclude each other.*pulumi config rm domain/,
    ],
    [
      "half a CDN of one's own",
      { domain: "", zone: "", url: "https://cdn.acme.test" },
      /runner-images:distribution is missing/,
    ],
    ["no architecture", { architectures: "[]" }, /architectures must name at least one.*pulumi config set/],
    [
      "a deploy that outlasts its credentials",
      { deployMinutes: "720" },
      /deployMinutes must be 30 to 345.*session outlasts the deploy.*it is "720"/,
    ],
    ["a deploy of no time", { deployMinutes: "0" }, /deployMinutes must be 30 to 345/],
    ["a time that is no number", { deployMinutes: "long" }, /deployMinutes must be 30 to 345/],
    [
      "to keep nothing",
      { keepImages: "0" },
      /keepImages must be 1 to 10000.*it is "0"; set it: pulumi config set keepImages/,
    ],
    ["to keep for no number of days", { keepDays: "long" }, /keepDays must be 1 to 3650/],
    ["to keep half a move", { keepMoves: "1.5" }, /keepMoves must be 1 to 10000/],
    ["a delta from eleven images", { deltas: "11" }, /deltas must be 0 to 10/],
    ["a delta from less than none", { deltas: "-1" }, /deltas must be 0 to 10/],
    ["half an approval", { approvals: "0.5" }, /approvals must be 0 to 6/],
    [
      "a reviewer by name",
      { reviewers: '["octocat"]' },
      /reviewers must list at most 6 of user\/<ID> and team\/<ID>.*octocat.*pulumi config set --path 'reviewers\[0\]'/,
    ],
    ["a reviewer that is no list", { reviewers: "user/1" }, /reviewers must list at most 6/],
    ["a reviewer twice", { reviewers: '["user/1","user/1"]' }, /reviewers names a reviewer twice/],
    [
      "more reviewers than GitHub takes",
      { reviewers: JSON.stringify([1, 2, 3, 4, 5, 6, 7].map((id) => `user/${id}`)) },
      /reviewers must list at most 6/,
    ],
    [
      "an access log bucket that is a URL",
      { accessLogBucket: "s3://logs" },
      /accessLogBucket must be a bucket's name/,
    ],
    ["a state that is no bucket", { state: "file:///tmp" }, /state must be Pulumi's state backend/],
    ["a key of another store", { endpoint: "https://s3.acme.test" }, /endpoint is not for the store "aws"/],
  ])("refuses %s in one line that names the key and the fix", (_, changes, message) => {
    const text = refusal(changes);
    expect(text).toMatch(message);
    expect(text).toMatch(/pulumi config (set|rm)/);
    expect(text).not.toContain("\n");
  });

  it.each([
    [
      "aws:allowedAccountIds",
      '["000000000000"]',
      "pulumi config set --path --type string 'aws:allowedAccountIds[0]' <account>",
    ],
    ["bucket", "example-runner-images", "pulumi config set bucket <value>"],
    ["domain", "images.example.com", "pulumi config set domain <value>"],
    ["zone", "Z0000000EXAMPLE", "pulumi config set zone <value>"],
    ["repository", "example/runner-images", "pulumi config set repository <value>"],
    ["state", "s3://example-pulumi-state", "pulumi config set state <value>"],
    ["reviewers", '["team/0"]', "pulumi config set --path 'reviewers[0]' <value>"],
  ])("knows the placeholder of %s, and the command that replaces it", (key, value, fix) => {
    const qualified = key.includes(":") ? key : `runner-images:${key}`;
    expect(parse({ [key]: value }).placeholders).toEqual([
      { key: qualified, value: value.replace(/[["\]]/g, ""), fix },
    ]);
  });
});
