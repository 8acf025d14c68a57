import { existsSync } from "node:fs";
import { chmod, mkdir, readdir, rm, stat } from "node:fs/promises";
import { homedir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import semver from "semver";
import { UserError } from "../../release/process/errors.js";
import { printable, step } from "../../release/process/progress.js";
import type { PlatformPaths } from "../paths.js";
import { installed } from "./installed.js";

/** The Go that builds the tools where none is installed that is as new: what the go.mod files ask for (their `toolchain` line). */
export const goVersion = "1.26.8";
/** From this version on, Go fetches the toolchain a go.mod asks for by itself. */
const switchesToolchains = "1.21.0";

const architectures: Partial<Record<NodeJS.Architecture, string>> = { x64: "amd64", arm64: "arm64" };

/** A Go command with the environment to run it in. */
export interface Go {
  command: string;
  env: Record<string, string>;
}

/** "go version go1.19.8 linux/amd64" -> "1.19.8"; undefined for anything else. */
export function parseGoVersion(text: string): string | undefined {
  return semver.coerce(/\bgo(\d+\.\d+(\.\d+)?)/.exec(text)?.[1])?.version;
}

/** The folder with everything Go fetches or makes; it can be removed at any time. */
export function goFolder(paths: PlatformPaths): string {
  return path.join(paths.cache, "go");
}

/** Keeps everything Go writes (modules, build cache, settings, telemetry) in the project's own folder. */
export function goEnvironment(folder: string): Record<string, string> {
  const settings = process.env["XDG_CONFIG_HOME"] ?? path.join(homedir(), ".config");
  return {
    GOPATH: path.join(folder, "path"),
    GOCACHE: path.join(folder, "build"),
    GOMODCACHE: path.join(folder, "modules"),
    GOTMPDIR: path.join(folder, "tmp"),
    // Go counts its own use below the user's settings folder. A proxy that is set there still counts.
    XDG_CONFIG_HOME: path.join(folder, "config"),
    GOENV: process.env["GOENV"] ?? path.join(settings, "go", "env"),
    // Modules are write-protected otherwise, and cannot be removed.
    GOFLAGS: "-modcacherw",
    GO111MODULE: "on",
    GOWORK: "off",
    GOTOOLCHAIN: "auto",
    CGO_ENABLED: "0",
  };
}

/**
 * The installed Go to use: of those that work, the first that fetches newer toolchains by itself, else the first.
 * One that does not work is passed over: version managers leave a `go` on PATH that only says which version is missing.
 * @param commands default: every `go` on PATH
 */
export async function findGo(
  commands?: string[],
): Promise<{ command: string; version: string } | { obstacle: string }> {
  const working: { command: string; version: string }[] = [];
  let obstacle = "Go is missing";
  for (const command of commands ?? (await installed("go"))) {
    // Away from any go.mod, whose toolchain it would answer for.
    const result = await execa(command, ["version"], {
      cwd: "/",
      env: { GOTOOLCHAIN: "local" },
      reject: false,
      timeout: 10_000,
      stdin: "ignore",
    });
    const version = result.failed ? undefined : parseGoVersion(result.stdout);
    if (version !== undefined) working.push({ command, version });
    else {
      const why = result.failed
        ? String(result.shortMessage)
        : `"${command} version" says "${result.stdout}"`;
      obstacle = `the installed Go does not work (${printable(why)})`;
    }
  }
  return working.find(({ version }) => semver.gte(version, switchesToolchains)) ?? working[0] ?? { obstacle };
}

/** What apt can add so that there is a Go. */
export async function packagesForGo(): Promise<string[]> {
  return "obstacle" in (await findGo()) ? ["golang-go", "ca-certificates"] : [];
}

/**
 * A Go that can build the tools: the installed one, or, where that is old (Debian 12 has 1.19), the official toolchain, which is itself a Go module and checked by Go against the checksum database.
 */
export async function ensureGo(paths: PlatformPaths): Promise<Go> {
  const folder = goFolder(paths);
  for (const name of ["path", "build", "modules", "tmp", "config"]) {
    await mkdir(path.join(folder, name), { recursive: true });
  }
  const env = goEnvironment(folder);
  const found = await findGo();
  if ("obstacle" in found) {
    throw new UserError(`${found.obstacle}; install Go: sudo apt-get install golang-go`);
  }
  const { command, version } = found;
  return semver.gte(version, switchesToolchains) ? { command, env } : toolchainModule(command, env, folder);
}

/** The toolchain of `goVersion`, fetched by an old Go as the module which newer ones fetch by themselves. */
async function toolchainModule(oldGo: string, env: Record<string, string>, folder: string): Promise<Go> {
  const arch = architectures[process.arch];
  if (arch === undefined)
    throw new UserError(`there is no Go toolchain for this machine's architecture, ${process.arch}`);
  const module = `golang.org/toolchain@v0.0.1-go${goVersion}.linux-${arch}`;
  return step(`Go ${goVersion}: fetching its module with the installed, older Go`, async () => {
    const result = await execa(oldGo, ["mod", "download", "-json", module], {
      env,
      cwd: folder,
      reject: false,
      timeout: 10 * 60_000,
    });
    // A failure is in the JSON, and where Go gets no further than its arguments, on stderr.
    const { Dir, Error: said } = parseDownload(result.stdout);
    if (result.failed || Dir === undefined) {
      const why = said ?? (result.stderr || String(result.shortMessage));
      throw new UserError(
        `Go ${goVersion}, which builds the tools, could not be fetched with ${oldGo} (${printable(why)}); when the Go module proxy can be reached, repeat, or install Go ${switchesToolchains} or newer`,
      );
    }
    // Module archives carry no modes.
    await makeExecutable(path.join(Dir, "bin"));
    await makeExecutable(path.join(Dir, "pkg", "tool"));
    return { command: path.join(Dir, "bin", "go"), env: { ...env, GOROOT: Dir, GOTOOLCHAIN: "local" } };
  });
}

/** What `go mod download -json` says. */
function parseDownload(text: string): { Dir?: string; Error?: string } {
  try {
    return JSON.parse(text) as { Dir?: string; Error?: string };
  } catch {
    return {};
  }
}

async function makeExecutable(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { recursive: true })) {
    const file = path.join(folder, entry);
    if ((await stat(file)).isFile()) await chmod(file, 0o755);
  }
}

/** Removes Go's caches (up to 4 GB): the tools are built. */
export async function removeGoCaches(paths: PlatformPaths): Promise<void> {
  const folder = goFolder(paths);
  if (!existsSync(folder)) return;
  await step("Go: removing its caches", () => rm(folder, { recursive: true }));
}
