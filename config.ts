import * as pulumi from "@pulumi/pulumi";
import { z } from "zod";
import { UserError } from "./release/errors.js";
import { architectures } from "./release/keys.js";

/** The namespace of our keys in a stack file: the project's name. */
const project = "runner-images";

/** A setting that is left empty counts as not given: Pulumi.yaml needs a default for every optional key. */
const optional = z.string().transform((text) => (text === "" ? undefined : text));
const httpUrl = z.url({ protocol: /^https?$/, error: "must be a URL like https://images.example.com" });

const schema = z.strictObject({
  latest: z
    .string()
    .regex(/^(|[0-9a-f]{40})$/, "must be 40 lowercase hex characters: the full hash of a published commit")
    .transform((text) => (text === "" ? undefined : text)),
  architectures: z
    .array(z.enum(architectures, { error: `may hold only ${architectures.join(", ")}` }))
    .min(1, "must name at least one architecture")
    .refine((list) => new Set(list).size === list.length, "names an architecture twice"),
  base: oneOf("ubuntu", "debian"),
  runner: oneOf("github", "fixture"),
  accelerator: oneOf("auto", "kvm", "tcg"),
  store: oneOf("existing", "local"),
  bucket: optional,
  region: optional,
  endpoint: optional.pipe(httpUrl.optional()),
  url: optional.pipe(httpUrl.optional()),
});

function oneOf<const T extends [string, ...string[]]>(...allowed: T) {
  return z.enum(allowed, { error: `must be one of ${allowed.join(", ")}` });
}

/** Where images are stored and served, as the environment of the release commands (release/cli.ts). */
export interface StoreSettings {
  bucket: string;
  /** Public base URL of the CDN, without a trailing slash. */
  url: string;
  /**
   * What a command resource must be given. Empty for the local store: its ports differ from machine to machine and would
   * show as a change on each, so the commands inherit them from the engine's environment instead.
   */
  environment: Record<string, string>;
}

export interface Config extends Pick<
  z.output<typeof schema>,
  "architectures" | "base" | "runner" | "accelerator"
> {
  /** The pinned commit; undefined: follow the newest build. */
  latest: string | undefined;
  store: StoreSettings;
}

/** Reads the stack's configuration, once. @throws UserError naming the key, the allowed form and the command that fixes it */
export function readConfig(): Config {
  return parseConfig(pulumi.runtime.allConfig(), process.env);
}

/**
 * @param values every key of the stack ("runner-images:latest"), each as Pulumi's text (lists are JSON)
 * @param environment the process's environment, which says where the local store is
 */
export function parseConfig(values: Record<string, string>, environment: NodeJS.ProcessEnv): Config {
  const ours: Record<string, unknown> = {};
  for (const [name, text] of Object.entries(values)) {
    const [namespace, key] = name.split(":", 2) as [string, string];
    if (namespace !== project) continue;
    if (!(key in schema.shape)) {
      const known = Object.keys(schema.shape).join(", ");
      throw new UserError(`unknown config key ${name} (known: ${known}); remove it: pulumi config rm ${key}`);
    }
    ours[key] = key === "architectures" ? parseList(text) : text;
  }
  const parsed = schema.safeParse(ours);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const key = String(issue.path[0]);
    const given = ours[key] === undefined ? "it is missing" : `it is ${JSON.stringify(ours[key])}`;
    throw new UserError(`config ${project}:${key} ${issue.message}, but ${given}; ${howToSet(key)}`);
  }
  const { store, bucket, region, endpoint, url, ...rest } = parsed.data;
  return {
    ...rest,
    store: store === "local" ? localStore(environment) : existingStore({ bucket, region, endpoint, url }),
  };
}

function localStore(environment: NodeJS.ProcessEnv): StoreSettings {
  const { BUCKET: bucket, IMAGES_URL: url } = environment;
  if (bucket === undefined || url === undefined) {
    throw new UserError(
      `config ${project}:store is "local", but the local platform is not running here; start it with npm start, and run pulumi as npm run pulumi -- <command>`,
    );
  }
  return { bucket, url, environment: {} };
}

function existingStore(
  given: Record<"bucket" | "region" | "endpoint" | "url", string | undefined>,
): StoreSettings {
  const { bucket, region, endpoint, url } = given;
  const missing = Object.entries({ bucket, region, url }).find(([, value]) => value === undefined);
  if (bucket === undefined || region === undefined || url === undefined) {
    const key = missing![0];
    throw new UserError(`config ${project}:${key} is required by the store "existing"; ${howToSet(key)}`);
  }
  const base = url.replace(/\/+$/, "");
  return {
    bucket,
    url: base,
    environment: {
      BUCKET: bucket,
      AWS_REGION: region,
      IMAGES_URL: base,
      ...(endpoint === undefined ? {} : { AWS_ENDPOINT_URL_S3: endpoint }),
    },
  };
}

function parseList(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function howToSet(key: string): string {
  switch (key) {
    case "latest":
      return "set it: pulumi config set latest <commit>, or unpin: pulumi config rm latest";
    case "architectures":
      return "set it: pulumi config set --path 'architectures[0]' x86_64";
    default:
      return `set it: pulumi config set ${key} <value>`;
  }
}
