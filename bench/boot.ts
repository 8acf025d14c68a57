/**
 * Booting: from the start of QEMU to the runner's first call, against the base that the image was made from, from the start of QEMU to
 * its login prompt; the same machine, disks of the same size, taken in turns. Promise: at most 1.0 times the time (median). And what a
 * host downloads: the image in its published form, against the base compressed the same way. Promise: at most 0.95 times the bytes.
 *
 * The base boots as a distribution made it, as on a host that wants a machine to log in to: it makes its host keys and asks for a login on
 * the serial console; Ubuntu's also has cloud-init look for a datasource and grow its disk. `debian` is made anew for that, since builds give it the
 * image's own initrd and boot loader settings. Sizes are compared where the base has the same packages: that is `debian` too.
 *
 * Usage: tsx bench/boot.ts [image/build/ubuntu-x86_64.qcow2], as `make -C image` leaves it
 * Default: the image that `npm start` made live.
 */
import { createWriteStream } from "node:fs";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { devNull, tmpdir } from "node:os";
import path from "node:path";
import { pipeline } from "node:stream/promises";
import { setTimeout as delay } from "node:timers/promises";
import { execa } from "execa";
import { platform } from "../local/platform.js";
import { checkout, platformPaths } from "../local/paths.js";
import { resolveAccelerator } from "../release/boot/accelerator.js";
import { readConsoleEnd, showsEmulationFault } from "../release/boot/boot-console.js";
import { startBootService } from "../release/boot/boot-service.js";
import { readStages, stagesText } from "../release/boot/boot-stages.js";
import { hardware, vmDiskBytes } from "../release/boot/boot-test.js";
import {
  createOverlay,
  startVm,
  writeCredential,
  type RunningVm,
  type VirtualMachine,
} from "../release/boot/qemu.js";
import { compressDisk, type Digests } from "../release/build/compress.js";
import { fetchImage, fetchManifest } from "../release/host/fetch.js";
import { UserError } from "../release/process/errors.js";
import { lastLines, run } from "../release/process/run.js";
import { say } from "../release/process/progress.js";
import { buildFacts, type BootStages, type BuildFacts } from "../release/store/records.js";
import { parseJson } from "../release/store/store.js";
import { median } from "./median.js";
import { report } from "./result.js";

const rounds = 5;
const promised = { time: 1.0, size: 0.95 };
const arch = "x86_64";
const patienceMs = 600_000;
/** How often the base's console is looked at, in our disfavour by half of it. */
const lookMs = 50;

const folder = await mkdtemp(path.join(tmpdir(), "runner-images-bench-"));
const consoleLog = path.join(folder, "console.log");
const accelerator = await resolveAccelerator("auto", arch);
try {
  const { disk, facts } = await findImage(process.argv[2]);
  const base = await findBase(facts);

  const prompts: number[] = [];
  const calls: Call[] = [];
  for (let round = 1; round <= rounds; round++) {
    prompts.push(await toItsEnd(() => bootToPrompt(base.disk, facts)));
    calls.push(await toItsEnd(() => bootToCall(disk, facts)));
    say(
      `round ${round} of ${rounds}: ${prompts.at(-1)!.toFixed(1)} s, ${calls.at(-1)!.seconds.toFixed(1)} s`,
    );
  }
  const call = median(calls, ({ seconds }) => seconds);
  const bytes = (await compressed(disk)).compressed.bytes;
  const [its, own] = ["its base, to the login prompt", "image, to the runner's first call"];
  await report({
    name: "boot",
    title: "Booting",
    about: `From the start of QEMU, with ${accelerator === "kvm" ? "KVM" : "emulation"}, and what is downloaded before; base \`${facts.base.kind}\`, profile \`${facts.profile ?? "none"}\`. The base boots with the distribution's own settings.`,
    comparisons: [
      {
        title: "boot",
        sides: [
          { name: its, rounds: { seconds: prompts, megabytes: [base.bytes / 1e6] } },
          {
            name: own,
            rounds: { seconds: calls.map(({ seconds }) => seconds), megabytes: [bytes / 1e6] },
          },
        ],
        promises: [
          { quantity: "seconds", of: own, by: its, atMost: promised.time },
          // Another base has not the same packages, so its size says nothing.
          ...(facts.base.kind === "debian"
            ? [{ quantity: "megabytes" as const, of: own, by: its, atMost: promised.size }]
            : []),
        ],
      },
    ],
    notes: call.stages === null ? [] : [`The image's boot by stages: ${stagesText(call.stages)}.`],
  });
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  say(`error: ${error.message}`);
  process.exitCode = 1;
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function findImage(given: string | undefined): Promise<{ disk: string; facts: BuildFacts }> {
  if (given !== undefined) {
    const file = given.replace(/\.qcow2$/, ".build.json");
    const facts = parseJson(await readFile(file, "utf8").catch(() => ""), buildFacts);
    if (facts === null)
      throw new UserError(`${file} is missing or not what make -C image writes beside its disk`);
    return { disk: given, facts };
  }
  say("bringing the local platform up to date first ...");
  await execa("npm", ["start"], { cwd: checkout, stdio: ["ignore", "ignore", "inherit"] });
  const url = (await platform().environment())["IMAGES_URL"]!;
  const { commit, path: disk } = await fetchImage({ url, arch, directory: folder, trust: null });
  return { disk, facts: (await fetchManifest({ url, commit, arch })).build };
}

/** @throws UserError where Ubuntu's is not in a cache any more, or not the same */
async function findBase({ base }: BuildFacts): Promise<{ disk: string; bytes: number }> {
  if (base.kind === "debian") {
    say("building the base with the distribution's own boot settings ...");
    const disk = path.join(folder, "base.qcow2");
    await run(path.join(checkout, "image", "debian-base", "build.sh"), [disk], {
      env: { ARCH: arch, BOOT_SETTINGS: "distribution" },
      log: path.join(checkout, "image", "build", "bench-base.log"),
    });
    return { disk, bytes: (await compressed(disk)).compressed.bytes };
  }
  for (const cache of [platformPaths().cache, path.join(checkout, "image", "build", "cache")]) {
    const name = (await readdir(cache).catch(() => [])).find((name) => name.startsWith(base.sha256));
    if (name === undefined) continue;
    const disk = path.join(cache, name);
    const digests = await compressed(disk);
    if (digests.disk.sha256 === base.sha256) return { disk, bytes: digests.compressed.bytes };
  }
  throw new UserError(
    `the image's base ${base.name} is in no cache here: build the image here, then measure it`,
  );
}

/** As `release publish` compresses a disk. */
async function compressed(disk: string): Promise<Digests> {
  const { chunks, digests } = compressDisk(disk, () => undefined);
  await pipeline(chunks, createWriteStream(devNull));
  return digests();
}

/** Boots once more where a fault of the emulation ended it, as a boot test does. */
async function toItsEnd<T>(boot: () => Promise<T>): Promise<T> {
  try {
    return await boot();
  } catch (error) {
    if (accelerator !== "tcg" || !showsEmulationFault(await readConsoleEnd(consoleLog))) throw error;
    say("a fault of QEMU's emulation (int3) ended this boot: booting once more");
    return await boot();
  }
}

/** @returns seconds */
async function bootToPrompt(backing: string, { virtualSize }: BuildFacts): Promise<number> {
  return await withVm(backing, virtualSize, { credentials: [] }, async (vm, startedAt) => {
    while (!/ login: /.test(await readConsoleEnd(consoleLog)))
      if ((await Promise.race([vm.ended, delay(lookMs)])) !== undefined)
        throw await endedEarly("the base's login prompt");
    return (Date.now() - startedAt.getTime()) / 1000;
  });
}

interface Call {
  seconds: number;
  stages: BootStages | null;
}

/** Until it has powered off, since its stages are known only then. */
async function bootToCall(
  backing: string,
  { runner: { kind }, profile, virtualSize }: BuildFacts,
): Promise<Call> {
  const service = await startBootService(kind);
  try {
    const credentials = [
      await writeCredential(folder, "gha-jitconfig-url", service.jitConfigUrl),
      await writeCredential(folder, "gha-boot-report-url", service.reportUrl),
    ];
    return await withVm(
      backing,
      virtualSize,
      { credentials, service: service.port },
      async (vm, startedAt) => {
        // As in the boot test: images without a profile do not check their contents.
        const done = [service.runnerCalled, ...(profile === undefined ? [] : [service.contentsChecked])];
        if (kind === "github") void Promise.all(done).then(vm.powerdown);
        await vm.ended;
        const { runnerCall } = service.seen;
        if (runnerCall === null) throw await endedEarly("the runner's first call");
        return {
          seconds: (runnerCall.getTime() - startedAt.getTime()) / 1000,
          stages: readStages(startedAt, service.seen),
        };
      },
    );
  } finally {
    await service.close();
  }
}

/** Boots a copy of a disk, for as long as the work takes, but no longer than `patienceMs`. */
async function withVm<T>(
  backing: string,
  virtualSize: number,
  own: Pick<VirtualMachine, "credentials" | "service">,
  work: (vm: RunningVm, startedAt: Date) => Promise<T>,
): Promise<T> {
  const copy = path.join(folder, "disk.qcow2");
  await rm(copy, { force: true });
  await rm(consoleLog, { force: true });
  await createOverlay(backing, copy, vmDiskBytes(virtualSize));
  const startedAt = new Date();
  const vm = startVm({ arch, accelerator, ...hardware, disk: copy, console: consoleLog, ...own });
  const patience = setTimeout(() => void vm.kill(), patienceMs);
  try {
    return await work(vm, startedAt);
  } finally {
    clearTimeout(patience);
    await vm.kill();
  }
}

async function endedEarly(awaited: string): Promise<UserError> {
  return new UserError(`the VM ended before ${awaited} came:\n${await lastLines(consoleLog)}`);
}
