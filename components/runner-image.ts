import { local } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { releaseCommand, type ReleaseEnvironment } from "./release-command.js";

export interface RunnerImageArgs {
  /** The commit that names it: what is built, and the only thing that rebuilds it. */
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
  /** What publishing is told of deltas; nothing: as by default. */
  deltas: ReleaseEnvironment;
  /**
   * True where `image/` went back to what was published and booted before: the commands stay as they ran for the image in between, so that
   * such a revert changes the pointer and nothing else.
   */
  isBack: boolean;
}

/**
 * The image of one architecture: built from a commit and published, then downloaded through the CDN and booted.
 *
 * A new commit replaces both commands; what the old ones published stays in the bucket.
 */
export class RunnerImage extends pulumi.ComponentResource {
  constructor(name: string, args: RunnerImageArgs, opts?: pulumi.ComponentResourceOptions) {
    super("runner-images:index:RunnerImage", name, {}, opts);
    const { commit, arch, base, profile, runner, accelerator, store, deltas, isBack } = args;
    const { dependsOn = [] } = opts ?? {};
    // Not the whole environment: a profile that differs from the published one's is still told.
    const ignoreChanges = isBack ? ["triggers", "environment.COMMIT"] : [];

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
          ...deltas,
          ...store,
        }),
        triggers: [commit],
      },
      // A component hands this on to nobody: the engine would not know what to skip when something before it fails.
      { parent: this, dependsOn, ignoreChanges },
    );

    new local.Command(
      `${name}-boot-test`,
      {
        ...releaseCommand("boot-test", { COMMIT: commit, ARCH: arch, ACCELERATOR: accelerator, ...store }),
        triggers: [commit],
      },
      { parent: this, dependsOn: publish, ignoreChanges },
    );

    this.registerOutputs();
  }
}
