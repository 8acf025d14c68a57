import path from "node:path";
import { exclusively } from "../release/process/lock.js";
import type { PlatformPaths } from "./paths.js";

/** Seconds to wait for another set-up: a cold one takes some ten minutes. */
const patience = 60 * 60;

/** Does `work` while nothing else sets up tools or packages for this checkout. */
export function settingUp<T>({ tools }: PlatformPaths, work: () => Promise<T>): Promise<T> {
  return exclusively(path.join(tools, "setup"), "the set-up of this checkout", work, patience);
}
