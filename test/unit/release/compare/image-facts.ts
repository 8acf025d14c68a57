import type { ImageFacts } from "../../../../release/compare/facts.js";
import type { Architecture } from "../../../../release/store/keys.js";
import type { BootStages } from "../../../../release/store/records.js";
import { bootRecordOf, manifestOf } from "../memory-store.js";

interface Given {
  arch?: Architecture;
  components?: ImageFacts["components"];
  compressedBytes?: number;
  bootSeconds?: number;
  stages?: BootStages | null;
  runner?: string;
  /** The day from which it gets no more jobs. */
  until?: string;
  publishedAt?: string;
}

/** What is stored of an image, made up. */
export function imageFacts(commit: string, given: Given = {}): ImageFacts {
  const { arch = "x86_64", components = [], compressedBytes = 126_000_000, bootSeconds = 20 } = given;
  const { runner = "2.337.0", until, stages, publishedAt = "2026-11-12T09:00:00Z" } = given;
  const manifest = manifestOf(commit, arch, { version: runner });
  return {
    commit,
    arch,
    manifest: {
      ...manifest,
      compressed: { ...manifest.compressed, bytes: compressedBytes },
      disk: { ...manifest.disk, bytes: 474_000_000 },
      publishedAt,
    },
    boot: bootRecordOf(commit, arch, {
      timings: {
        fetch: 1,
        credentialFetched: 15,
        runnerStarted: bootSeconds,
        poweredOff: bootSeconds + 2,
        stages,
      },
    }),
    components,
    usability:
      until === undefined
        ? { until: null, because: `no runner newer than ${runner} is known yet` }
        : { until: new Date(until), because: "a newer runner is out" },
  };
}
