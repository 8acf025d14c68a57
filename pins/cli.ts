import { setMaxListeners } from "node:events";
import path from "node:path";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { cancellationExitCode, onCancel } from "../release/process/cancel.js";
import { describeError, UserError } from "../release/process/errors.js";
import { say, step } from "../release/process/progress.js";
import { cancellation } from "../release/process/run.js";
import { lanes, Problems, renew, type Lane } from "./renew.js";
import { table } from "./table.js";

/* `npm run pins`: everything that is pinned, brought up to date. */

const exitCodes = { failed: 1, usage: 2, bug: 70 } as const;

const program = new Command("pins")
  .description(
    "Look up what is newer than what is pinned, verify it, and rewrite the pins: all of it, or nothing.",
  )
  .allowExcessArguments(false)
  .addOption(
    new Option("--only <pins...>", "renew only these").choices(lanes).default([...lanes], "all of them"),
  )
  .addOption(
    new Option("--series <release>", 'move to another series of Ubuntu, e.g. "noble"').argParser(series),
  )
  .exitOverride()
  .addHelpText(
    "after",
    `
The table goes to stdout, progress and errors to stderr. GH_TOKEN, if set, lets GitHub answer more than 60 questions an hour. PINS_MIRROR is
a server that has what https://host/path serves as <PINS_MIRROR>/host/path; PINS_KEYS a folder of other keys than pins/keys.

Exit codes: 0 done, or nothing to do; ${exitCodes.failed} something could not be looked up or verified, one line each, and nothing was changed;
${exitCodes.usage} wrong command line; 130, 143 cancelled by SIGINT, SIGTERM; ${exitCodes.bug} a bug.`,
  )
  .action(async ({ only, series }: { only: Lane[]; series?: string }) => {
    if (series !== undefined && !only.includes("ubuntu"))
      throw new UserError("--series changes the pins of ubuntu: name it with --only, or leave that out");
    const root = process.cwd();
    const { env } = process;
    const now = new Date();
    const { findings, changed } = await step("looking up what is newest", () =>
      renew({
        ...{ root, only, series, now },
        keys: env.PINS_KEYS || path.join(import.meta.dirname, "keys"),
        token: env.GH_TOKEN || undefined,
        mirror: env.PINS_MIRROR || undefined,
      }),
    );
    process.stdout.write(`${table(findings, now)}\n`);
    say(changed.length === 0 ? "nothing to change" : `changed: ${changed.join(", ")}`);
  });

function series(text: string): string {
  if (!/^[a-z]+$/.test(text)) throw new InvalidArgumentError('It must be a series\' name like "noble".');
  return text;
}

onCancel();
// Many requests at a time listen to it; Node takes more than ten for a leak.
setMaxListeners(0, cancellation.signal);
try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : exitCodes.usage;
  } else if (cancellationExitCode() !== null) {
    say("cancelled");
  } else {
    const problems = error instanceof Problems ? error.problems : [error];
    for (const problem of problems) say(describeError(problem));
    process.exitCode = problems.every((problem) => problem instanceof UserError)
      ? exitCodes.failed
      : exitCodes.bug;
  }
}
// Not left to the event loop: a connection that is kept alive would hold up what comes next.
process.exit(cancellationExitCode() ?? process.exitCode);
