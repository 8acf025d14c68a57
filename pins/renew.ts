import { UserError } from "../release/process/errors.js";
import type { Finding } from "./finding.js";
import { readPinned, type Pinned } from "./pinned.js";
import { findAction } from "./publishers/actions.js";
import { findAwsCli } from "./publishers/aws-cli.js";
import { findPackerPlugin } from "./publishers/packer-plugin.js";
import { findRunner } from "./publishers/runner.js";
import { findRust } from "./publishers/rust.js";
import { findBase, findSnapshot } from "./publishers/ubuntu.js";
import { rewrite } from "./rewrite.js";
import { Signatures } from "./signatures.js";
import { Publisher, type WebOptions } from "./web.js";

/** What can be renewed by itself. `ubuntu`: base image and snapshot, which must not be older than the image. */
export const lanes = ["ubuntu", "runner", "aws-cli", "rust", "packer-plugin", "actions"] as const;
export type Lane = (typeof lanes)[number];

export interface Renewal extends WebOptions {
  /** The checkout whose pins are renewed. */
  root: string;
  only: readonly Lane[];
  /** Another series of Ubuntu than the pinned one. */
  series?: string | undefined;
  /** The folder of the publishers' keys. */
  keys: string;
  now: Date;
}

/** Everything that is wrong, so that it is mended in one go. */
export class Problems extends Error {
  constructor(readonly problems: UserError[]) {
    super(problems.map(({ message }) => message).join("\n"));
  }
}

/**
 * Looks up what is newest, verifies it, and rewrites the pins: all of what was asked for, or nothing.
 * @returns what was found, and the files that were changed
 * @throws Problems, with nothing changed
 */
export async function renew(renewal: Renewal): Promise<{ findings: Finding[]; changed: string[] }> {
  const pinned = await readPinned(renewal.root);
  const findings = await settled(lookups(pinned, renewal));
  const wrongClock = findings.flatMap((finding) => clockProblems(finding, renewal.now));
  if (wrongClock.length > 0) throw new Problems(wrongClock);
  return {
    findings,
    changed: await rewrite(
      renewal.root,
      findings.flatMap(({ edits }) => edits),
    ),
  };
}

function lookups(pinned: Pinned, renewal: Renewal): Promise<Finding[]>[] {
  const signatures = new Signatures(renewal.keys);
  const series = { series: renewal.series ?? pinned.inputs.ubuntu.series, signatures, now: renewal.now };
  const of = (what: string) => new Publisher(what, renewal);
  /** The snapshot must not be older than the base image, so that comes first. */
  const ubuntu = async () => {
    const base = await findBase(of("base image"), pinned, series);
    return [base, await findSnapshot(of("snapshot"), pinned, base.newest, series)];
  };
  const each: Record<Lane, () => Promise<Finding | Finding[]>[]> = {
    ubuntu: () => [ubuntu()],
    runner: () => [findRunner(of("runner"), pinned)],
    "aws-cli": () => [findAwsCli(of("AWS CLI"), pinned, signatures)],
    rust: () => [findRust(of("Rust"), pinned, signatures)],
    "packer-plugin": () => [findPackerPlugin(of("Packer's QEMU plugin"), pinned)],
    actions: () => pinned.actions.map((pin) => findAction(of(pin.action), pin)),
  };
  return lanes
    .filter((lane) => renewal.only.includes(lane))
    .flatMap((lane) => each[lane]().map(async (finding) => [await finding].flat()));
}

/** @throws Problems with all that failed; anything but a UserError as it is, since it is a bug */
async function settled(lookups: Promise<Finding[]>[]): Promise<Finding[]> {
  const results = await Promise.allSettled(lookups);
  const problems = results.flatMap((result) => {
    if (result.status === "fulfilled") return [];
    if (!(result.reason instanceof UserError)) throw result.reason;
    return [result.reason];
  });
  if (problems.length > 0) throw new Problems(problems);
  return results.flatMap((result) => (result.status === "fulfilled" ? result.value : []));
}

/** A day that has not come yet: then it is the clock which is wrong, and with it every age and the day of a snapshot. */
export function clockProblems({ what, pinned, newest }: Omit<Finding, "edits">, now: Date): UserError[] {
  const today = now.toISOString().slice(0, 10);
  const [future] = [pinned, newest].filter(({ day }) => day !== null && day > today);
  if (future === undefined) return [];
  return [
    new UserError(
      `${what}: this machine's clock: expected ${future.day} or later, when ${future.name} came out, not ${today}; set the clock`,
    ),
  ];
}
