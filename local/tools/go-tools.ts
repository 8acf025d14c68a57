import { mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import path from "node:path";
import { UserError } from "../../release/process/errors.js";
import { step } from "../../release/process/progress.js";
import { run } from "../../release/process/run.js";
import type { PlatformPaths } from "../paths.js";
import { isExecutable } from "../which.js";
import { ensureGo } from "./go.js";

/** A program built from its published Go module, whose version and checksums are pinned by `local/tools/<name>/go.{mod,sum}`. */
export interface GoTool {
  /** The folder's and the program's name. */
  name: string;
  /** The module whose version is the program's. */
  module: string;
  package: string;
  tags: string[];
  ldflags: (version: string) => string;
}

/** Flags as in the vendor's own releases; the version is what `pulumi version` says and what plugins are checked against. */
export const pulumi: GoTool = {
  name: "pulumi",
  module: "github.com/pulumi/pulumi/pkg/v3",
  package: "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
  tags: ["osusergo", "grpcnotrace"],
  ldflags: (version) => `-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v${version}`,
};

export const versitygw: GoTool = {
  name: "versitygw",
  module: "github.com/versity/versitygw",
  package: "github.com/versity/versitygw/cmd/versitygw",
  tags: [],
  ldflags: (version) => `-s -w -X main.Version=v${version}`,
};

export const packer: GoTool = {
  name: "packer",
  module: "github.com/hashicorp/packer",
  package: "github.com/hashicorp/packer",
  tags: [],
  ldflags: () => "-s -w",
};

export const actionlint: GoTool = {
  name: "actionlint",
  module: "github.com/rhysd/actionlint",
  package: "github.com/rhysd/actionlint/cmd/actionlint",
  tags: [],
  ldflags: (version) => `-s -w -X github.com/rhysd/actionlint.version=${version}`,
};

/** Only for test/faults: what disturbs the network there. */
export const toxiproxy: GoTool = {
  name: "toxiproxy",
  module: "github.com/Shopify/toxiproxy/v2",
  package: "github.com/Shopify/toxiproxy/v2/cmd/server",
  tags: [],
  ldflags: (version) => `-s -w -X github.com/Shopify/toxiproxy/v2.Version=${version}`,
};

/** The version a go.mod pins a module to, without the "v". */
export function pinnedVersion(goMod: string, module: string): string {
  for (const line of goMod.split("\n")) {
    const [name, version] = line
      .trim()
      .replace(/^require /, "")
      .split(" ");
    if (name === module && version?.startsWith("v")) return version.slice(1);
  }
  throw new Error(`go.mod pins no ${module}`);
}

function source(tool: GoTool): string {
  return path.join(import.meta.dirname, tool.name);
}

export async function toolVersion(tool: GoTool): Promise<string> {
  return pinnedVersion(await readFile(path.join(source(tool), "go.mod"), "utf8"), tool.module);
}

/** Where the program is, once it is there: `.local/tools/<name>-<version>/bin/<name>`. */
export async function toolFile(tool: GoTool, paths: PlatformPaths): Promise<string> {
  return path.join(paths.tools, `${tool.name}-${await toolVersion(tool)}`, "bin", tool.name);
}

/** @throws UserError when it was not built */
export async function requireTool(tool: GoTool, paths: PlatformPaths): Promise<string> {
  const file = await toolFile(tool, paths);
  if (await isExecutable(file)) return file;
  throw new UserError(`${tool.name} is not set up in ${paths.tools}; set it up: npm run setup`);
}

/** Builds the program unless it is there. It appears complete or not at all. @returns its path */
export async function ensureTool(tool: GoTool, paths: PlatformPaths): Promise<string> {
  const file = await toolFile(tool, paths);
  if (await isExecutable(file)) return file;
  const version = await toolVersion(tool);
  const go = await ensureGo(paths);
  await mkdir(paths.tools, { recursive: true });
  const temporary = await mkdtemp(path.join(paths.tools, `.${tool.name}-`));
  try {
    await step(`${tool.name} ${version}: building it from its Go module`, async () => {
      const args = ["-trimpath", "-buildvcs=false", "-tags", tool.tags.join(",")];
      await run(
        go.command,
        [
          "build",
          ...args,
          "-ldflags",
          tool.ldflags(version),
          "-o",
          path.join(temporary, tool.name),
          tool.package,
        ],
        {
          cwd: source(tool),
          env: go.env,
          log: path.join(paths.logs, `${tool.name}-build.log`),
          timeout: 45 * 60_000,
        },
      );
    });
    await mkdir(path.dirname(file), { recursive: true });
    await rename(path.join(temporary, tool.name), file);
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
  return file;
}
