import * as pulumi from "@pulumi/pulumi";
import { z } from "zod";
import {
  day,
  githubIssuer,
  parseSigner,
  readTrust,
  signerForm,
  type Trust,
} from "./release/attest/signer.js";
import { parsePromotion, promotionForm, type Channel } from "./release/pointer/channels.js";
import { UserError } from "./release/process/errors.js";
import type { PruneRequest } from "./release/retention/prune.js";
import type { Retention } from "./release/retention/rule.js";
import { channelPattern, reservedNames } from "./release/store/channels.js";
import { architectures, defaultDeltas, maxDeltas } from "./release/store/keys.js";

/** The namespace of our keys in a stack file: the project's name. */
const project = "runner-images";

const httpUrl = z
  .url({ protocol: /^https?$/, error: "must be a URL like https://images.example.com" })
  .transform((url) => url.replace(/\/+$/, ""));

/** The limit is GitHub's, and so are the numbers: a name may be somebody else's tomorrow. */
const reviewersRule =
  "must list at most 6 of user/<ID> and team/<ID>, with GitHub's numbers (docs/first-deploy.md)";

const pin = z
  .string()
  .regex(/^[0-9a-f]{40}$/, "must be 40 lowercase hex characters: the full hash of a published commit")
  .optional();

/**
 * The pointers that some hosts poll in place of everybody's, by name. One of them at most is where new images have to live first: with two,
 * it would take another rule which of them everybody waits for.
 */
const channels = z
  .record(
    z.string(),
    z.strictObject(
      {
        follows: z
          .literal("newest", {
            error:
              "may only be newest: a channel gets what was built last, and follows no channel, nor itself",
          })
          .default("newest"),
        // Said by each: were it left out where a pin takes its place, the newest image would go to everybody at once.
        promote: z.string(promotionForm).transform((text, context) => {
          const promotion = parsePromotion(text);
          if (promotion === null) context.addIssue({ code: "custom", message: promotionForm });
          return promotion ?? z.NEVER;
        }),
        latest: pin,
      },
      "must be a map like {follows: newest, promote: after 24h}",
    ),
    "must be a map like {canary: {follows: newest, promote: after 24h}}",
  )
  .superRefine((map, context) => {
    const issue = (message: string, path: string[] = []) =>
      context.addIssue({ code: "custom", message, path });
    for (const name of Object.keys(map)) {
      if (reservedNames.includes(name))
        issue("is called like something else below the CDN's URL, or may come to be: choose another name", [
          name,
        ]);
      else if (!channelPattern.test(name))
        issue(
          "is no name of a channel: a lowercase letter, then at most 30 lowercase letters, digits and hyphens",
          [name],
        );
    }
    const [, second] = Object.keys(map).filter((name) => map[name]!.promote.kind !== "never");
    if (second !== undefined)
      issue("is the second channel that says when everybody gets its images: one of them has to", [
        second,
        "promote",
      ]);
  })
  .default({});

/** Keys of every stack. Pulumi.yaml documents each, and gives a default to those that are not optional here. */
const common = {
  latest: pin,
  channels,
  architectures: z
    .array(
      z.enum(architectures, { error: `may hold only ${architectures.join(", ")}` }),
      `must be a list of ${architectures.join(", ")}`,
    )
    .min(1, "must name at least one architecture")
    .refine((list) => new Set(list).size === list.length, "names an architecture twice"),
  base: oneOf("ubuntu", "debian"),
  profile: oneOf("full", "small"),
  runner: oneOf("github", "fixture"),
  accelerator: oneOf("auto", "kvm", "tcg"),
  signer: z
    .string()
    .refine((text) => parseSigner(text) !== null, `must be ${signerForm}`)
    .optional(),
  signerIssuer: z.url({ protocol: /^https$/, error: `must be a URL like ${githubIssuer}` }),
  unsignedUntil: z
    .string()
    // Without quotes it is a timestamp to the engine's YAML, which hands it over in Go's words.
    .transform((text) => text.replace(/ 00:00:00 \+0000 UTC$/, ""))
    .pipe(day)
    .optional(),
  // How long images are kept (release/retention/rule.ts), for `release prune`.
  keepImages: integer(1, 10_000, "must be 1 to 10000: so many of the newest proven images are kept"),
  keepDays: integer(1, 3_650, "must be 1 to 3650: what is younger, in days, is kept"),
  keepMoves: integer(1, 10_000, "must be 1 to 10000: what so many last moves name is kept"),
  deltas: integer(
    0,
    maxDeltas,
    `must be 0 to ${maxDeltas}: from so many images that went live last hosts can update by a delta`,
  ),
  // Only the store `aws` has a use for these; with their defaults, they are part of every stack.
  oidcProvider: oneOf("create", "existing"),
  approvals: integer(0, 6, "must be 0 to 6 approving reviews"),
  reviewers: z
    .array(text(/^(user|team)\/\d{1,15}$/, reviewersRule), reviewersRule)
    .max(6, reviewersRule)
    .refine((list) => new Set(list).size === list.length, "names a reviewer twice"),
  mergeQueue: oneOf("true", "false").transform((value) => value === "true"),
  deployMinutes: integer(
    30,
    345,
    "must be 30 to 345 minutes: the deploy role's session outlasts the deploy by 15, and GitHub ends a job after 6 hours",
  ),
};

const bucketName = text(
  /^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$/,
  "must be a bucket's name: 3 to 63 lowercase letters, digits and hyphens",
);

/** Keys of the store `aws`. */
const aws = {
  bucket: bucketName,
  domain: text(
    /^(?=.{1,253}$)([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}$/,
    "must be a domain name like images.example.com",
  ).optional(),
  zone: text(
    /^Z[A-Z0-9]+$/,
    "must be the ID of a Route 53 hosted zone, like Z0123456789ABCDEFGHIJ",
  ).optional(),
  certificate: text(
    /^arn:aws:acm:us-east-1:\d{12}:certificate\/[0-9a-f-]+$/,
    "must be the ARN of an ACM certificate in us-east-1, the only region CloudFront takes certificates from",
  ).optional(),
  url: httpUrl.optional(),
  distribution: text(
    /^arn:aws:cloudfront::\d{12}:distribution\/[A-Z0-9]+$/,
    "must be the ARN of a CloudFront distribution",
  ).optional(),
  accessLogBucket: bucketName.optional(),
  repository: z
    .string()
    .refine(
      (subject) => readRepository(subject) !== null,
      "must be owner/name, or owner@ID/name@ID where GitHub's subjects hold IDs (docs/first-deploy.md)",
    ),
  state: text(/^s3:\/\/[a-z0-9.-]+$/, "must be Pulumi's state backend, like s3://my-pulumi-state"),
  stateKey: text(
    /^alias\/[\w/-]+$/,
    "must be the alias of the KMS key of the state, like alias/pulumi-state",
  ),
};

/** Every key of a stack, as each store knows them. */
export const schema = z.discriminatedUnion(
  "store",
  [
    z.strictObject({ ...common, store: z.literal("aws"), ...aws }),
    z.strictObject({
      ...common,
      store: z.literal("existing"),
      bucket: z.string(),
      region: z.string(),
      endpoint: httpUrl.optional(),
      url: httpUrl,
    }),
    z.strictObject({ ...common, store: z.literal("local") }),
  ],
  { error: "must be one of aws, existing, local" },
);

function oneOf<const T extends [string, ...string[]]>(...allowed: T) {
  return z.enum(allowed, { error: `must be one of ${allowed.join(", ")}` });
}

function text(pattern: RegExp, error: string) {
  return z.string(error).regex(pattern, error);
}

function integer(least: number, most: number, error: string) {
  return z.coerce.number(error).int(error).min(least, error).max(most, error);
}

/** An S3 bucket and a CDN that are there already, as the release commands see them (release/cli.ts). */
export interface ReadyStore {
  kind: "existing" | "local";
  bucket: string;
  /** Public base URL of the CDN, without a trailing slash. */
  url: string;
  /**
   * What a command resource must be given. Empty for the local store: its ports differ from machine to machine and would
   * show as a change on each, so the commands inherit them from the engine's environment instead.
   */
  environment: Record<string, string>;
}

/** What the stack provisions on AWS and GitHub. */
export interface AwsStore {
  kind: "aws";
  /** The only account that this stack may touch: 12 digits. */
  account: string;
  region: string;
  bucket: string;
  cdn: CdnConfig;
  ci: CiConfig;
  /** What still has to be filled in before an update. */
  placeholders: Placeholder[];
}

/** A distribution of the stack's own, or one that is there already and that this stack only lets read the bucket. */
export type CdnConfig =
  | {
      kind: "own";
      /** Undefined: hosts use the name that CloudFront gives. */
      domain: string | undefined;
      /** The hosted zone of the domain; undefined: its records are made elsewhere. */
      zone: string | undefined;
      /** Undefined: a certificate is made, and validated through the zone. */
      certificate: string | undefined;
      accessLogBucket: string | undefined;
    }
  | { kind: "foreign"; url: string; distribution: string };

export interface CiConfig {
  repository: Repository;
  oidcProvider: "create" | "existing";
  /** Reviews that a pull request needs. */
  approvals: number;
  /** GitHub's IDs of those who may let a deploy begin; nobody: it begins by itself. */
  reviewers: Reviewers;
  mergeQueue: boolean;
  /** Time limit of an update; builds and boots are no part of it. */
  deployMinutes: number;
  /** The bucket that holds Pulumi's state, and the alias of the KMS key that its secrets are encrypted with. */
  state: { bucket: string; key: string };
}

export interface Reviewers {
  users: number[];
  teams: number[];
}

export interface Repository {
  owner: string;
  name: string;
  /** How GitHub's tokens name it: "owner/name", or "owner@1/name@2" with the IDs, which nobody can register again. */
  subject: string;
  /** GitHub's IDs, where the subject holds them. */
  ids: { owner: number; repository: number } | undefined;
}

/** A value of the committed Pulumi.prod.yaml that every team replaces. */
export interface Placeholder {
  key: string;
  value: string;
  /** The command that replaces it. */
  fix: string;
}

export interface Config extends Pick<
  z.output<typeof schema>,
  "architectures" | "base" | "profile" | "runner" | "accelerator"
> {
  /** The pinned commit; undefined: follow the newest build. */
  latest: string | undefined;
  /** What `publish` must be given of how many deltas it makes: nothing where it is the default, so that no command runs again for it. */
  deltaEnvironment: Record<string, string>;
  /** The pointers that some hosts poll in place of everybody's; none: there is one pointer. */
  channels: Channel[];
  /** How long images are kept; only previews, prune.yml and the daily look ask. */
  retention: Retention;
  /** Whose word is taken on who built an image; null: nobody's is asked for. */
  trust: Trust | null;
  /** What the release commands must be given for it. The local platform's own key is not in it, as its store is not (ReadyStore). */
  trustEnvironment: Record<string, string>;
  store: ReadyStore | AwsStore;
}

/** The keys that Pulumi hands over as JSON. */
const structured = new Set(["architectures", "reviewers", "channels"]);

/** Reads the stack's configuration, once. @throws UserError naming the key, the allowed form and the command that fixes it */
export function readConfig(): Config {
  return parseConfig(pulumi.runtime.allConfig(), process.env);
}

/**
 * @param values every key of the stack ("runner-images:latest", "aws:region"), each as Pulumi's text (lists and maps are JSON)
 * @param environment the process's environment, which says where the local store is
 */
export function parseConfig(values: Record<string, string>, environment: NodeJS.ProcessEnv): Config {
  const given: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(values)) {
    const [namespace, key] = name.split(":", 2) as [string, string];
    if (namespace !== project) continue;
    // A setting that is left empty counts as not given: Pulumi.yaml needs a default for every optional key.
    if (value !== "") given[key] = structured.has(key) ? parseStructure(value) : value;
  }
  const parsed = schema.safeParse(given);
  if (!parsed.success) throw explain(parsed.error.issues[0]!, given);
  const { latest, architectures, base, profile, runner, accelerator } = parsed.data;
  const { keepImages, keepDays, keepMoves, deltas } = parsed.data;
  return {
    latest,
    architectures,
    base,
    profile,
    runner,
    accelerator,
    deltaEnvironment: deltas === defaultDeltas ? {} : { DELTAS: String(deltas) },
    channels: Object.entries(parsed.data.channels).map(([name, channel]) => ({
      name,
      pinned: channel.latest,
      promote: channel.promote,
    })),
    retention: { images: keepImages, days: keepDays, moves: keepMoves },
    ...readTrustConfig(parsed.data, environment),
    store: readStore(parsed.data, values, environment),
  };
}

/** What a stack says of which images may be removed, now. */
export function pruneRequest(
  { retention, latest, channels }: Pick<Config, "retention" | "latest" | "channels">,
  newest: string,
): PruneRequest {
  return {
    retention,
    pinned: [latest, ...channels.map(({ pinned }) => pinned)].filter((commit) => commit !== undefined),
    channels: channels.map(({ name }) => name),
    newest,
    now: new Date(),
  };
}

/** A stack on AWS believes its repository's deploys; the local platform has a key of its own, and tells it by its environment. */
function readTrustConfig(
  given: z.output<typeof schema>,
  environment: NodeJS.ProcessEnv,
): Pick<Config, "trust" | "trustEnvironment"> {
  const { store, signerIssuer, unsignedUntil } = given;
  const signer =
    given.signer ?? (store === "aws" ? deployWorkflow(readRepository(given.repository)!) : undefined);
  const own: Record<string, string> = {
    ...(signer !== undefined && { IMAGES_SIGNER: signer }),
    ...(signerIssuer !== githubIssuer && { IMAGES_SIGNER_ISSUER: signerIssuer }),
    ...(unsignedUntil !== undefined && { IMAGES_UNSIGNED_UNTIL: unsignedUntil }),
  };
  const inherited = store === "local" ? { IMAGES_SIGNER: environment["IMAGES_SIGNER"] } : {};
  const trust = readTrust({ ...inherited, ...own });
  // The local platform's own key comes with its environment, and where that is missing, its store is as well.
  if (trust === null && store !== "local" && Object.keys(own).length > 0) {
    const key = unsignedUntil === undefined ? "signerIssuer" : "unsignedUntil";
    throw new UserError(
      `config ${project}:${key} is given without a signer, so nobody is asked who built an image; ${howToSet("signer")}, or remove it: pulumi config rm ${key}`,
    );
  }
  return { trust, trustEnvironment: trust === null ? {} : own };
}

/** What Fulcio calls a job of it: https://github.com/sigstore/fulcio/blob/main/docs/oidc.md (github-workflow). */
function deployWorkflow({ owner, name }: Repository): string {
  return `https://github.com/${owner}/${name}/.github/workflows/deploy.yml@refs/heads/main`;
}

function readStore(
  given: z.output<typeof schema>,
  values: Record<string, string>,
  environment: NodeJS.ProcessEnv,
): ReadyStore | AwsStore {
  switch (given.store) {
    case "local":
      return localStore(environment);
    case "existing":
      return existingStore(given);
    case "aws":
      return awsStore(given, values);
  }
}

function localStore(environment: NodeJS.ProcessEnv): ReadyStore {
  const { BUCKET: bucket, IMAGES_URL: url } = environment;
  if (bucket === undefined || url === undefined) {
    throw new UserError(
      `config ${project}:store is "local", but the local platform is not running here; start it with npm start, and run pulumi as npm run pulumi -- <command>`,
    );
  }
  return { kind: "local", bucket, url, environment: {} };
}

type Given<S extends string> = Extract<z.output<typeof schema>, { store: S }>;

function existingStore({ bucket, region, endpoint, url }: Given<"existing">): ReadyStore {
  return {
    kind: "existing",
    bucket,
    url,
    environment: {
      ...storeEnvironment(bucket, region),
      IMAGES_URL: url,
      ...(endpoint === undefined ? {} : { AWS_ENDPOINT_URL_S3: endpoint }),
    },
  };
}

/** Where the release commands find the bucket. */
export function storeEnvironment(bucket: string, region: string): Record<string, string> {
  return { BUCKET: bucket, AWS_REGION: region };
}

function awsStore(given: Given<"aws">, values: Record<string, string>): AwsStore {
  const { bucket, repository, oidcProvider, approvals, mergeQueue, deployMinutes, state, stateKey } = given;
  const { region, account } = awsProvider(values);
  return {
    kind: "aws",
    account,
    region,
    bucket,
    cdn: readCdn(given, account),
    ci: {
      repository: readRepository(repository)!,
      oidcProvider,
      approvals,
      reviewers: readReviewers(given.reviewers),
      mergeQueue,
      deployMinutes,
      state: { bucket: state.slice("s3://".length), key: stateKey },
    },
    placeholders: findPlaceholders(given, account),
  };
}

/** The settings of Pulumi's own AWS provider, which this stack cannot do without. */
function awsProvider(values: Record<string, string>): { region: string; account: string } {
  const region = values["aws:region"] ?? "";
  if (!/^[a-z]{2}(-[a-z]+)+-\d$/.test(region)) {
    throw new UserError(
      `config aws:region must be a region like eu-central-1, but ${shown(region)}; ${howToSet("aws:region")}`,
    );
  }
  const accounts = parseStructure(values["aws:allowedAccountIds"] ?? "");
  const [account, ...others] = Array.isArray(accounts) ? (accounts as unknown[]) : [];
  // As a number it would lose its leading zeros, and Pulumi's provider takes only text.
  if (typeof account !== "string" || others.length > 0 || !/^\d{12}$/.test(account)) {
    throw new UserError(
      `config aws:allowedAccountIds must name exactly the one account of this stack (12 digits, quoted), but ${shown(values["aws:allowedAccountIds"])}; ${howToSet("aws:allowedAccountIds")}`,
    );
  }
  return { region, account };
}

function readCdn(given: Given<"aws">, account: string): CdnConfig {
  const { domain, zone, certificate, url, distribution, accessLogBucket } = given;
  if (url !== undefined || distribution !== undefined) {
    const own = Object.entries({ domain, zone, certificate, accessLogBucket }).find(
      ([, value]) => value !== undefined,
    );
    if (own !== undefined) {
      throw new UserError(
        `config ${project}:${own[0]} is for the CDN that this stack provisions, url and distribution for one of your own: they exclude each other; remove one side: pulumi config rm ${own[0]}, or pulumi config rm url && pulumi config rm distribution`,
      );
    }
    if (url === undefined || distribution === undefined) {
      const missing = url === undefined ? "url" : "distribution";
      throw new UserError(
        `config ${project}:${missing} is missing: a CDN of your own takes both url and distribution; ${howToSet(missing)}`,
      );
    }
    return { kind: "foreign", url, distribution };
  }
  if (domain === undefined && (zone ?? certificate) !== undefined) {
    const key = zone === undefined ? "certificate" : "zone";
    throw new UserError(
      `config ${project}:${key} is given without a domain; ${howToSet("domain")}, or remove it: pulumi config rm ${key}`,
    );
  }
  if (domain !== undefined && zone === undefined && certificate === undefined) {
    throw new UserError(
      `config ${project}:zone is missing: the certificate of ${domain} is validated, and its records are made, in its Route 53 hosted zone; ${howToSet("zone")}, or bring your own certificate: pulumi config set certificate <ARN>`,
    );
  }
  if (certificate !== undefined && certificate.split(":")[4] !== account) {
    throw new UserError(
      `config ${project}:certificate must be of the account ${account} (aws:allowedAccountIds), but it is ${quoted(certificate)}; ${howToSet("certificate")}`,
    );
  }
  return { kind: "own", domain, zone, certificate, accessLogBucket };
}

function readReviewers(list: string[]): Reviewers {
  const idsOf = (kind: string) =>
    list.filter((entry) => entry.startsWith(kind)).map((entry) => Number(entry.slice(kind.length)));
  return { users: idsOf("user/"), teams: idsOf("team/") };
}

/** Null: neither owner/name nor owner@ID/name@ID. */
function readRepository(subject: string): Repository | null {
  const pattern = /^(?<owner>[\w-]+)(@(?<ownerId>\d+))?\/(?<name>[\w.-]+)(@(?<id>\d+))?$/;
  const { owner, ownerId, name, id } = pattern.exec(subject)?.groups ?? {};
  if (owner === undefined || name === undefined || (ownerId === undefined) !== (id === undefined))
    return null;
  const ids = ownerId === undefined ? undefined : { owner: Number(ownerId), repository: Number(id) };
  return { owner, name, subject, ids };
}

/** Values that no team can have: they are reserved (RFC 2606), impossible, or those of the committed file. */
function findPlaceholders(given: Given<"aws">, account: string): Placeholder[] {
  const checks: [key: string, value: string | undefined, pattern: RegExp][] = [
    ["aws:allowedAccountIds", account, /^0{12}$/],
    ["bucket", given.bucket, /^example-/],
    ["domain", given.domain, /(^|\.)example\.(com|net|org)$/],
    ["zone", given.zone, /EXAMPLE/],
    ["url", given.url, /\bexample\.(com|net|org)\b/],
    ["repository", given.repository, /^example[@/]/],
    ["state", given.state, /^s3:\/\/example-/],
    ["reviewers", given.reviewers.find((entry) => entry.endsWith("/0")), /./],
  ];
  return checks.flatMap(([key, value, pattern]) =>
    value !== undefined && pattern.test(value) ? [{ key: qualified(key), value, fix: setCommand(key) }] : [],
  );
}

function parseStructure(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function qualified(key: string): string {
  return key.includes(":") ? key : `${project}:${key}`;
}

function shown(value: unknown): string {
  return value === undefined || value === "" ? "it is missing" : `it is ${quoted(value)}`;
}

/** Characters of a value that a message quotes: more than any that is right, but for a signer's key. */
const quotedLength = 120;

/** A value as JSON on one line, without what a terminal or a log would act on; of a long one the beginning. */
function quoted(value: unknown): string {
  const text = JSON.stringify(value).replaceAll(
    /[\p{C}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
  return text.length <= quotedLength ? text : `${text.slice(0, quotedLength)}… (${text.length} characters)`;
}

/** A schema's complaint as one line. */
function explain(issue: z.core.$ZodIssue, given: Record<string, unknown>): UserError {
  if (issue.path[0] === "channels") return explainChannels(issue, given["channels"]);
  if (issue.code === "unrecognized_keys") {
    const [key] = issue.keys as [string];
    const known = schema.options.flatMap((option) => Object.keys(option.shape));
    const isPlain = /^[\w.-]{1,60}$/.test(key);
    const why = known.includes(key)
      ? `config ${project}:${key} is not for the store ${quoted(given["store"])}`
      : `unknown config key ${isPlain ? `${project}:${key}` : quoted(`${project}:${key}`)} (known: ${[...new Set(known)].join(", ")})`;
    return new UserError(
      `${why}; remove it: ${isPlain ? `pulumi config rm ${key}` : "edit the stack's file"}`,
    );
  }
  const key = String(issue.path[0]);
  const value = given[key];
  const rule = value === undefined ? "is required" : issue.message;
  return new UserError(`config ${project}:${key} ${rule}, but ${shown(value)}; ${howToSet(key)}`);
}

/** The same about a channel: names and settings are the stack's, so that the line names them all. */
function explainChannels(issue: z.core.$ZodIssue, value: unknown): UserError {
  const names = issue.path.map(String);
  let found = value;
  for (const name of names.slice(1)) found = (found as Record<string, unknown> | undefined)?.[name];
  const [, channel = "", setting] = names;
  const isPlain = channelPattern.test(channel);
  const where = `config ${project}:${isPlain ? names.join(".") : `channels.${quoted(channel)}`}`;
  const edit = `edit the stack's file`;
  if (issue.code === "unrecognized_keys")
    return new UserError(
      `${where} holds ${quoted(issue.keys[0])}, which is none of follows, promote, latest; ${edit}`,
    );
  if (setting === undefined)
    return new UserError(
      channel === "" && names.length === 1
        ? `${where.replace(/\.""$/, "")} ${issue.message}, but ${shown(value)}; ${edit}`
        : `${where} ${issue.message}; ${edit}${isPlain ? `, or: pulumi config rm --path channels.${channel}` : ""}`,
    );
  const key = `channels.${channel}.${setting}`;
  const fix = { promote: "'after 24h'", latest: "<commit>", follows: "newest" }[setting] ?? "<value>";
  const remove = setting === "promote" ? "" : `, or remove it: pulumi config rm --path ${key}`;
  return new UserError(
    `${where} ${issue.message}, but ${shown(found)}; set it: pulumi config set --path ${key} ${fix}${remove}`,
  );
}

function howToSet(key: string): string {
  const unpin = key === "latest" ? ", or unpin: pulumi config rm latest" : "";
  return `set it: ${setCommand(key)}${unpin}`;
}

function setCommand(key: string): string {
  switch (key) {
    case "latest":
      return "pulumi config set latest <commit>";
    case "architectures":
      return "pulumi config set --path 'architectures[0]' x86_64";
    case "reviewers":
      return "pulumi config set --path 'reviewers[0]' <value>";
    case "aws:allowedAccountIds":
      return "pulumi config set --path --type string 'aws:allowedAccountIds[0]' <account>";
    default:
      return `pulumi config set ${key} <value>`;
  }
}
