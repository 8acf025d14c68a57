import { mkdir, readFile } from "node:fs/promises";
import path from "node:path";
import {
  CreateBucketCommand,
  PutBucketPolicyCommand,
  S3Client,
  type S3ServiceException,
} from "@aws-sdk/client-s3";
import { writeFileAtomically } from "../../release/process/files.js";
import { bucketPolicy } from "./bucket-policy.js";
import type { AccessKey, Credentials } from "./credentials.js";
import { answers, type Service } from "./service.js";

export const bucket = "runner-images";
export const region = "us-east-1";

/** Node 20 is what we promise to run on, and the SDK is pinned: its warning at every start helps nobody. */
export const awsSdkSettings = { AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED: "true" };

export interface S3ServerOptions {
  /** The versitygw program. */
  command: string;
  port: number;
  /** The folder for objects, versions and users. */
  store: string;
  credentials: Credentials;
}

export function s3Url(port: number): string {
  return `http://127.0.0.1:${port}`;
}

/** versitygw on a folder, as an S3 server. Its options are those with which it kept every promise that the project relies on. */
export async function s3Server({ command, port, store, credentials }: S3ServerOptions): Promise<Service> {
  const folders = {
    iam: path.join(store, "iam"),
    versions: path.join(store, "versions"),
    data: path.join(store, "data"),
  };
  for (const folder of Object.values(folders)) await mkdir(folder, { recursive: true });
  const users = usersText([credentials.publisher, credentials.pruner]);
  await writeFileAtomically(path.join(folders.iam, "users.json"), users, { mode: 0o600 });
  return {
    name: "s3",
    title: "S3 server",
    command,
    args: [
      ...["--port", `127.0.0.1:${port}`, "--region", region, "--health", "/_health", "--quiet"],
      ...["--iam-dir", folders.iam, "posix", "--versioning-dir", folders.versions, folders.data],
    ],
    env: {
      ROOT_ACCESS_KEY: credentials.root.accessKeyId,
      ROOT_SECRET_KEY: credentials.root.secretAccessKey,
    },
    cwd: store,
    port,
    configuration: users,
    isHealthy: () => answers(`${s3Url(port)}/_health`, 200),
    stopSignal: "SIGTERM",
  };
}

/** The server's own file of users; its `admin create-user` would show the secrets in the list of processes. */
function usersText(keys: AccessKey[]): string {
  const accounts = keys.map(({ accessKeyId: access, secretAccessKey: secret }) => [
    access,
    { access, secret, role: "user", userID: 0, groupID: 0, projectID: 0 },
  ]);
  return JSON.stringify({ accessAccounts: Object.fromEntries(accounts) as unknown });
}

/** Creates the bucket and sets its policy, unless this store has both already. */
export async function ensureBucket(port: number, store: string, credentials: Credentials): Promise<void> {
  const policy = JSON.stringify(
    bucketPolicy(bucket, credentials.publisher.accessKeyId, credentials.pruner.accessKeyId),
  );
  const done = path.join(store, "bucket-policy.json");
  if ((await readFile(done, "utf8").catch(() => "")) === policy) return;
  Object.assign(process.env, awsSdkSettings);
  const client = new S3Client({
    endpoint: s3Url(port),
    region,
    credentials: credentials.root,
    forcePathStyle: true,
  });
  try {
    try {
      await client.send(new CreateBucketCommand({ Bucket: bucket }));
    } catch (error) {
      if ((error as S3ServiceException).name !== "BucketAlreadyOwnedByYou") throw error;
    }
    await client.send(new PutBucketPolicyCommand({ Bucket: bucket, Policy: policy }));
  } finally {
    client.destroy();
  }
  await writeFileAtomically(done, policy);
}
