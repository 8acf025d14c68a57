import { say } from "./progress.js";
import { isOnPath } from "./tools.js";

let isSaid = false;

/**
 * A command that gets a signal when this process is gone, however that ended: by `setpriv --pdeathsig`, which only Linux has. Elsewhere
 * (macOS) it is the command alone, and what is missing is said once: it should not keep a rollback from a laptop.
 * @returns a program and its arguments
 */
export async function endingWithUs(
  signal: "TERM" | "KILL",
  command: string,
  args: string[],
): Promise<[program: string, args: string[]]> {
  if (await isOnPath("setpriv")) return ["setpriv", ["--pdeathsig", signal, command, ...args]];
  if (!isSaid)
    say("no setpriv here (only Linux has it): were this process killed, its tools would go on to their end");
  isSaid = true;
  return [command, args];
}
