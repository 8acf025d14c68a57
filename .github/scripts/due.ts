import { parseConfig } from "../../config.js";
import { configuredValues } from "../../local/stack-file.js";
import { newestImage } from "../../release/build/source.js";
import { everybody } from "../../release/pointer/channels.js";
import { readPointer } from "../../release/pointer/pointer.js";
import { UserError } from "../../release/process/errors.js";
import { channelUrl } from "../../release/store/channels.js";
import { publicStore } from "../../release/store/public-store.js";
import { stack } from "./pulumi.js";

/** Whether an image was in a channel for its time, and everybody does not get it yet. */
export interface Due {
  isDue: boolean;
  /** One line about it. */
  why: string;
}

/** As the program decides it (release/pointer/plan.ts), from what the CDN shows to anybody. @throws UserError */
export async function readDue(root: string, url: string, now: Date): Promise<Due> {
  const { channels, latest: pinned } = parseConfig(await configuredValues(root, stack), {});
  const gate = channels.find(({ promote }) => promote.kind !== "never");
  if (gate === undefined) return { isDue: false, why: "everybody waits for no channel" };
  if (pinned !== undefined) return { isDue: false, why: `everybody is pinned to ${pinned}` };
  if (url === "") throw new UserError("the variable IMAGES_URL is not set: nothing was deployed yet");
  const [{ commit: newest }, { head }, stored] = await Promise.all([
    newestImage(root),
    readPointer(publicStore(url)),
    readPointer(publicStore(channelUrl(url, gate.name))),
  ]);
  // The first image is the deploy's to bring, which builds it.
  if (head === null) return { isDue: false, why: "nothing was promoted yet" };
  const { commit, waits } = everybody(newest, head.commit, gate, stored, now);
  if (waits !== null) return { isDue: false, why: waits };
  if (commit === head.commit) return { isDue: false, why: `everybody has ${commit}, the newest image` };
  return {
    isDue: true,
    why: `${commit} was in the channel ${gate.name} for its time, and everybody gets it`,
  };
}
