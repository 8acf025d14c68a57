import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { isAllowed, targets, whos, type Target } from "./world.js";

/*
 * docs/threat-model.md holds the table; each of its rows is a test here. A row with a word that is not in these lists fails, and so does
 * a word which no row uses.
 */

const header = ["who", "does", "to", "how", "result"];

const creation = { "s3:ObjectCreationOperation": "true" };
const partOfAnUpload = { "s3:ObjectCreationOperation": "false" };

/** What the columns "does" and "to" ask of AWS. */
const verbs: Record<
  string,
  { action: string | ((target: Target) => string); context?: Record<string, string> }
> = {
  reads: { action: "s3:GetObject" },
  lists: { action: "s3:ListBucket" },
  writes: { action: "s3:PutObject", context: creation },
  "copies another object over": {
    action: "s3:PutObject",
    context: { ...creation, "s3:x-amz-copy-source": "octo-payroll/images/salaries" },
  },
  "starts an upload of": { action: "s3:PutObject", context: partOfAnUpload },
  "sends a part of": { action: "s3:PutObject", context: partOfAnUpload },
  "completes an upload of": { action: "s3:PutObject", context: creation },
  "aborts an upload of": { action: "s3:AbortMultipartUpload" },
  deletes: { action: "s3:DeleteObject" },
  "deletes a version of": { action: "s3:DeleteObjectVersion" },
  "replicates an object over": { action: "s3:ReplicateObject" },
  "replicates a delete of": { action: "s3:ReplicateDelete" },
  "encrypts with another key": { action: "s3:UpdateObjectEncryption" },
  "reads the policy of": { action: "s3:GetBucketPolicy" },
  "changes the policy of": { action: "s3:PutBucketPolicy" },
  "removes the policy of": { action: "s3:DeleteBucketPolicy" },
  "changes the lifecycle of": { action: "s3:PutLifecycleConfiguration" },
  "suspends the versioning of": { action: "s3:PutBucketVersioning" },
  "lets the public into": { action: "s3:PutBucketPublicAccessBlock" },
  "replicates elsewhere": { action: "s3:PutReplicationConfiguration" },
  decrypts: { action: "kms:Decrypt" },
  encrypts: { action: "kms:Encrypt" },
  "moves the alias of": { action: "kms:UpdateAlias" },
  "reads the settings of": { action: "cloudfront:GetDistribution" },
  "changes the settings of": { action: "cloudfront:UpdateDistribution" },
  "changes the caching of": { action: "cloudfront:UpdateCachePolicy" },
  "changes the headers of": { action: "cloudfront:UpdateResponseHeadersPolicy" },
  "changes the signing of": { action: "cloudfront:UpdateOriginAccessControl" },
  "reads the code of": { action: "cloudfront:GetFunction" },
  "changes the code of": { action: "cloudfront:UpdateFunction" },
  "publishes the code of": { action: "cloudfront:PublishFunction" },
  creates: { action: "cloudfront:CreateDistribution" },
  assumes: { action: "sts:AssumeRoleWithWebIdentity" },
  "assumes, as a role": { action: "sts:AssumeRole" },
  "reads the permissions of": { action: "iam:GetRolePolicy" },
  "changes the permissions of": { action: "iam:PutRolePolicy" },
  "attaches a policy to": { action: "iam:AttachRolePolicy" },
  "changes who may assume": { action: "iam:UpdateAssumeRolePolicy" },
  "lets other audiences into": { action: "iam:AddClientIDToOpenIDConnectProvider" },
  "reads the records of": { action: "route53:ListResourceRecordSets" },
  "changes the records of": { action: "route53:ChangeResourceRecordSets" },
  "looks at": { action: "acm:DescribeCertificate" },
  "takes the private key of": { action: "acm:ExportCertificate" },
  removes: {
    action: ({ arn }) =>
      find(
        {
          s3: "s3:DeleteBucket",
          kms: "kms:ScheduleKeyDeletion",
          cloudfront: "cloudfront:DeleteDistribution",
          iam: "iam:DeleteRole",
          acm: "acm:DeleteCertificate",
        },
        arn.split(":")[2]!,
        "to",
      ),
  },
};

const nouns: Record<string, Target> = {
  "an image": targets.image,
  "a record of a removal": targets.pruneRecord,
  "the prune role": targets.pruneRole,
  "a log entry": targets.logEntry,
  "a channel's log entry": targets.channelLogEntry,
  "a channel's latest": targets.channelLatest,
  "a channel's latest.json": targets.channelLatestJson,
  "an image below a channel's name": targets.channelImage,
  "the latest of no channel": targets.noChannelLatest,
  "the log of no channel": targets.noChannelLogEntry,
  latest: targets.latest,
  "latest.json": targets.latestJson,
  "the page": targets.page,
  "the feed": targets.feed,
  "a page of moves": targets.movesPage,
  "another object": targets.otherObject,
  "the image bucket": targets.bucket,
  "an object elsewhere": targets.objectElsewhere,
  "another bucket": targets.otherBucket,
  "the state": targets.state,
  "the stack's history": targets.history,
  "a backup of the state": targets.backup,
  "a lock": targets.lock,
  "the state's layout": targets.stateLayout,
  "another stack's state": targets.otherStack,
  "another project's state": targets.otherProject,
  "another project's history": targets.otherHistory,
  "a backup of another's state": targets.otherBackup,
  "another project's lock": targets.otherLock,
  "the state bucket": targets.stateBucket,
  "the whole state bucket": targets.wholeStateBucket,
  "the projects in the state bucket": targets.projects,
  "the stacks in the state bucket": targets.stacks,
  "another project's stacks": targets.otherStates,
  "the stack's locks": targets.ownLocks,
  "another object in the state bucket": targets.otherInStateBucket,
  "the state's key": targets.stateKey,
  "another key": targets.otherKey,
  "a key without alias": targets.keyWithoutAlias,
  "the distribution": targets.distribution,
  "another distribution": targets.otherDistribution,
  "a distribution": targets.everything,
  "its cache policy": targets.cachePolicy,
  "its headers policy": targets.headersPolicy,
  "its origin access": targets.originAccess,
  "the channels' function": targets.channelFunction,
  "another's function": targets.otherFunction,
  "another's cache policy": targets.otherCachePolicy,
  "the preview role": targets.previewRole,
  "the deploy role": targets.deployRole,
  "another role": targets.otherRole,
  "GitHub's OIDC provider": targets.provider,
  "the zone": targets.zone,
  "another zone": targets.otherZone,
  "the certificate": targets.certificate,
};

/** What the request carries; a row without a word sends nothing special, over TLS. */
const hows: Record<string, Record<string, string>> = {
  "": {},
  "If-None-Match": { "s3:if-none-match": "*" },
  "If-Match": { "s3:if-match": "0123456789abcdef" },
  "without TLS": { "aws:SecureTransport": "false" },
};

const results: Record<string, boolean> = { allowed: true, denied: false };

const document = readFileSync(new URL("../../../docs/threat-model.md", import.meta.url), "utf8");
const rows = tableRows(document);

/** The rows of the table with our header, as texts. */
function tableRows(markdown: string): string[][] {
  const lines = markdown.split("\n").map((line) => line.trim());
  const cells = (line: string) =>
    line
      .replace(/^\||\|$/g, "")
      .split("|")
      .map((cell) => cell.trim().replaceAll("`", ""));
  const start = lines.findIndex((line) => line.startsWith("|") && cells(line).join() === header.join());
  if (start < 0) throw new Error(`docs/threat-model.md has no table with the header ${header.join(" | ")}`);
  const end = lines.findIndex((line, index) => index > start && !line.startsWith("|"));
  return lines.slice(start + 2, end).map(cells);
}

function find<T>(list: Record<string, T>, word: string, column: string): T {
  if (!Object.hasOwn(list, word))
    throw new Error(`"${word}" in column "${column}" of docs/threat-model.md means nothing to its test`);
  return list[word]!;
}

describe("the table of docs/threat-model.md", () => {
  // A loop, because it.each() shortens long names.
  for (const row of rows) {
    it(row.filter((cell) => cell !== "").join(" "), async () => {
      expect(row, "columns").toHaveLength(header.length);
      const [who, does, to, how, result] = row as [string, string, string, string, string];
      const { action, context } = find(verbs, does, "does");
      const target = find(nouns, to, "to");
      const carried = how.split(", ").map((word) => find(hows, word, "how"));
      const allowed = await isAllowed(
        find(whos, who, "who"),
        typeof action === "string" ? action : action(target),
        target,
        Object.assign({}, context, ...carried) as Record<string, string>,
      );
      expect(allowed).toBe(find(results, result, "result"));
    });
  }

  it("says nothing twice", () => {
    const requests = rows.map((row) => row.slice(0, 4).join(" | "));
    expect(requests.filter((request, index) => requests.indexOf(request) !== index)).toEqual([]);
  });

  it.each([
    ["who", whos],
    ["does", verbs],
    ["to", nouns],
  ])("uses every word its test knows in column %s", (column, list) => {
    const used = rows.map((row) => row[header.indexOf(column)]);
    expect(Object.keys(list).filter((word) => !used.includes(word))).toEqual([]);
  });
});
