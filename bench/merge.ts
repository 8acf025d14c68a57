/**
 * A merge that changes nothing in image/: what its update does and takes, against one after no merge at all. And what a second architecture adds
 * to a preview. Engine, S3 server and CDN are real, the images are the engine tests'.
 */
import { World } from "../test/engine/world.js";
import { inTurns, report } from "./result.js";

const rounds = 5;

const one = await World.create();
const two = await World.create();
try {
  await two.setConfig("architectures", ["x86_64", "aarch64"]);
  for (const world of [one, two]) await world.up();

  const changes: number[] = [];
  const [nothing, docs] = ["no merge", "a merge of docs"] as const;
  const updates = await inTurns(rounds, {
    [nothing]: () => one.up(),
    [docs]: async () => {
      await one.write("README.md", `${changes.length}\n`);
      await one.commit("docs only");
      const { resourceChanges = {} } = (await one.up()).summary;
      const changed = Object.entries(resourceChanges).filter(([operation]) => operation !== "same");
      changes.push(changed.reduce((sum, [, number]) => sum + number, 0));
    },
  });
  const [single, both] = ["x86_64", "x86_64 and aarch64"] as const;
  const previews = await inTurns(rounds, { [single]: () => one.preview(), [both]: () => two.preview() });

  await report({
    name: "merge",
    title: "A merge that changes no image",
    about: "An update in the bench's own process, without its start.",
    comparisons: [
      {
        title: "an update after",
        sides: [
          { name: nothing, rounds: updates[nothing] },
          { name: docs, rounds: { ...updates[docs], changes } },
        ],
        promises: [
          { quantity: "changes", of: docs, by: null, atMost: 0 },
          { quantity: "seconds", of: docs, by: nothing, atMost: null },
          { quantity: "cpuSeconds", of: docs, by: nothing, atMost: null },
        ],
      },
      {
        title: "a preview with nothing to do, of images for",
        sides: [single, both].map((name) => ({ name, rounds: previews[name] })),
        promises: [
          { quantity: "seconds", of: both, by: single, atMost: null },
          { quantity: "cpuSeconds", of: both, by: single, atMost: null },
        ],
      },
    ],
    notes: [],
  });
} finally {
  for (const world of [one, two]) await world.remove();
}
