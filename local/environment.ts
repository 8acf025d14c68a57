import path from "node:path";
import { pathToFileURL } from "node:url";
import { mkdir } from "node:fs/promises";
import type { PlatformPaths } from "./paths.js";
import { ensureCredentials, ensureSigningKey } from "./services/credentials.js";
import { assignPorts } from "./services/ports.js";
import { awsSdkSettings, bucket, region, s3Url } from "./services/s3-server.js";
import { findEngine } from "./tools/engine.js";
import { findPacker } from "./tools/packer.js";
import { searchPath } from "./which.js";

/** The local stack. */
export const stackName = "local";

/**
 * No secret: the local stack holds none. It is fixed, as the salt in Pulumi.local.yaml was made with it, and a salt that does not
 * fit would make Pulumi rewrite that file.
 */
const passphrase = "runner-images-local";

/** Who the commands are to the store: the one who adds images, or the one who removes them. */
export type StoreUser = "publisher" | "pruner";

/**
 * The environment in which the engine and the release commands work on this platform and on nothing else: its store, its CDN,
 * its state, its plugins; in front of PATH the tools it has of its own.
 */
export async function platformEnvironment(
  paths: PlatformPaths,
  as: StoreUser = "publisher",
): Promise<Record<string, string>> {
  const ports = await assignPorts(paths.run);
  const { [as]: user } = await ensureCredentials(paths.run);
  const { file, signer } = await ensureSigningKey(paths.store);
  await mkdir(paths.state, { recursive: true });
  const tools = [await findEngine(paths), await findPacker(paths)]
    .filter((tool) => tool?.startsWith(`${paths.tools}/`))
    .map((tool) => path.dirname(tool!));
  return {
    BUCKET: bucket,
    IMAGES_URL: `http://127.0.0.1:${ports.cdn}`,
    AWS_ENDPOINT_URL_S3: s3Url(ports.s3),
    AWS_REGION: region,
    AWS_ACCESS_KEY_ID: user.accessKeyId,
    AWS_SECRET_ACCESS_KEY: user.secretAccessKey,
    // Nothing of the user's AWS set-up may mix with these.
    AWS_PROFILE: "",
    AWS_SESSION_TOKEN: "",
    AWS_CONFIG_FILE: "/dev/null",
    AWS_SHARED_CREDENTIALS_FILE: "/dev/null",
    ...awsSdkSettings,
    IMAGES_SIGNER: signer,
    ATTESTATION_KEY_FILE: file,
    // Not of the user's: they would change whom this platform believes.
    IMAGES_SIGNER_ISSUER: "",
    IMAGES_UNSIGNED_UNTIL: "",
    RUNNER_IMAGES_CACHE: paths.cache,
    PULUMI_HOME: paths.pulumiHome,
    PULUMI_BACKEND_URL: pathToFileURL(paths.state).href,
    PULUMI_STACK: stackName,
    PULUMI_CONFIG_PASSPHRASE: passphrase,
    PULUMI_SKIP_UPDATE_CHECK: "true",
    PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
    // Packer keeps its plugins and its bookkeeping in the user's home otherwise.
    PACKER_CONFIG_DIR: path.join(paths.cache, "packer"),
    PACKER_PLUGIN_PATH: paths.packerPlugins,
    CHECKPOINT_DISABLE: "1",
    PATH: searchPath([...tools, process.env["PATH"] ?? ""].join(":")),
  };
}
