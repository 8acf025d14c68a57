import { local } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { releaseCommand, type ReleaseEnvironment } from "./release-command.js";

export interface RunnerImageArgs {
  /** The last commit that touched `image/`: what is built, and the only thing that rebuilds it. */
  commit: string;
  /** "x86_64" or "aarch64". */
  arch: string;
  /** The base image: "ubuntu" or "debian". */
  base: string;
  /** What it contains: "full" or "small". */
  profile: string;
  /** The runner: "github" or "fixture". */
  runner: string;
  /** "auto", "kvm" or "tcg". */
  accelerator: string;
  /** Where it is published and served from. */
  store: ReleaseEnvironment;
}

/**
 * The image of one architecture: built from a commit and published, then downloaded through the CDN and booted.
 *
 * A new commit replaces both commands; what the old ones published stays in the bucket.
 */
export class RunnerImage extends pulumi.ComponentResource {
  constructor(name: string, args: RunnerImageArgs, opts?: pulumi.ComponentResourceOptions) {
    super("runner-images:index:RunnerImage", name, {}, opts);
    const { commit, arch, base, profile, runner, accelerator, store } = args;
    const { dependsOn = [] } = opts ?? {};

    const publish = new local.Command(
      `${name}-publish`,
      {
        ...releaseCommand("publish --build", {
          COMMIT: commit,
          ARCH: arch,
          BASE: base,
          PROFILE: profile,
          RUNNER: runner,
          ACCELERATOR: accelerator,
          ...store,
        }),
        triggers: [commit],
      },
      // A component hands this on to nobody: the engine would not know what to skip when something before it fails.
      { parent: this, dependsOn },
    );

    new local.Command(
      `${name}-boot-test`,
      {
        ...releaseCommand("boot-test", { COMMIT: commit, ARCH: arch, ACCELERATOR: accelerator, ...store }),
        triggers: [commit],
      },
      { parent: this, dependsOn: publish },
    );

    this.registerOutputs();
  }
}
