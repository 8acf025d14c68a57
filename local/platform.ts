import path from "node:path";
import { exclusively } from "../release/process/lock.js";
import { platformEnvironment, type StoreUser } from "./environment.js";
import { checkout, platformPaths, type PlatformPaths } from "./paths.js";
import { cdn } from "./services/cdn.js";
import { ensureCredentials } from "./services/credentials.js";
import { assignPorts } from "./services/ports.js";
import { bucket, ensureBucket, s3Server } from "./services/s3-server.js";
import { startService, stopService } from "./services/service.js";
import { requireTool, versitygw } from "./tools/go-tools.js";

export interface PlatformOptions {
  /** Whose `.local` folder holds data, state, logs, ports and credentials. Default: this checkout. */
  root?: string;
  /** The checkout whose tools, plugins and cache are used. Default: `root`. */
  shared?: string;
  /** How long the CDN caches `latest`. */
  latestTtlSeconds?: number;
}

/** CloudFront has 5 (components/image-cdn.ts), and nginx adds up to a second. */
const defaultLatestTtlSeconds = 4;

/** The S3 server and the CDN of one folder, and how commands reach them. */
export interface Platform {
  paths: PlatformPaths;
  /** Starts what does not run. Ports, data and credentials are those of the last time. */
  start: () => Promise<void>;
  /** Ends both servers; data stays. @returns whether any ran */
  stop: () => Promise<boolean>;
  /** The environment for the engine and the release commands. */
  environment: (as?: StoreUser) => Promise<Record<string, string>>;
}

/** The tools must have been set up (setup.ts). */
export function platform(options: PlatformOptions = {}): Platform {
  const root = path.resolve(options.root ?? checkout);
  const paths = platformPaths(root, path.resolve(options.shared ?? root));
  const { latestTtlSeconds = defaultLatestTtlSeconds } = options;

  /** Two commands that start or stop the servers at once take turns. */
  const inTurn = <T>(work: () => Promise<T>) =>
    exclusively(path.join(paths.run, "services"), "a start or stop of the servers", work, 60);

  return {
    paths,
    start: () =>
      inTurn(async () => {
        const ports = await assignPorts(paths.run);
        const credentials = await ensureCredentials(paths.run);
        const command = await requireTool(versitygw, paths);
        await startService(
          await s3Server({ command, port: ports.s3, store: paths.store, credentials }),
          paths,
        );
        await ensureBucket(ports.s3, paths.store, credentials);
        await startService(
          await cdn({ port: ports.cdn, folder: paths.cdn, s3Port: ports.s3, bucket, latestTtlSeconds }),
          paths,
        );
      }),
    stop: () =>
      inTurn(async () => {
        const stopped = [await stopService("cdn", paths), await stopService("s3", paths)];
        return stopped.includes(true);
      }),
    environment: (as) => platformEnvironment(paths, as),
  };
}
