import { z } from "zod";
import { cell } from "./github.js";

const metadata = z.object({ urn: z.string(), type: z.string(), op: z.string() });
/** What is needed of a line in Pulumi's event log (@pulumi/pulumi/automation/events). */
const engineEvent = z.object({
  resOutputsEvent: z.object({ metadata, planning: z.boolean().optional() }).optional(),
  resOpFailedEvent: z.object({ metadata }).optional(),
});

/** What an update did to a resource. */
export interface Change {
  name: string;
  type: string;
  /** "create", "update", "delete", "replace", ... as Pulumi says it. */
  op: string;
  failed: boolean;
}

/** What an update changed, from its event log; the unchanged, and what the engine keeps for itself, left out. */
export function readChanges(eventLog: string): Change[] {
  const changes = eventLog.split("\n").flatMap((line): Change[] => {
    const event = engineEvent.safeParse(parseJson(line)).data;
    const done = event?.resOutputsEvent?.planning === true ? undefined : event?.resOutputsEvent?.metadata;
    const failed = event?.resOpFailedEvent?.metadata;
    const subject = failed ?? done;
    if (subject === undefined || isBookkeeping(subject)) return [];
    const { urn, type, op } = subject;
    return [{ name: urn.slice(urn.lastIndexOf("::") + 2), type, op, failed: failed !== undefined }];
  });
  return changes.filter(({ op, failed }) => failed || !["same", "read", "refresh"].includes(op));
}

function isBookkeeping({ type, op }: z.output<typeof metadata>): boolean {
  // A replacement is told in three steps: the new one, "replace", and the removal of the old one.
  return type === "pulumi:pulumi:Stack" || type.startsWith("pulumi:providers:") || op === "replace";
}

/** What the CDN served as a `latest` before and after: a commit, or a few words where it was none. */
export interface Served {
  /** "latest", or a channel's: "canary/latest". */
  name: string;
  before: string;
  after: string;
}

export interface Update {
  outcome: "done" | "failed" | "cancelled";
  moves: Served[];
  /** Until when the live images can be used, one line each. */
  images: string[];
  changes: Change[];
  /** Why it failed, where one line says it. */
  reason?: string | undefined;
  /** What was not part of it, and why. */
  leftOut?: string | null;
}

/** What a deploy did, for the page of its run. */
export function updateSummary({ outcome, moves, images, changes, reason, leftOut }: Update): string {
  const moved = moves.map(({ name, before, after }) =>
    before === after ? `\`${name}\` stays: ${before}` : `\`${name}\` moved: ${before} → ${after}`,
  );
  const rows = changes.map(
    ({ name, type, op, failed }) =>
      `| ${cell(name)} | ${cell(type)} | ${op}${failed ? ": **failed**" : ""} |`,
  );
  return [
    `## Deploy ${outcome}`,
    ...(reason === undefined ? [] : [reason]),
    ...(leftOut ? [leftOut] : []),
    ...moved,
    ...(images.length === 0 ? [] : [images.map((line) => `- ${line}`).join("\n")]),
    rows.length === 0
      ? "No resource was changed."
      : ["| resource | type | what |", "| --- | --- | --- |", ...rows].join("\n"),
    ...(outcome === "done"
      ? []
      : [
          "Nothing needs repair: mend the cause and run this again, or merge the mend. A bucket's settings, a role, the DNS name or a rule of the repository may not be changed from here: for those an administrator runs `pulumi up`.",
        ]),
    "",
  ].join("\n\n");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
