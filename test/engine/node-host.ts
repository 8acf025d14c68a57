import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import grpc from "@grpc/grpc-js";
import languageService from "@pulumi/pulumi/proto/language_grpc_pb.js";
import languagepb from "@pulumi/pulumi/proto/language_pb.js";
import type { RunRequest } from "@pulumi/pulumi/proto/language_pb.js";
import pluginpb from "@pulumi/pulumi/proto/plugin_pb.js";
import { parse } from "yaml";
import { unary } from "../../local/command-provider/protocol.js";

/** A language host that is being served. */
export interface NodeHost {
  /** What the CLI needs to use it: `pulumi up <flags>`, in a project with `runtime: nodejs`. */
  flags: string[];
  /** All that the programs printed. */
  printed: () => string;
  close: () => void;
}

/** cmd/run ends with this after it has told the engine what is wrong itself. */
const exitAfterMessage = 32;

/**
 * Runs TypeScript programs for the real CLI the way the official Node host does (pulumi/pulumi,
 * sdk/nodejs/cmd/pulumi-language-nodejs/main.go: `execRuntime`, `constructArguments`, `constructConfig`): in a process of
 * its own, by the SDK's cmd/run, which has the loading of modules, ESM and TypeScript, in it.
 *
 * The official host comes with the vendor's release only, and its Go module is not to be had from the module proxy; this is
 * as near to it as one gets. It differs in that the program talks to the engine's monitor itself (the official host puts
 * a proxy between, for synchronous invokes in old SDKs), and in that no plugin is asked for before the program runs.
 * @param env more environment for the programs
 */
export async function startNodeHost(env: Record<string, string> = {}): Promise<NodeHost> {
  let printed = "";

  async function run(request: RunRequest): Promise<InstanceType<typeof languagepb.RunResponse>> {
    const folder = request.getInfo()?.getProgramDirectory() || request.getPwd();
    const command = createRequire(path.join(folder, "package.json")).resolve("@pulumi/pulumi/cmd/run");
    const { nodeargs, typescript } = await runtimeOptions(request.getInfo()?.getRootDirectory() || folder);
    const child = spawn(process.execPath, [...nodeargs, command, ...runArguments(request, folder)], {
      cwd: folder,
      env: {
        ...process.env,
        PULUMI_CONFIG: configJson(request),
        PULUMI_CONFIG_SECRET_KEYS: JSON.stringify(request.getConfigsecretkeysList()),
        PULUMI_NODEJS_TYPESCRIPT: String(typescript),
        ...env,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => (printed += text));
    const [code] = (await once(child, "close")) as [number | null];
    const response = new languagepb.RunResponse();
    response.setBail(code === exitAfterMessage);
    if (code !== 0 && code !== exitAfterMessage)
      response.setError(`Program exited with non-zero exit code: ${code}`);
    return response;
  }

  const server = new grpc.Server();
  server.addService(languageService.LanguageRuntimeService, {
    getPluginInfo: unary(() => {
      const info = new pluginpb.PluginInfo();
      info.setVersion("1.0.0");
      return info;
    }),
    getRequiredPlugins: unary(() => new languagepb.GetRequiredPluginsResponse()),
    run: unary(run),
  });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return {
    flags: [`--client=127.0.0.1:${port}`],
    printed: () => printed,
    close: () => server.forceShutdown(),
  };
}

/** Read here, as the CLI does not hand them to a host that it is pointed at: https://www.pulumi.com/docs/iac/concepts/projects/project-file/#runtime-options */
async function runtimeOptions(folder: string): Promise<{ nodeargs: string[]; typescript: boolean }> {
  const project = parse(await readFile(path.join(folder, "Pulumi.yaml"), "utf8")) as {
    runtime: string | { options?: { nodeargs?: string; typescript?: boolean } };
  };
  const options = typeof project.runtime === "string" ? {} : project.runtime.options;
  const { nodeargs = "", typescript = true } = options ?? {};
  return { nodeargs: nodeargs.split(" ").filter((arg) => arg !== ""), typescript };
}

function runArguments(request: RunRequest, folder: string): string[] {
  // A host that the CLI starts gets the engine's address as its argument; one that it is pointed at, with each request.
  const [engine = ""] = request.getArgsList();
  const flags = {
    monitor: request.getMonitorAddress(),
    engine,
    organization: request.getOrganization(),
    project: request.getProject(),
    "root-directory": request.getInfo()?.getRootDirectory() ?? "",
    stack: request.getStack(),
    pwd: folder,
    parallel: String(request.getParallel()),
  };
  return [
    ...Object.entries(flags).flatMap(([name, value]) => (value === "" ? [] : [`--${name}`, value])),
    ...(request.getDryrun() ? ["--dry-run"] : []),
    request.getInfo()?.getEntryPoint() || ".",
  ];
}

/** The configuration, with keys in the old form "project:config:name", which cmd/run still reads. */
function configJson(request: RunRequest): string {
  const config: Record<string, string> = {};
  request.getConfigMap().forEach((value, key) => {
    const colon = key.indexOf(":");
    config[`${key.slice(0, colon)}:config${key.slice(colon)}`] = value;
  });
  return JSON.stringify(config);
}
