import path from "node:path";

/** The folder of this checkout. */
export const checkout = path.dirname(import.meta.dirname);

/** Where everything of one local platform lives: all of it below `<root>/.local`, which git ignores. */
export interface PlatformPaths {
  root: string;
  base: string;
  /** Built or downloaded programs, one folder per name and version. */
  tools: string;
  /** The project's own PULUMI_HOME: plugins. */
  pulumiHome: string;
  /** Base images (RUNNER_IMAGES_CACHE), and Go's caches while something is built. */
  cache: string;
  /** Packer's plugins: where image/build.sh looks for them too. */
  packerPlugins: string;
  /** Pulumi's state (file backend). */
  state: string;
  /** The S3 server's objects, versions and users. */
  store: string;
  /** The CDN's configuration and cache. */
  cdn: string;
  /** Ports, credentials, process records and locks. */
  run: string;
  logs: string;
  /** Images being built by the program. */
  builds: string;
}

/**
 * @param root whose `.local` folder holds data, state, logs, ports and credentials
 * @param shared the checkout whose tools, plugins and cache are used: a test's platform borrows those
 */
export function platformPaths(root: string = checkout, shared: string = root): PlatformPaths {
  const base = path.join(root, ".local");
  const sharedBase = path.join(shared, ".local");
  return {
    root,
    base,
    tools: path.join(sharedBase, "tools"),
    pulumiHome: path.join(sharedBase, "pulumi-home"),
    cache: path.join(sharedBase, "cache"),
    packerPlugins: path.join(sharedBase, "cache", "packer-plugins"),
    state: path.join(base, "state"),
    store: path.join(base, "store"),
    cdn: path.join(base, "cdn"),
    run: path.join(base, "run"),
    logs: path.join(base, "logs"),
    builds: path.join(root, "build"),
  };
}
