/**
 * What bench/publish.ts measures of ours: `release publish` from the finished disk to the stored object. Its look at the disk before that
 * is left out, since upstream takes none, and a made-up disk would not pass it.
 *
 * Usage: node <its bundle> <disk.qcow2> <commit>, with the store in the environment
 */
import { uploadDisk } from "../release/build/publish.js";
import { openStore } from "../release/store/store.js";
import { manifestOf } from "../test/unit/release/memory-store.js";

const [disk, commit] = process.argv.slice(2) as [string, string];
/** Made up: nothing is built here. */
const { build: facts } = manifestOf(commit, "x86_64");
await uploadDisk(
  await openStore(process.env["BUCKET"]!),
  { commit, arch: facts.arch },
  { path: disk, facts },
);
// Not left to the event loop: a connection that is kept alive would count.
process.exit();
