import { z } from "zod";
import { architectures, commitPattern, sha256Pattern } from "./keys.js";

const commit = z.string().regex(commitPattern);
const sha256 = z.string().regex(sha256Pattern);
const bytes = z.number().int().positive();
const seconds = z.number().nonnegative();
const date = z.iso.date();
const timestamp = z.iso.datetime();

/** How guest instructions are run. */
export const accelerators = ["kvm", "tcg"] as const;
export type Accelerator = (typeof accelerators)[number];
/** `auto` is KVM where it works and TCG elsewhere. */
export type AcceleratorChoice = "auto" | Accelerator;

/** What an image contains (image/inputs.json, contents): all that jobs expect, or only what the image itself needs. */
export const profiles = ["full", "small"] as const;
export type Profile = (typeof profiles)[number];

/** What `make -C image` says about a disk it built: `image/build/ubuntu-<arch>.build.json`. */
export const buildFacts = z.object({
  arch: z.enum(architectures),
  /** The base image: `ubuntu` is Ubuntu's cloud image, `debian` the small one built from packages. */
  base: z.object({ kind: z.enum(["ubuntu", "debian"]), name: z.string(), sha256 }),
  /** Images built before there were profiles have none. */
  profile: z.enum(profiles).optional(),
  /**
   * The runner inside: `github` is actions/runner, `fixture` the stand-in which speaks `run.sh --jitconfig`.
   * Until when GitHub gives it jobs becomes known later and is in no manifest (release/pointer/runner-releases.ts); the first images
   * had the fields `supersededAt` and `deprecatedAt` for it.
   */
  runner: z.object({
    kind: z.enum(["github", "fixture"]),
    version: z.string(),
    sha256,
    releasedAt: date,
    supersededAt: date.nullish(),
    deprecatedAt: date.nullish(),
  }),
  builder: z.object({ packer: z.string(), qemu: z.string(), accelerator: z.enum(accelerators) }),
  /** Bytes: the size of the guest's disk, which is the floor of a VM's disk. */
  virtualSize: bytes,
  seconds,
});
export type BuildFacts = z.infer<typeof buildFacts>;

/** What makes the disk of an image out of the disk of another one that a host may have. */
export const delta = z.object({
  /** The commit of the other image. */
  from: commit,
  /** The disk of that one, as it has to be. */
  base: z.object({ bytes, sha256 }),
  /** The object: release/store/delta.ts. */
  key: z.string(),
  bytes,
  sha256,
});
export type Delta = z.infer<typeof delta>;

/** `images/<commit>/ubuntu-<arch>.json`: uploaded last, so it proves that the set of this architecture is complete. */
export const manifest = z.object({
  schema: z.literal(1),
  commit,
  arch: z.enum(architectures),
  /**
   * The object hosts download: size in bytes, sha256, and what the store's CRC32 of the whole of it has to be (base64), which a HEAD
   * tells. Images published before there was one have none, nor has one in a store that keeps none.
   */
  compressed: z.object({ key: z.string(), bytes, sha256, crc32: z.string().optional() }),
  /** The qcow2 inside it. */
  disk: z.object({ bytes, sha256 }),
  /** The bill of materials; images published before there were any have none. */
  sbom: z.object({ key: z.string(), bytes, sha256 }).optional(),
  /** From the images that went live before it, newest first; none where there were none, or none that saves enough. */
  deltas: z.array(delta).optional(),
  build: buildFacts,
  publishedAt: timestamp,
});
export type Manifest = z.infer<typeof manifest>;

/**
 * A boot in stages, in seconds, which add up to the time from the start of QEMU to the runner's first call. What each is, and how it
 * is known: release/boot/boot-stages.ts.
 */
export const bootStages = z.object({
  firmware: seconds,
  kernel: seconds,
  userspace: seconds,
  runner: seconds,
});
export type BootStages = z.infer<typeof bootStages>;

/** `images/<commit>/ubuntu-<arch>.boot.json`: what happened when the published image was booted from the CDN. */
export const bootRecord = z.object({
  schema: z.literal(1),
  commit,
  arch: z.enum(architectures),
  result: z.enum(["passed", "failed"]),
  /** One line: why it failed; null when it passed. */
  reason: z.string().nullable(),
  /** sha256 of the disk that was booted, so that the record belongs to these bytes. */
  diskSha256: sha256,
  /** Each assertion by name, with what was seen. */
  checks: z.array(z.object({ name: z.string(), passed: z.boolean(), seen: z.string() })),
  /** Seconds from the start of QEMU, but `fetch` from the start of the download. */
  timings: z.object({
    fetch: seconds,
    credentialFetched: seconds.nullable(),
    runnerStarted: seconds.nullable(),
    poweredOff: seconds.nullable(),
    /** Null: not known. Records of boots before there were stages have none. */
    stages: bootStages.nullish(),
  }),
  qemu: z.object({ version: z.string(), accelerator: z.enum(accelerators) }),
  startedAt: timestamp,
});
export type BootRecord = z.infer<typeof bootRecord>;

/** Whether that record says that what is published passed its boot test. */
export function hasPassed(record: BootRecord | null, { disk }: Manifest): boolean {
  return record?.result === "passed" && record.diskSha256 === disk.sha256;
}

/** `pruned/<commit>/<time>.json`: written before an image is removed, so it may list what a killed run left for the next one. */
export const pruneRecord = z.object({
  schema: z.literal(1),
  commit,
  prunedAt: timestamp,
  /** One line: what held it no longer. */
  why: z.string(),
  /** What was there, with sizes in bytes. */
  objects: z.array(z.object({ key: z.string(), bytes: z.number().int().nonnegative() })),
});
export type PruneRecord = z.infer<typeof pruneRecord>;

/** What git says of a commit: a line each, of at most 200 characters, by whoever wrote the commit. */
export const commitNote = z.object({ commit, author: z.string(), subject: z.string() });
export type CommitNote = z.infer<typeof commitNote>;
/** For people only: one that is not valid must not stop a move. */
const note = commitNote.optional().catch(undefined);

/** `pointer/<seq>.json`, one per move, and `latest.json`, a copy of the newest. */
export const pointer = z.object({
  /** Counts the moves from 1. */
  seq: z.number().int().positive(),
  commit,
  /** The commit `latest` named before; null for the first move. */
  previous: commit.nullable(),
  promotedAt: timestamp,
  /** The stack whose pointer it is, "<project>/<stack>"; moves of before there was one, and by hand before any stack's, have none. */
  stack: z.string().optional(),
  /** The image's own commit, as the checkout that moved knew it; moves of before the end of November 2026 have none. */
  image: note,
  /** The commit that asked for the move, where it is another: it pinned the image, or went back to its content. */
  askedBy: note,
});
export type Pointer = z.infer<typeof pointer>;
