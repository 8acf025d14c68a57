import { diffImages } from "../../../../release/compare/diff.js";
import type { ImageFacts } from "../../../../release/compare/facts.js";
import type { Component } from "../../../../release/inspect/sbom.js";
import type { KnownImage, LiveArchitecture, PageFacts } from "../../../../release/page/facts.js";
import type { Architecture } from "../../../../release/store/keys.js";
import type { Pointer } from "../../../../release/store/records.js";
import { imageFacts } from "../compare/image-facts.js";

export const commitOf = (number: number) => number.toString(16).padStart(40, "a");

export function moveOf(seq: number, changes: Partial<Pointer> = {}): Pointer {
  return {
    seq,
    commit: commitOf(seq),
    previous: seq === 1 ? null : commitOf(seq - 1),
    promotedAt: new Date(Date.UTC(2026, 10, 1) + seq * 60 * 60 * 1000).toISOString(),
    stack: "runner-images/prod",
    image: { commit: commitOf(seq), author: "Ada", subject: `image ${seq}` },
    ...changes,
  };
}

/** Newest first. */
export function movesTo(newest: number, first = 1): Pointer[] {
  return Array.from({ length: newest - first + 1 }, (_, index) => moveOf(newest - index));
}

const stages = { firmware: 2.4, kernel: 6, userspace: 10.8, runner: 4.8 };

/** An image against one before it. */
export function liveOf(
  arch: Architecture,
  given: { before?: Component[]; after?: Component[]; changes?: Partial<ImageFacts> } = {},
): LiveArchitecture {
  const { before = [], after = [], changes } = given;
  const image = {
    ...imageFacts(commitOf(2), { arch, components: after, bootSeconds: 24, stages }),
    ...changes,
  };
  const old = imageFacts(commitOf(1), {
    arch,
    components: before,
    compressedBytes: 120_000_000,
    bootSeconds: 26,
  });
  const [diff] = diffImages([old], [image], [commitOf(1), commitOf(2)]);
  return { image, diff: diff!, origin: { problem: null, warning: null, signer: "key:0123456789abcdefghij" } };
}

export function knownOf(seq: number, changes: Partial<KnownImage> = {}): KnownImage {
  const move = moveOf(seq);
  return {
    commit: move.commit,
    move,
    note: move.image!,
    isLive: false,
    problems: [],
    usability: { until: null, because: "nothing newer is known" },
    ...changes,
  };
}

/** Two moves, made up. */
export function pageFacts(changes: Partial<PageFacts> = {}): PageFacts {
  const moves = movesTo(2);
  return {
    url: "https://images.example.com",
    writtenAt: new Date("2026-11-26T17:20:00Z"),
    live: { move: moves[0]!, before: commitOf(1), architectures: [liveOf("x86_64")] },
    moves,
    images: [knownOf(2, { isLive: true }), knownOf(1)],
    others: [],
    channels: [],
    ...changes,
  };
}
