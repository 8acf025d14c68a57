import { defineConfig } from "vitest/config";

/** One project a tier (docs/testing.md); test/run.ts runs them in this order. */
export default defineConfig({
  test: {
    projects: [
      // Without a fresh context for each file: most of this tier's time would be the loading of the same modules.
      { test: { name: "unit", include: ["test/unit/**/*.test.ts"], isolate: false } },
      // The other tiers start engines, servers and virtual machines: one at a time, with time limits as a last resort only.
      ...["conformance", "engine", "e2e"].map((name) => ({
        test: {
          name,
          include: [`test/${name}/**/*.test.ts`],
          fileParallelism: false,
          testTimeout: 20 * 60_000,
          hookTimeout: 20 * 60_000,
        },
      })),
    ],
  },
});
