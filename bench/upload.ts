/**
 * What bench/publish.ts measures of ours: `release publish` from the finished disk to the stored object. Its look at the disk before that
 * is left out, since upstream takes none, and a made-up disk would not pass it.
 *
 * Usage: tsx bench/upload.ts <disk.qcow2> <commit>, with the store in the environment
 */
import { uploadDisk } from "../release/build/publish.js";
import { buildFacts } from "../release/store/records.js";
import { openStore } from "../release/store/store.js";

const [disk, commit] = process.argv.slice(2) as [string, string];
const sha256 = "0".repeat(64);
/** Made up: nothing is built here. */
const facts = buildFacts.parse({
  arch: "x86_64",
  base: { kind: "debian", name: "bench", sha256 },
  runner: { kind: "fixture", version: "1", sha256, releasedAt: "2026-01-01" },
  builder: { packer: "1", qemu: "1", accelerator: "tcg" },
  virtualSize: 2 ** 31,
  seconds: 1,
});
await uploadDisk(
  await openStore(process.env["BUCKET"]!),
  { commit, arch: facts.arch },
  { path: disk, facts },
);
// Not left to the event loop: a connection that is kept alive would count.
process.exit();
