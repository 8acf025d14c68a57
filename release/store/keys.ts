/**
 * The names of everything in the bucket. Hosts of rust-lang/gha-self-hosted rely on `latest`, `.qcow2.zst` and
 * `.qcow2.sha256`; the rest is this project's (docs/contract.md).
 */
export const architectures = ["x86_64", "aarch64"] as const;
export type Architecture = (typeof architectures)[number];

/** A full commit hash: the only form of a commit anywhere in this project. */
export const commitPattern = /^[0-9a-f]{40}$/;
/** A hex sha256, as in `.qcow2.sha256` and the manifests. */
export const sha256Pattern = /^[0-9a-f]{64}$/;

/** From so many of the images that went live last an image gets a delta (config `deltas`), and from so many at most. */
export const defaultDeltas = 3;
export const maxDeltas = 10;

/** "ubuntu-x86_64": the image's name, in keys, file names and resource names. */
export function imageName(arch: Architecture): string {
  return `ubuntu-${arch}`;
}

function imageKey(commit: string, arch: Architecture, suffix: string): string {
  return `images/${commit}/${imageName(arch)}${suffix}`;
}

export const keys = {
  latest: "latest",
  latestJson: "latest.json",
  pointerPrefix: "pointer/",
  /** Zero-padded, so that the listing of the log is in the order of the moves. */
  pointer: (seq: number) => `pointer/${String(seq).padStart(8, "0")}.json`,
  imagesPrefix: (commit: string) => `images/${commit}/`,
  /** The disk, compressed: what hosts download. */
  disk: (commit: string, arch: Architecture) => imageKey(commit, arch, ".qcow2.zst"),
  /** sha256 of the uncompressed disk: bare lowercase hex and a newline. */
  diskSha256: (commit: string, arch: Architecture) => imageKey(commit, arch, ".qcow2.sha256"),
  manifest: (commit: string, arch: Architecture) => imageKey(commit, arch, ".json"),
  /** The software bill of materials, in CycloneDX's JSON. */
  sbom: (commit: string, arch: Architecture) => imageKey(commit, arch, ".cdx.json"),
  /** Who built the disk of that sha256: a Sigstore bundle, stored before the disk. Builds are not alike, so there may be several. */
  attestation: (commit: string, arch: Architecture, sha256: string) =>
    imageKey(commit, arch, `.${sha256}.sigstore.json`),
  /**
   * What makes the disk out of that of the image `from` (release/store/delta.ts). By its sha256, since no rule says that the next machine's
   * zstd writes the same bytes; which of them counts is said by the manifest.
   */
  delta: (commit: string, arch: Architecture, from: string, sha256: string) =>
    imageKey(commit, arch, `.from-${from}.${sha256}.delta.zst`),
  bootRecord: (commit: string, arch: Architecture) => imageKey(commit, arch, ".boot.json"),
  /** One per failed attempt: a failure is kept, but does not stop a later attempt from passing. */
  bootFailure: (commit: string, arch: Architecture, startedAt: Date) =>
    imageKey(commit, arch, `.boot-failure-${compactTime(startedAt)}.json`),
  /** The status page: what a CDN answers to `/`. */
  page: "index.html",
  /** Its Atom feed of the moves. */
  feed: "feed.atom",
  movesPrefix: "moves/",
  /** Its older moves, page by page (release/page/moves.ts). */
  moves: (page: number) => `moves/${page}.html`,
  /** Above the images of all commits. */
  imagesRoot: "images/",
  /** Above the records of all removals, or of one image's. */
  prunedPrefix: (commit?: string) => (commit === undefined ? "pruned/" : `pruned/${commit}/`),
  /** One per removal of an image: what went, and why. */
  pruned: (commit: string, at: Date) => `pruned/${commit}/${compactTime(at)}.json`,
};

/** "20261126T101500000Z": sorts by time, and needs no escape in a URL. */
function compactTime(time: Date): string {
  return time.toISOString().replaceAll(/[-:.]/g, "");
}
