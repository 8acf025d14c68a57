import { local } from "@pulumi/command";
import type * as pulumi from "@pulumi/pulumi";

/** The architectures, sources and stores a release command works on; read by release/cli.ts. */
export type ReleaseEnvironment = Record<string, pulumi.Input<string>>;

/** Sets `tie`: what a command that ends with its shell begins with; nothing where there is no such thing, which is said. */
const endingWithShell =
  "tie='setpriv --pdeathsig TERM'; command -v setpriv > /dev/null || { tie=; echo 'no setpriv here (only Linux has it): were Pulumi killed, this command would go on to its end' >&2; }";

/**
 * The arguments of a command resource which runs one verb of the release command line.
 *
 * The text is constant and all values go through the environment: interpolation would be shell injection, and a diff.
 * There is no `delete`: replacing or removing the resource must keep what it published, the rollback target.
 *
 * Cancelling: Pulumi's plugin kills only its direct child, the shell. `setpriv` turns the shell's death into a SIGTERM for the
 * release command, which ends its tools and cleans up; `|| exit` keeps the shell from replacing itself by the command. Only Linux has
 * `setpriv`: on a Mac, a rollback from a laptop goes on without.
 */
export function releaseCommand(verb: string, environment: ReleaseEnvironment): local.CommandArgs {
  return {
    create: `${endingWithShell}; $tie node release/main.mjs ${verb} || exit $?`,
    environment,
    // Progress goes to stderr, for people; the result is one JSON line on stdout, for the state.
    logging: local.Logging.Stderr,
    // Otherwise everything a command printed is handed to its next run, which fails from 128 KiB.
    addPreviousOutputInEnv: false,
  };
}
