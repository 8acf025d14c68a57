/**
 * Runs the release command line (cli.ts). Its modules are put together as JavaScript first, once for each state of them: a command then starts
 * in a seventh of the time that it takes to translate and resolve each (docs/operations.md, "Where the time of an `up` goes").
 *
 * Plain JavaScript, since it runs before anything is translated. Packages are put in too, as most of a start would be reading their hundreds of
 * files; but not those that only a few commands need and that look for others, or for files beside them. What only some commands need is
 * a part of its own, loaded by those. How is said in esbuild.json, which bench/bundle.ts reads as well.
 */
import { createHash } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from "node:fs";
import path from "node:path";

const here = import.meta.dirname;
const local = path.join(path.dirname(here), ".local");
const prefix = "release-";
/** Milliseconds for which a state stays after its last use: a command that was begun with it may still have to load a part. */
const kept = 24 * 60 * 60 * 1000;

// As deep below the checkout as the rooms are below release/, for what looks beside itself (boot/qemu.ts).
const folder = path.join(local, prefix + stateOfSources());
const isBundled = existsSync(folder) || (await bundle().catch(() => false));
if (isBundled) {
  markAsUsed();
  await import(path.join(folder, "cli.mjs"));
} else {
  // A checkout that cannot be written to, a host's for example; what else is wrong is said on this way too.
  const { register } = await import("tsx/esm/api");
  register();
  await import("./cli.ts");
}

/** By names, sizes and times, like make; of this file too, and of the list that npm keeps of what it has installed. */
function stateOfSources() {
  const hash = createHash("sha256");
  const add = (name, file) => {
    const { size, mtimeMs } = statSync(file, { throwIfNoEntry: false }) ?? {};
    hash.update(`${name} ${size} ${mtimeMs}\n`);
  };
  for (const name of readdirSync(here, { recursive: true }).sort())
    if (/\.(ts|mjs|json)$/.test(name)) add(name, path.join(here, name));
  add("packages", path.join(path.dirname(here), "node_modules", ".package-lock.json"));
  return hash.digest("hex").slice(0, 16);
}

/** Nothing is seen of it until it is whole, also after a power failure: an empty module ends well. Of several at once, the first is as good as any. */
async function bundle() {
  const part = `${folder}.${process.pid}.part`;
  mkdirSync(local, { recursive: true });
  const { build } = await import("esbuild");
  try {
    await build({
      ...JSON.parse(readFileSync(path.join(here, "esbuild.json"), "utf8")),
      entryPoints: [path.join(here, "cli.ts")],
      outdir: part,
      logLevel: "silent",
    });
    for (const name of readdirSync(part)) sync(path.join(part, name));
    sync(part);
    renameSync(part, folder);
  } catch (error) {
    rmSync(part, { recursive: true, force: true });
    if (!existsSync(folder)) throw error;
  }
  removeOld();
  return true;
}

function sync(file) {
  const handle = openSync(file, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

function markAsUsed() {
  try {
    utimesSync(folder, new Date(), new Date());
  } catch {
    // Another user's, who removes it, or nobody.
  }
}

function removeOld() {
  for (const name of readdirSync(local)) {
    const file = path.join(local, name);
    if (!name.startsWith(prefix) || file === folder) continue;
    // Another process may remove it at the same time.
    const used = statSync(file, { throwIfNoEntry: false })?.mtimeMs;
    if (used !== undefined && Date.now() - used > kept) rmSync(file, { recursive: true, force: true });
  }
}
