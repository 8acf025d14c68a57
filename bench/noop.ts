/**
 * An update with nothing to do: `npm start` against a bare Pulumi program with as many resources, taken in turns.
 * Promise: at most 1.5 times the time (median).
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { platform } from "../local/platform.js";
import { checkout } from "../local/paths.js";
import { say } from "../release/process/progress.js";
import { report } from "./result.js";

const rounds = 7;
const promised = 1.5;

const state = await mkdtemp(path.join(tmpdir(), "runner-images-bench-"));
try {
  say("bringing the local platform up to date first ...");
  await execa("npm", ["start"], { cwd: checkout, stdio: ["ignore", "ignore", "inherit"] });
  const environment = {
    ...(await platform().environment()),
    PULUMI_BACKEND_URL: `file://${state}`,
    PULUMI_STACK: "bare",
  };
  const contestants = {
    "bare program": () =>
      execa("node", ["--import", "tsx", path.join(import.meta.dirname, "bare-program.ts"), state], {
        cwd: checkout,
        env: environment,
      }),
    "npm start": () => execa("npm", ["start"], { cwd: checkout }),
  };
  await contestants["bare program"]();
  const times: Record<string, number[]> = {};
  for (let round = 1; round <= rounds; round++) {
    for (const [name, run] of Object.entries(contestants)) {
      const start = performance.now();
      await run();
      (times[name] ??= []).push(performance.now() - start);
    }
    say(`round ${round} of ${rounds}`);
  }
  const sides = Object.entries(times).map(([name, of]) => ({
    name,
    rounds: { seconds: of.map((ms) => ms / 1000) },
  }));
  await report({
    name: "noop",
    title: "Nothing to do",
    about: "An update that finds nothing to do, against a bare Pulumi program with as many resources.",
    comparisons: [
      {
        title: "nothing to do",
        sides,
        promises: [{ quantity: "seconds", of: "npm start", by: "bare program", atMost: promised }],
      },
    ],
    notes: [],
  });
} finally {
  await rm(state, { recursive: true, force: true });
}
