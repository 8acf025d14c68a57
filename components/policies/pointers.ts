/*
 * The keys of a pointer, everybody's and those of the stack's channels (release/store/channels.ts): with an asterisk where there are several.
 */

/**
 * All of both, of whatever channels there are or were, for those who only look: what a channel named that has ended is kept until its pointer
 * is deleted, so it has to be read. Everybody may read it anyway.
 */
export const allPointerKeys = [
  "pointer/*",
  "*/pointer/*",
  "latest",
  "*/latest",
  "latest.json",
  "*/latest.json",
];

/** The logs of moves, which are written once and never deleted. */
export function logKeys(channels: readonly string[] = []): string[] {
  return ["pointer/*", ...channels.map((channel) => `${channel}/pointer/*`)];
}

/** What hosts poll: the only objects that change. */
export function polledKeys(channels: readonly string[] = []): string[] {
  return ["latest", "latest.json"].flatMap((key) => [key, ...channels.map((channel) => `${channel}/${key}`)]);
}
