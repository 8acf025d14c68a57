import { mkdir } from "node:fs/promises";
import { userInfo } from "node:os";
import path from "node:path";
import { UserError } from "../../release/process/errors.js";
import { writeFileAtomically } from "../../release/process/files.js";
import { searchPath, which } from "../which.js";
import { nginxConfig } from "./nginx-config.js";
import { s3Url } from "./s3-server.js";
import { answers, type Service } from "./service.js";

export interface CdnOptions {
  port: number;
  /** nginx's folder: configuration, cache. */
  folder: string;
  s3Port: number;
  bucket: string;
  latestTtlSeconds: number;
}

/** nginx from the system's packages, with a configuration and a folder of its own, as an ordinary user. */
export async function cdn({ port, folder, s3Port, bucket, latestTtlSeconds }: CdnOptions): Promise<Service> {
  const command = await which("nginx");
  if (command === undefined) throw new UserError("nginx is missing; set up this machine: npm start");
  for (const name of ["run", "logs", "cache"]) await mkdir(path.join(folder, name), { recursive: true });
  const configuration = nginxConfig({
    port,
    originUrl: s3Url(s3Port),
    bucket,
    latestTtlSeconds,
    user: process.getuid?.() === 0 ? userInfo().username : undefined,
  });
  const file = path.join(folder, "nginx.conf");
  await writeFileAtomically(file, configuration);
  return {
    name: "cdn",
    title: "CDN",
    command,
    // -e: until it has read its configuration nginx would log to the system's folder.
    args: ["-p", `${folder}/`, "-c", file, "-e", "logs/error.log"],
    env: { PATH: searchPath() },
    cwd: folder,
    port,
    configuration,
    // A path it does not know is answered without asking the origin.
    isHealthy: () => answers(`http://127.0.0.1:${port}/health`, 404),
    stopSignal: "SIGQUIT",
  };
}
