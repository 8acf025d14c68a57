import { local } from "@pulumi/command";
import * as pulumi from "@pulumi/pulumi";
import { releaseCommand, type ReleaseEnvironment } from "./release-command.js";

export interface LatestPointerArgs {
  /** The commit that `latest` names. */
  commit: string;
  /**
   * The number of the move that makes it so: the stored one where the store already agrees, one more where it does not.
   * So a pointer changed by hand shows as one update, and an agreeing one shows nothing.
   */
  seq: number;
  /** Whose pointer it is, "<project>/<stack>". */
  stack: string;
  /** The channel whose pointer it is; undefined: everybody's. */
  channel?: string | undefined;
  /** All that must be complete before the pointer moves. */
  architectures: readonly string[];
  /** Where the pointer is stored and served from. */
  store: ReleaseEnvironment;
}

/**
 * `latest`: the commit which hosts run, or those of one channel.
 *
 * One command without triggers, so that a move is one row in a preview: ` ~ latest update [diff: ~environment]`.
 */
export class LatestPointer extends pulumi.ComponentResource {
  constructor(name: string, args: LatestPointerArgs, opts?: pulumi.ComponentResourceOptions) {
    super("runner-images:index:LatestPointer", name, {}, opts);
    const { commit, seq, stack, channel, architectures, store } = args;
    const { dependsOn = [] } = opts ?? {};

    new local.Command(
      name,
      releaseCommand("promote", {
        COMMIT: commit,
        SEQ: String(seq),
        STACK: stack,
        ...(channel !== undefined && { IMAGES_CHANNEL: channel }),
        ARCHITECTURES: architectures.join(" "),
        ...store,
      }),
      // A component hands this on to nobody: the engine would not know what to skip when something before it fails.
      { parent: this, dependsOn },
    );

    this.registerOutputs();
  }
}
