/**
 * Building an image: `release build` against Packer alone, with the same template, scripts, base and payload, taken in turns.
 * Promise: at most 1.05 times the time (median).
 *
 * What Packer is started with is taken from a build of ours: a script stands before it on PATH, which writes that down and ends. So what is
 * left out on its side is what we do besides: the export of the commit, the checks of settings, tools and base, the payload, the facts.
 *
 * Usage: tsx bench/build.ts [--dry], which does all but the builds
 */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa, ExecaError } from "execa";
import { checkout } from "../local/paths.js";
import { which } from "../local/which.js";
import { buildDirectory } from "../release/build/build.js";
import { UserError } from "../release/process/errors.js";
import { say } from "../release/process/progress.js";
import { releaseBuild } from "./release-build.js";
import { inTurns, report } from "./result.js";

const rounds = 5;
const promised = 1.05;
const arch = "x86_64";

const folder = await mkdtemp(path.join(tmpdir(), "runner-images-bench-"));
/** A checkout of its own: builds of other commits and by hand stay what they are. */
const root = path.join(folder, "repository");
try {
  await execa("git", ["clone", "--quiet", "--shared", checkout, root]);
  const { stdout: commit } = await execa("git", ["log", "-1", "--format=%H", "--", "image"], { cwd: root });
  const directory = buildDirectory(root, commit, arch);
  const build = async (environment: Record<string, string> = {}) => {
    await rm(directory, { recursive: true, force: true });
    await releaseBuild(root, commit, environment);
  };
  const bare = await bareBuild(build, path.join(directory, "image"));

  const [theirs, ours] = ["Packer alone", "`release build`"] as const;
  if (process.argv.includes("--dry")) say(`Packer alone is:\n${await readFile(bare.script, "utf8")}`);
  else {
    const measured = await inTurns(rounds, { [theirs]: bare.run, [ours]: () => build() });
    await report({
      name: "build",
      title: "Building an image",
      about:
        "`release build` against `packer build` with the same template, scripts, base and payload, which are made before its time begins; base `debian` out of the cache, profile `small`.",
      comparisons: [
        {
          title: "build an image",
          sides: [theirs, ours].map((name) => ({ name, rounds: measured[name] })),
          promises: [{ quantity: "seconds", of: ours, by: theirs, atMost: promised }],
        },
      ],
      notes: ["Ubuntu's base, and a current Packer with its QEMU plugin, were not measured."],
    });
  }
} catch (error) {
  if (!(error instanceof UserError || error instanceof ExecaError)) throw error;
  // What a build says is wrong has been printed.
  say(`error: ${error instanceof UserError ? error.message : error.shortMessage}`);
  process.exitCode = 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}

/** Packer as a build of ours starts it, in a copy of the folder it is started in. */
async function bareBuild(
  build: (environment: Record<string, string>) => Promise<void>,
  from: string,
): Promise<{ script: string; run: () => Promise<void> }> {
  const packer = await which("packer");
  if (packer === undefined) throw new UserError("packer is not on PATH: npm run setup");
  const script = path.join(folder, "bare.sh");
  const tools = path.join(folder, "bin");
  await mkdir(tools);
  const recorder = [
    "#!/bin/bash",
    `[[ $1 == build ]] || exec '${packer}' "$@"`,
    `{ export -p; printf 'exec %q' '${packer}'; printf ' %q' "$@"; } > '${script}'`,
    "exit 1",
    "",
  ];
  await writeFile(path.join(tools, "packer"), recorder.join("\n"), { mode: 0o755 });
  say("preparing what Packer is started with; the build ends as failed ...");
  await build({ PATH: `${tools}:${process.env["PATH"]}` }).catch((error: unknown) =>
    readFile(script).catch(() => {
      throw error;
    }),
  );
  const copy = path.join(folder, "image");
  await execa("cp", ["-a", from, copy]);
  const work = path.join(copy, "build", arch);
  const run = async () => {
    await rm(path.join(work, "output"), { recursive: true, force: true });
    await execa("bash", [script], { cwd: copy, stdio: ["ignore", "ignore", "inherit"] });
    const sealed = /^gha: sealed/m.test(await readFile(path.join(work, "console.log"), "latin1"));
    if (!sealed) throw new UserError(`Packer alone made no sealed image: ${work}/console.log`);
  };
  return { script, run };
}
