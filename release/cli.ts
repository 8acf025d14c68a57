import path from "node:path";
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import { readTrust, signerForm, type Trust } from "./attest/signer.js";
import type { Followed } from "./host/follow.js";
import { cancellationExitCode, onCancel } from "./process/cancel.js";
import { describeError, exitCodeOf, exitCodes, UserError } from "./process/errors.js";
import { channelPattern, reservedNames } from "./store/channels.js";
import { architectures, commitPattern, defaultDeltas, maxDeltas, type Architecture } from "./store/keys.js";
import { say } from "./process/progress.js";
import { profiles, type Profile } from "./store/records.js";
import type { S3Store } from "./store/s3-store.js";
import type { StoreReader } from "./store/store.js";
import type { RunnerCalendar } from "./pointer/runner-releases.js";

/*
 * The release command line: everything that happens to an image after its sources. Pulumi's command resources run it, and so can
 * anybody by hand. Modules are loaded by the verb that needs them, since S3's alone take longer than most verbs.
 */

const root = process.cwd();
const logDirectory = path.join(root, "build", "logs");
const cacheDirectory = path.resolve(root, process.env.RUNNER_IMAGES_CACHE ?? path.join(".local", "cache"));

/** One JSON line, the result for machines. Everything else a verb says goes to stderr. */
function print(result: object): void {
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

const program = new Command("release")
  .description("Build, publish, boot-test and promote the images of self-hosted GitHub Actions runners.")
  .exitOverride()
  .configureOutput({
    // One line, also where commander adds a suggestion on a second.
    outputError: (text, write) => write(`${text.trim().replaceAll(/\s*\n\s*/g, " ")}\n`),
  })
  .addHelpText(
    "after",
    `
Every option can be given by the environment variable shown with it. The store is reached with the AWS SDK's own variables:
AWS_ENDPOINT_URL_S3, AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE. Whom to believe that an image was built from its
commit: IMAGES_SIGNER (${signerForm}), IMAGES_SIGNER_ISSUER, IMAGES_UNSIGNED_UNTIL (a date).
The result is one JSON line on stdout; progress and errors go to stderr.

Exit codes: ${exitCodes.done} done; ${exitCodes.failed} it failed, and one line says why; ${exitCodes.usage} wrong command line; ${exitCodes.unreachable} the CDN cannot be reached, so later it may work;
${exitCodes.refused} what is served is not what was published, or not by whom it should be; ${exitCodes.noSpace} the disk is too full; 130, 143 cancelled by SIGINT, SIGTERM; ${exitCodes.bug} a bug.`,
  );

verb("build", "Build the image of a commit with Packer and QEMU, unless that is done already.")
  .addOption(commitOption("default: the newest image's"))
  .addOption(archOption())
  .addOption(baseOption())
  .addOption(profileOption())
  .addOption(runnerOption())
  .addOption(acceleratorOption())
  .addHelpText("after", example("build --arch x86_64 --base debian --profile small --runner fixture"))
  .action(async (options: BuildOptions) => {
    const { buildImage, withBuildDirectory } = await import("./build/build.js");
    const request = { root, ...options, commit: options.commit ?? (await newestCommit()) };
    const built = await withBuildDirectory(request, () => buildImage(request));
    print({ commit: request.commit, ...built });
  });

verb("lint", "Look for what no image may hold on a disk: passwords, keys, identities, leftovers, timers.")
  .argument("<disk.qcow2>", "the disk; beside it there has to be space for its content once more")
  .addHelpText("after", example("lint image/build/ubuntu-x86_64.qcow2"))
  .action(async (file: string) => {
    const [{ withDisk }, { lintDisk }, { summarize }] = await Promise.all([
      import("./inspect/disk.js"),
      import("./inspect/lint.js"),
      import("./inspect/rules.js"),
    ]);
    const findings = await withDisk(file, lintDisk);
    print({ disk: file, findings });
    if (findings.length > 0)
      throw new UserError(`${file} holds what no image may hold: ${summarize(findings)}`);
  });

verb(
  "publish",
  "Lint, compress, hash and upload a built image, and deltas from those before; the manifest comes last. A killed publish is finished by the next.",
)
  .addOption(commitOption("default: the newest image's"))
  .addOption(archOption())
  .addOption(baseOption())
  .addOption(profileOption())
  .addOption(runnerOption())
  .addOption(acceleratorOption())
  .addOption(bucketOption())
  .option("--build", "build it first, unless it is published already", false)
  .addOption(
    new Option("--deltas <number>", "store a delta from each of so many images that went live last; 0: none")
      .env("DELTAS")
      .default(defaultDeltas)
      .argParser(deltaCount),
  )
  .addHelpText("after", example("publish --build --arch x86_64 --bucket images"))
  .action(async ({ bucket, build, deltas, ...options }: PublishVerbOptions) => {
    const [{ openStore }, { publish }, { readLiveLast }] = await Promise.all([
      import("./store/store.js"),
      import("./build/publish.js"),
      import("./pointer/pointer.js"),
    ]);
    const request = { root, ...options, commit: options.commit ?? (await newestCommit()) };
    const keyFile = process.env["ATTESTATION_KEY_FILE"] || undefined;
    const store = await openStore(bucket);
    print(
      await publish(store, request, {
        withBuild: build,
        trust: readTrust(process.env),
        keyFile,
        deltasFrom: () => readLiveLast(store, deltas),
      }),
    );
  });

verb(
  "boot-test",
  "Boot a published image from the bytes the CDN serves, let it run one job, and record how it went.",
)
  .addOption(commitOption().makeOptionMandatory())
  .addOption(archOption())
  .addOption(acceleratorOption())
  .addOption(bucketOption())
  .addOption(urlOption().makeOptionMandatory())
  .addOption(
    new Option("--timeout <seconds>", "how long the VM may take")
      .env("BOOT_TIMEOUT")
      .default(900)
      .argParser(positive),
  )
  .addOption(
    new Option(
      "--records <folder>",
      "boot nothing: take the record of another machine's boot that was handed over from here",
    ).env("BOOT_RECORDS"),
  )
  .addHelpText(
    "after",
    example("boot-test --commit <commit> --arch x86_64 --bucket images --url https://images.example.com"),
  )
  .action(async ({ bucket, timeout, ...options }: BootTestOptions) => {
    const [{ openStore }, { ensureBooted }] = await Promise.all([
      import("./store/store.js"),
      import("./boot/boot-record.js"),
    ]);
    const request = {
      ...options,
      trust: readTrust(process.env),
      cacheDirectory,
      logDirectory,
      timeoutMs: timeout * 1000,
    };
    print(await ensureBooted(await openStore(bucket), request));
  });

verb("promote", "Make a commit's image the one that hosts get, once it is proven complete.")
  .addOption(commitOption().makeOptionMandatory())
  .addOption(
    new Option("--seq <number>", "number of the move (default: the next)").env("SEQ").argParser(positive),
  )
  .addOption(
    new Option(
      "--stack <project/stack>",
      "hand the pointer over to this stack (default: it stays with its own)",
    ).env("STACK"),
  )
  .addOption(channelOption("the channel whose hosts get it (default: everybody)"))
  .addOption(architecturesOption())
  .addOption(bucketOption())
  .addOption(urlOption().makeOptionMandatory())
  .addHelpText("after", example("promote --commit <commit> --bucket images --url https://images.example.com"))
  .action(async ({ bucket, commit, seq, ...options }: PromoteOptions) => {
    const [{ openStore }, { inChannel }, { promote }, { nextSeq, readPointer }, { readNotes }, { showMove }] =
      await Promise.all([
        import("./store/store.js"),
        import("./store/channels.js"),
        import("./pointer/promote.js"),
        import("./pointer/pointer.js"),
        import("./pointer/notes.js"),
        import("./page/write.js"),
      ]);
    const [store, calendar, notes] = await Promise.all([
      openStore(bucket),
      readRunnerCalendar(),
      readNotes(root, commit),
    ]);
    const { channel, url } = options;
    const stored = await readPointer(inChannel(store, channel));
    const next = seq ?? nextSeq(stored, commit, options.stack);
    const request = { commit, seq: next, notes, ...options };
    const context = { calendar, trust: readTrust(process.env) };
    print(await promote(store, request, context, () => showMove(store, { url }, context)));
  });

verb("page", "Write the status page and its feed again, as every move does: what is stored, for people.")
  .addOption(bucketOption())
  .addOption(urlOption().makeOptionMandatory())
  .option("--all", "the pages of all moves too, where one was lost", false)
  .addHelpText("after", example("page --bucket images --url https://images.example.com"))
  .action(async ({ bucket, ...request }: PageOptions) => {
    const [{ openStore }, { writePage }] = await Promise.all([
      import("./store/store.js"),
      import("./page/write.js"),
    ]);
    const [store, calendar] = await Promise.all([openStore(bucket), readRunnerCalendar()]);
    print(await writePage(store, request, { calendar, trust: readTrust(process.env) }));
  });

verb(
  "verify",
  "Prove that a commit's image could go live: all objects, sizes, hashes, who built it, boot tests, the runner's age.",
)
  .option("--deep", "read every object to its end, the disk included, from the store and from the CDN", false)
  .addOption(commitOption().makeOptionMandatory())
  .addOption(architecturesOption())
  .addOption(bucketOption())
  .addOption(urlOption())
  .addHelpText("after", example("verify --commit <commit> --architectures x86_64 --bucket images"))
  .action(async ({ bucket, commit, architectures, url, deep }: VerifyOptions) => {
    if (deep && url === undefined)
      throw new UserError("verify --deep reads what hosts get, too: name the CDN's URL (--url)");
    const [{ openStore }, { prove }] = await Promise.all([
      import("./store/store.js"),
      import("./pointer/verify.js"),
    ]);
    const [store, calendar] = await Promise.all([openStore(bucket), readRunnerCalendar()]);
    const context = { calendar, trust: readTrust(process.env), now: new Date() };
    const { warnings, origins, ...proof } = await prove(store, commit, architectures, context);
    const damage = deep
      ? await (await import("./build/damage.js")).findDamage(store, url!, commit, architectures)
      : [];
    // What is damaged in the store is found by both.
    const problems = [...new Set([...proof.problems, ...damage])];
    print({ commit, architectures, problems, warnings, unproven: deep ? [] : proof.unproven, origins });
    if (problems.length > 0) throw new UserError(`${commit} cannot go live: ${problems.join("; ")}`);
  });

verb(
  "diff",
  "Show what differs between the images of two commits: packages, tools, sizes, boot time, runner, age.",
)
  .argument("<before>", "full commit hash", commit)
  .argument("<after>", "full commit hash", commit)
  .addOption(bucketOption().makeOptionMandatory(false))
  .addOption(urlOption())
  .addOption(
    new Option("--format <form>", "text, markdown for a comment, or one line of json")
      .choices(["text", "markdown", "json"])
      .default("text"),
  )
  .addHelpText("after", example("diff <commit> <commit> --url https://images.example.com"))
  .action(async (before: string, after: string, { bucket, url, format }: DiffOptions) => {
    const [{ readFacts }, { diffImages, diffMarkdown, diffText }] = await Promise.all([
      import("./compare/facts.js"),
      import("./compare/diff.js"),
    ]);
    const [store, calendar] = await Promise.all([openReader(bucket, url), readRunnerCalendar()]);
    const [one, other] = await Promise.all([
      readFacts(store, before, calendar),
      readFacts(store, after, calendar),
    ]);
    const diffs = diffImages(one, other, [before, after]);
    if (format === "json") print({ diffs });
    else process.stdout.write(`${format === "text" ? diffText(diffs) : diffMarkdown(diffs)}\n`);
  });

verb(
  "prune",
  "Show which images nothing holds any more, and why; with --delete, remove them, each after a record of it.",
)
  .addOption(bucketOption())
  .option("--delete", "remove them; takes credentials that may", false)
  .addOption(keepOption("images", "the newest that are proven", 20))
  .addOption(keepOption("days", "what is younger", 90))
  .addOption(keepOption("moves", "what the last moves name", 30))
  .addOption(
    new Option("--pinned <commits>", "what stacks are pinned to; empty: nothing (default: unknown)")
      .env("PINNED")
      .argParser(commitList),
  )
  .addOption(
    new Option(
      "--only <commits>",
      "of what would go, remove these alone: what somebody has seen and approved",
    )
      .env("ONLY")
      .argParser(commitList),
  )
  .option("--json", "print one JSON line instead of text", false)
  .addHelpText("after", example('prune --bucket images --pinned ""'))
  .action(async ({ bucket, delete: removes, pinned, only, json, ...keep }: PruneOptions) => {
    if (removes && pinned === undefined)
      throw new UserError(
        'prune --delete has to know what stacks are pinned to: name the commits (--pinned), or say that there are none (--pinned "")',
      );
    const [{ openStore }, { planPrune, prune }, { planText }] = await Promise.all([
      import("./store/store.js"),
      import("./retention/prune.js"),
      import("./retention/rule.js"),
    ]);
    const [store, newest] = await Promise.all([openStore(bucket), newestCommit()]);
    const retention = { images: keep.keepImages, days: keep.keepDays, moves: keep.keepMoves };
    const request = { retention, pinned: pinned ?? [], newest, only, now: new Date() };
    const plan = await planPrune(store, request);
    if (json) print({ verdicts: plan.verdicts, ...(removes && (await prune(store, plan, request))) });
    else {
      process.stdout.write(`${planText(plan.verdicts)}\n`);
      if (removes) print(await prune(store, plan, request));
    }
  });

verb("fetch", "Download and verify an image as a VM host would.")
  .addOption(commitOption("default: what latest names").conflicts("follow"))
  .addOption(archOption())
  .addOption(urlOption().makeOptionMandatory())
  .addOption(
    new Option("--directory <path>", "where images are kept")
      .env("IMAGES_DIRECTORY")
      .default(path.join(cacheDirectory, "images")),
  )
  .option(
    "--follow",
    "for a timer: <directory>/ubuntu-<arch>.qcow2 is a link to what latest names, and nothing is read or downloaded while that is the same (docs/hosts.md)",
    false,
  )
  .addOption(
    new Option(
      "--limit <GB>",
      "with --follow: remove the oldest images that nobody uses, until the rest takes no more",
    )
      .env("IMAGES_LIMIT")
      .argParser(positive),
  )
  .addOption(
    new Option("--metrics <file>", "with --follow: write a text file for Prometheus' node exporter").env(
      "IMAGES_METRICS",
    ),
  )
  .option(
    "--rehash",
    "with --follow: read and verify the image again, though nothing says that it changed",
    false,
  )
  .addHelpText("after", example("fetch --arch x86_64 --url https://images.example.com"))
  .action(async (options: HostOptions, command: Command) => {
    const trust = readTrust(process.env);
    if (trust === null) say("nobody is asked who built it: name its signer by IMAGES_SIGNER");
    if (options.follow) return print(await followWithMetrics(options, trust));
    const needing = (["limit", "metrics", "rehash"] as const).find((name) => options[name]);
    if (needing !== undefined) command.error(`error: --${needing} is of use with --follow only`);
    const { fetchImage } = await import("./host/fetch.js");
    print(await fetchImage({ ...options, trust }));
  });

verb(
  "status",
  "Show what is live and since when, what is pinned, and the last moves. Without a bucket: as the CDN shows it to anybody.",
)
  .addOption(bucketOption().makeOptionMandatory(false))
  .addOption(urlOption())
  .addOption(channelOption("of this channel's hosts (default: of everybody, with a line for each channel)"))
  .addOption(
    new Option("--pinned <commit>", 'the stack\'s "latest"; empty: not pinned (default: unknown)')
      .env("PINNED")
      .argParser(pinned),
  )
  .option("--json", "print one JSON line instead of text", false)
  .addHelpText("after", example("status --url https://images.example.com"))
  .action(
    async ({
      bucket,
      url,
      channel,
      pinned,
      json,
    }: Partial<StoreOptions> & { url?: string; channel?: string; pinned?: string; json: boolean }) => {
      const [{ readStatus, statusText }, { channelsIn, channelUrl, inChannel }] = await Promise.all([
        import("./pointer/status.js"),
        import("./store/channels.js"),
      ]);
      const base = url === undefined ? undefined : channelUrl(url, channel);
      const [store, calendar] = await Promise.all([openReader(bucket, base), readRunnerCalendar()]);
      const given = {
        url: base ?? null,
        // What is known of everybody's says nothing of a channel's.
        pinned: channel === undefined ? (pinned ?? null) : null,
        channels: channel === undefined && "folders" in store ? await channelsIn(store) : [],
      };
      const own = "folders" in store ? inChannel(store, channel) : store;
      const status = await readStatus(own, given, calendar);
      if (json) print(status);
      else process.stdout.write(`${statusText(status, new Date())}\n`);
    },
  );

interface StoreOptions {
  bucket: string;
}
interface SetOptions {
  architectures: Architecture[];
}
interface BuildOptions {
  commit?: string;
  arch: Architecture;
  base: "ubuntu" | "debian";
  profile: Profile;
  runner: "github" | "fixture";
  accelerator: "auto" | "kvm" | "tcg";
}
interface PublishVerbOptions extends StoreOptions, BuildOptions {
  build: boolean;
  deltas: number;
}
interface BootTestOptions extends StoreOptions, Pick<BuildOptions, "arch" | "accelerator"> {
  commit: string;
  url: string;
  timeout: number;
  records?: string;
}
interface HostOptions {
  commit?: string;
  arch: Architecture;
  url: string;
  directory: string;
  follow: boolean;
  limit?: number;
  metrics?: string;
  rehash: boolean;
}
interface VerifyOptions extends StoreOptions, SetOptions {
  commit: string;
  url?: string;
  deep: boolean;
}
interface DiffOptions extends Partial<StoreOptions> {
  url?: string;
  format: "text" | "markdown" | "json";
}
interface PruneOptions extends StoreOptions {
  delete: boolean;
  keepImages: number;
  keepDays: number;
  keepMoves: number;
  pinned?: string[];
  only?: string[];
  json: boolean;
}
interface PageOptions extends StoreOptions {
  url: string;
  all: boolean;
}
interface PromoteOptions extends StoreOptions, SetOptions {
  commit: string;
  seq?: number;
  stack?: string;
  channel?: string;
  url: string;
}

function verb(name: string, description: string): Command {
  return program.command(name).description(description).allowExcessArguments(false);
}

function example(args: string): string {
  return `\nExample: node release/main.mjs ${args}`;
}

function commitOption(note?: string): Option {
  const text = "full commit hash";
  return new Option("--commit <hash>", note === undefined ? text : `${text} (${note})`)
    .env("COMMIT")
    .argParser(commit);
}

function archOption(): Option {
  return new Option("--arch <architecture>", "architecture of the image")
    .env("ARCH")
    .choices(architectures)
    .default(hostArchitecture());
}

function architecturesOption(): Option {
  return new Option("--architectures <list>", "all that must be complete, separated by spaces or commas")
    .env("ARCHITECTURES")
    .default([...architectures], architectures.join(","))
    .argParser(architectureList);
}

function baseOption(): Option {
  return new Option("--base <kind>", "Ubuntu's cloud image, or a small Debian built from packages")
    .env("BASE")
    .choices(["ubuntu", "debian"])
    .default("ubuntu");
}

function profileOption(): Option {
  return new Option("--profile <name>", "full: all that jobs expect; small: only what the image itself needs")
    .env("PROFILE")
    .choices(profiles)
    .default("full");
}

function runnerOption(): Option {
  return new Option("--runner <kind>", "actions/runner, or the fixture that speaks run.sh --jitconfig")
    .env("RUNNER")
    .choices(["github", "fixture"])
    .default("github");
}

function acceleratorOption(): Option {
  return new Option("--accelerator <kind>", "auto: KVM where it works; kvm: or an error; tcg: emulation")
    .env("ACCELERATOR")
    .choices(["auto", "kvm", "tcg"])
    .default("auto");
}

function bucketOption(): Option {
  return new Option("--bucket <name>", "the S3 bucket").env("BUCKET").makeOptionMandatory();
}

function urlOption(): Option {
  return new Option("--url <url>", "public base URL of the CDN").env("IMAGES_URL").argParser(baseUrl);
}

/** Not by a shorter name: of the environment that a command inherits, one of those might be somebody else's. */
function channelOption(text: string): Option {
  return new Option("--channel <name>", text).env("IMAGES_CHANNEL").argParser(channelName);
}

function keepOption(what: "images" | "days" | "moves", text: string, count: number): Option {
  return new Option(`--keep-${what} <number>`, `so many ${what} are kept: ${text}`)
    .env(`KEEP_${what.toUpperCase()}`)
    .default(count)
    .argParser(positive);
}

function commit(text: string): string {
  if (!commitPattern.test(text)) throw new InvalidArgumentError("It must be 40 lowercase hex characters.");
  return text;
}

function channelName(text: string): string {
  if (!channelPattern.test(text) || reservedNames.includes(text))
    throw new InvalidArgumentError("It must be a channel's name, like canary.");
  return text;
}

function pinned(text: string): string {
  return text === "" ? text : commit(text);
}

function commitList(text: string): string[] {
  return text
    .split(/[\s,]+/)
    .filter((name) => name !== "")
    .map(commit);
}

function positive(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError("It must be a whole number from 1.");
  return Number(text);
}

function deltaCount(text: string): number {
  if (!/^\d{1,2}$/.test(text) || Number(text) > maxDeltas)
    throw new InvalidArgumentError(`It must be 0 to ${maxDeltas}.`);
  return Number(text);
}

function baseUrl(text: string): string {
  if (!/^https?:\/\/[^/]/.test(text) || !URL.canParse(text))
    throw new InvalidArgumentError("It must be a URL like https://images.example.com.");
  return text.replace(/\/+$/, "");
}

function architectureList(text: string): Architecture[] {
  const known: readonly string[] = architectures;
  const names = text.split(/[\s,]+/).filter((name) => name !== "");
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined || names.length === 0)
    throw new InvalidArgumentError(`It may hold only ${architectures.join(", ")}.`);
  return [...new Set(names)] as Architecture[];
}

/** The bucket where one is named, else what the CDN shows to anybody. */
async function openReader(
  bucket: string | undefined,
  url: string | undefined,
): Promise<S3Store | StoreReader> {
  const [{ openStore }, { publicStore }] = await Promise.all([
    import("./store/store.js"),
    import("./store/public-store.js"),
  ]);
  if (bucket !== undefined) return openStore(bucket);
  if (url !== undefined) return publicStore(url);
  throw new UserError("this needs the CDN's URL (--url), or a bucket (--bucket)");
}

/** This machine's; undefined where we have no image for it, so that the option must be given. */
function hostArchitecture(): Architecture | undefined {
  return ({ x64: "x86_64", arm64: "aarch64" } as Record<string, Architecture>)[process.arch];
}

/** Metrics are written however it ends, and after a failure they are those of the image that this host goes on with. */
async function followWithMetrics(options: HostOptions, trust: Trust | null): Promise<Followed> {
  const { follow } = await import("./host/follow.js");
  const { metrics, limit } = options;
  const request = { ...options, trust, limit: limit === undefined ? null : limit * 1e9 };
  if (metrics === undefined) return await follow(request);
  const { writeMetrics } = await import("./host/metrics.js");
  const calendar = await readRunnerCalendar();
  const write = (exitCode: number) => writeMetrics(metrics, options, calendar.usability, exitCode);
  try {
    const followed = await follow(request);
    await write(exitCodes.done);
    return followed;
  } catch (error) {
    await write(cancellationExitCode() ?? exitCodeOf(error)).catch((other: unknown) =>
      say(describeError(other)),
    );
    throw error;
  }
}

/** The runner's releases as this checkout, and on GitHub's machines GitHub, knows them now. */
async function readRunnerCalendar(): Promise<RunnerCalendar> {
  const { readCalendar } = await import("./pointer/runner-releases.js");
  const calendar = await readCalendar({ root, environment: process.env });
  for (const line of calendar.blind) say(line);
  return calendar;
}

async function newestCommit(): Promise<string> {
  const { newestImage } = await import("./build/source.js");
  return (await newestImage(root)).commit;
}

onCancel();
try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : exitCodes.usage;
  } else if (cancellationExitCode() !== null) {
    say("cancelled");
  } else {
    say(describeError(error));
    process.exitCode = exitCodeOf(error);
  }
}
// Not left to the event loop: a connection that is kept alive would hold up what comes next.
process.exit(cancellationExitCode() ?? process.exitCode);
