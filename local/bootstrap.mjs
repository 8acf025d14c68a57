/**
 * Runs first in every npm script, so it is plain JavaScript without dependencies: checks Node and
 * makes node_modules match package-lock.json. Costs some 10 ms when there is nothing to do.
 */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { clearInterval, setInterval } from "node:timers";
import { fileURLToPath } from "node:url";

const script = fileURLToPath(import.meta.url);
const root = path.dirname(path.dirname(script));
const lockedArgument = "--locked";

checkNode();
if (!isInstalled()) {
  if (process.argv.includes(lockedArgument)) await install();
  else installOnce();
}

function checkNode() {
  const range = readJson("package.json").engines.node;
  const minimum = range.replace(/^>=/, "");
  if (compareVersions(process.versions.node, minimum) >= 0) return;
  fail(
    `error: Node ${minimum} or newer is needed, but this is ${process.versions.node}; install it, then repeat the command`,
  );
}

/**
 * Compares npm's own record of what it installed (which it writes last, and which `npm ci` removes first) with the lock file,
 * so that an `npm ci` by hand or in CI counts too.
 */
function isInstalled() {
  const wanted = readJson("package-lock.json").packages;
  const installed = readJson("node_modules/.package-lock.json")?.packages;
  if (installed === undefined) return false;
  const same = (name) =>
    installed[name].version === wanted[name]?.version &&
    installed[name].integrity === wanted[name]?.integrity;
  return (
    Object.keys(installed).every(same) &&
    // Packages for other platforms are optional and absent.
    Object.keys(wanted).every((name) => name === "" || wanted[name].optional || name in installed)
  );
}

/** Takes a lock, waiting for a set-up that runs at the same time, and looks again. The kernel frees it if we are killed. */
function installOnce() {
  mkdirSync(path.join(root, ".local"), { recursive: true });
  const lock = path.join(root, ".local", "bootstrap.lock");
  const result = spawnSync("flock", [lock, process.execPath, script, lockedArgument], { stdio: "inherit" });
  if (result.error) fail(`error: flock is missing (${result.error.message}); install the package util-linux`);
  process.exit(result.status ?? 1);
}

async function install() {
  const start = Date.now();
  const seconds = () => ((Date.now() - start) / 1000).toFixed(1);
  say("npm packages: installing what package-lock.json names (npm ci), about 20 s ...");
  const timer = setInterval(() => say(`npm packages: ${seconds()}s so far`), 10_000);
  // Install scripts are off: @pulumi/command's would try to download a plugin. stdout is kept for results.
  const npm = spawn("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {
    cwd: root,
    stdio: ["ignore", 2, 2],
  });
  const [status] = await once(npm, "close");
  clearInterval(timer);
  if (status !== 0)
    fail("error: npm ci failed (see above); when the registry can be reached, repeat the command");
  say(`npm packages: done in ${seconds()}s`);
}

/** The parsed file of the checkout; undefined when it is missing or damaged. */
function readJson(file) {
  try {
    return JSON.parse(readFileSync(path.join(root, file), "utf8"));
  } catch {
    return undefined;
  }
}

function compareVersions(a, b) {
  const [left, right] = [a, b].map((version) => version.split(".").map(Number));
  for (let i = 0; i < 3; i++) if (left[i] !== right[i]) return left[i] - right[i];
  return 0;
}

function say(line) {
  process.stderr.write(`${line}\n`);
}

function fail(line) {
  say(line);
  process.exit(1);
}
