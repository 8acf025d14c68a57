import { defineConfig } from "vitest/config";

/** One project a tier (docs/testing.md); test/run.ts runs them in this order. */
export default defineConfig({
  test: {
    // All cores: by default one is left to the watcher, which nobody runs here.
    maxWorkers: "100%",
    projects: [
      // Without a fresh context for each file: most of this tier's time would be the loading of the same modules. Some make disks, or run
      // git and programs of ours, on a machine that may be busy.
      { test: { name: "unit", include: ["test/unit/**/*.test.ts"], isolate: false, testTimeout: 60_000 } },
      // The other tiers start engines, servers and virtual machines: one at a time, but for the engine tier, whose worlds share
      // nothing and mostly wait (the platforms of `faults` do so within its one file). Time limits are a last resort only.
      ...["conformance", "engine", "faults", "e2e"].map((name) => ({
        test: {
          name,
          include: [`test/${name}/**/*.test.ts`],
          fileParallelism: name === "engine",
          testTimeout: 20 * 60_000,
          hookTimeout: 20 * 60_000,
        },
      })),
      // Hours, where the machine is slow: emulated, and built from packages by an emulated system.
      ...["full", "aarch64"].map((name) => ({
        test: {
          name,
          include: [`test/images/${name}.test.ts`],
          testTimeout: 4 * 60 * 60_000,
          hookTimeout: 20 * 60_000,
        },
      })),
    ],
  },
});
