import { chmod, mkdtemp, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { laneOf, readLane } from "../../../.github/scripts/lane.js";
import { checkout } from "../../../local/paths.js";

const a = "a".repeat(40);
const b = "b".repeat(40);
const line = (commit: string) => `  runner-images:latest: ${commit}\n`;
const committed = await readFile(path.join(checkout, "Pulumi.prod.yaml"), "utf8");
const pinned = `${committed}${line(a)}`;
const channels = `${committed}  runner-images:channels:\n    canary:\n      promote: after 24h\n`;
const channelLine = (commit: string) => `      latest: ${commit}\n`;

/** What git says of a change of production's file and no other. */
const modified = `:100644 100644 ${a} ${b} M\0Pulumi.prod.yaml\0`;

describe("the rollback lane", () => {
  it.each<[string, string, string]>([
    ["pins production", committed, pinned],
    ["pins it to another commit", pinned, `${committed}${line(b)}`],
    ["unpins it", pinned, committed],
    ["pins it above other settings", committed, committed.replace("config:\n", `config:\n${line(a)}`)],
    [
      "pins it as Pulumi writes a commit that is a number",
      pinned,
      `${committed}${line(`"${"1".repeat(40)}"`)}`,
    ],
    ["pins a channel", channels, `${channels}${channelLine(a)}`],
    ["pins a channel to another commit", `${channels}${channelLine(a)}`, `${channels}${channelLine(b)}`],
    ["unpins a channel", `${channels}${channelLine(a)}`, channels],
    ["pins a channel and production", channels, `${channels}${channelLine(a)}${line(a)}`],
  ])("is that of a change which %s", (_, before, after) => {
    expect(laneOf(modified, before, after)).toBe("rollback");
  });

  it.each<[string, string, string]>([
    ["one other byte too", pinned, `${committed.replace("us-east-1", "us-east-2")}${line(b)}`],
    ["a comment too", pinned, `# why\n${committed}${line(b)}`],
    ["a comment behind the line", pinned, `${committed}${line(`${b} # why`)}`],
    ["an empty line too", pinned, `${committed}\n${line(b)}`],
    ["the indentation", pinned, `${committed}  ${line(b)}`],
    ["line ends to CRLF", pinned, `${committed}${line(b)}`.replaceAll("\n", "\r\n")],
    ["that line's end to CRLF", pinned, `${committed}${line(`${b}\r`)}`],
    ["the end of the file, which has none", committed.trimEnd(), pinned],
    ["a byte that is no text, beside it", `${pinned}#\xe9\n`, `${committed}${line(b)}#\xe8\n`],
    ["it to a short commit", pinned, `${committed}${line("bbbbbbb")}`],
    ["it to a branch", pinned, `${committed}${line("main")}`],
    ["it to nothing", pinned, `${committed}${line("")}`],
    ["it to what YAML takes for a number", pinned, `${committed}${line("1".repeat(40))}`],
    ["its value to two lines", pinned, `${committed}  runner-images:latest:\n    ${b}\n`],
    ["a second line of that key", pinned, `${pinned}${line(b)}`],
    ["a key of another name", pinned, `${pinned}  runner-images:latestBase: ${b}\n`],
    [
      "the key of another section",
      `${committed}other:
  x: 1
`,
      `${committed}other:
  x: 1
${line(a)}`,
    ],
    [
      "a text in which that line stands",
      `${committed}x: |
${line(a)}`,
      `${committed}x: |
${line(b)}`,
    ],
    ["a channel's rule too", channels, `${channels.replace("24h", "1h")}${channelLine(a)}`],
    ["a channel to a branch", channels, `${channels}${channelLine("main")}`],
    ["a channel to what YAML takes for a number", channels, `${channels}${channelLine("1".repeat(40))}`],
    ["a channel that is new", committed, `${channels}${channelLine(a)}`],
    [
      "which channel is pinned, by its name",
      `${channels}${channelLine(a)}`,
      `${channels.replace("canary", "early")}${channelLine(a)}`,
    ],
    [
      "the same key of something else",
      `${channels}other:\n    x:\n      y: 1\n`,
      `${channels}other:\n    x:\n      y: 1\n${channelLine(a)}`,
    ],
  ])("is not that of a change which changes %s", (_, before, after) => {
    expect(laneOf(modified, before, after)).toBe("ordinary");
  });
});

let root: string;
const git = async (...args: string[]) =>
  (await execa("git", ["-c", "user.name=t", "-c", "user.email=t@example.org", ...args], { cwd: root }))
    .stdout;
const file = (name = "Pulumi.prod.yaml") => path.join(root, name);
const write = (text: string | Buffer, name?: string) => writeFile(file(name), text);
const commit = async () => {
  await git("add", "--all");
  await git("commit", "--quiet", "--allow-empty", "--message", "a change");
};

const rolledBack = `${committed}${line(b)}`;
/** The lane of a branch which changes the pinned file of production, in a checkout that also has the local stack's. */
async function laneOfBranch(change: () => Promise<unknown>): Promise<string> {
  await write(pinned);
  await write("config: {}\n", "Pulumi.local.yaml");
  await commit();
  await git("switch", "--quiet", "--create", "change");
  await change();
  await commit();
  return readLane(root, "main");
}

describe("the lane of a branch", () => {
  beforeEach(async () => {
    root = await mkdtemp(path.join(tmpdir(), "lane-"));
    await git("init", "--quiet", "--initial-branch", "main");
  });
  afterEach(() => rm(root, { recursive: true }));

  it("is the rollback's where it changes the pin", async () => {
    expect(await laneOfBranch(() => write(rolledBack))).toBe("rollback");
  });

  it.each<[string, () => Promise<unknown>]>([
    ["nothing", () => Promise.resolve()],
    ["the local stack's pin", () => write(`config:\n${line(b)}`, "Pulumi.local.yaml")],
    [
      "both stacks' pins",
      async () => {
        await write(rolledBack);
        await write(`config:\n${line(b)}`, "Pulumi.local.yaml");
      },
    ],
    [
      "another file too",
      async () => {
        await write(rolledBack);
        await write("x", "index.ts");
      },
    ],
    [
      "the file's mode too",
      async () => {
        await write(rolledBack);
        await chmod(file(), 0o755);
      },
    ],
    ["the file's mode alone", () => chmod(file(), 0o755)],
    ["the file's name", () => rename(file(), file("Pulumi.other.yaml"))],
    [
      "the file for a link to another one",
      async () => {
        await rename(file(), file("elsewhere"));
        await symlink("elsewhere", file());
      },
    ],
    ["that the file is there", () => rm(file())],
  ])("is ordinary where it changes %s", async (_, change) => {
    expect(await laneOfBranch(change)).toBe("ordinary");
  });

  it("is ordinary where it adds the file", async () => {
    await write("x", "index.ts");
    await commit();
    await git("switch", "--quiet", "--create", "change");
    await write(pinned);
    await commit();
    expect(await readLane(root, "main")).toBe("ordinary");
  });

  it("is that of what the branch changes, not at what main has changed since, and at all of its commits", async () => {
    const lane = await laneOfBranch(() => write(rolledBack));
    await git("switch", "--quiet", "main");
    await write("new", "index.ts");
    await commit();
    await git("switch", "--quiet", "change");
    expect([lane, await readLane(root, "main")]).toEqual(["rollback", "rollback"]);
    await write("evil", "index.ts");
    await commit();
    await commit();
    expect(await readLane(root, "main")).toBe("ordinary");
  });
});
