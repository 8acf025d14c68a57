import { once } from "node:events";
import { createHash } from "node:crypto";
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readStages, type Boot, type Build } from "../../../.github/scripts/build-plan.js";
import { everybodysPointer } from "../../../.github/scripts/upkeep.js";
import { checkout } from "../../../local/paths.js";
import { findBuilt } from "../../../release/build/build.js";
import { findBootRecord } from "../../../release/boot/hand-over.js";
import { runnerReleasesFile } from "../../../release/pointer/runner-releases.js";
import { keys, type Architecture } from "../../../release/store/keys.js";
import { jsonText } from "../../../release/store/store.js";
import { bootRecordOf, factsOf, imageObjects } from "../release/memory-store.js";

let folder: string;
beforeEach(async () => (folder = await mkdtemp(path.join(tmpdir(), "workflow-scripts-"))));
afterEach(() => rm(folder, { recursive: true, force: true }));

/** A command on PATH. */
async function command(name: string, script: string): Promise<void> {
  await writeFile(path.join(folder, name), script);
  await chmod(path.join(folder, name), 0o755);
}
const environment = () => ({ PATH: `${folder}:${process.env.PATH}`, GITHUB_REPOSITORY: "octo/images" });
const script = (name: string) => path.join(checkout, ".github", "scripts", name);

describe("upsert.sh", () => {
  /** Answers lists with `found`, and notes what is sent. */
  async function upsert(found: unknown[][], text: string, ...args: string[]) {
    await writeFile(path.join(folder, "found"), found.map((page) => JSON.stringify(page)).join(""));
    await command(
      "gh",
      `#!/bin/sh
case $2 in
  --paginate) echo "$3" >> ${folder}/asked; cat ${folder}/found ;;
  --method) { printf '%s %s ' "$3" "$4"; cat; } >> ${folder}/sent ;;
esac
`,
    );
    const result = await execa(script("upsert.sh"), args, { input: text, env: environment(), reject: false });
    const sent = await readFile(path.join(folder, "sent"), "utf8").catch(() => "");
    const [, method, resource, body] = /^(\w+) (\S+) (\{[^]*\})\s*$/.exec(sent) ?? [];
    return {
      exitCode: result.exitCode,
      request: method === undefined ? null : `${method} ${resource}`,
      body:
        body === undefined ? null : (JSON.parse(body) as { body: string; title?: string; state?: string }),
    };
  }
  const bot = { login: "github-actions[bot]" };
  const comment = { id: 5, user: bot, body: "<!-- runner-images: comment -->\n\nold" };
  const issue = { id: 9, number: 3, user: bot, body: "<!-- runner-images: issue -->\n\nold" };

  it("makes the first comment", async () => {
    const { request, body } = await upsert([[]], "new", "comment", "7");
    expect(request).toBe("POST repos/octo/images/issues/7/comments");
    expect(body!.body).toBe("<!-- runner-images: comment -->\n\nnew\n");
  });

  it("edits it from then on, also where it is on a later page", async () => {
    const { request } = await upsert(
      [[{ id: 1, user: bot, body: "other" }], [comment]],
      "new",
      "comment",
      "7",
    );
    expect(request).toBe("PATCH repos/octo/images/issues/comments/5");
  });

  it("leaves alone what somebody else wrote with our marker", async () => {
    const foreign = { ...comment, user: { login: "mallory" } };
    expect((await upsert([[foreign]], "new", "comment", "7")).request).toMatch(/^POST/);
    const quoted = { ...comment, body: `> ${comment.body}` };
    await rm(path.join(folder, "sent"));
    expect((await upsert([[quoted]], "new", "comment", "7")).request).toMatch(/^POST/);
  });

  it("keeps a text as it is, whatever is in it", async () => {
    const text = "$(touch x) `y` \"z\" '\\n' %s ${{ a }}";
    expect((await upsert([[]], text, "comment", "7")).body!.body).toContain(text);
  });

  it("makes, edits and closes one issue", async () => {
    const made = await upsert([[]], "bad", "issue", "Attention");
    expect(made).toMatchObject({ request: "POST repos/octo/images/issues", body: { title: "Attention" } });
    await rm(path.join(folder, "sent"));
    const edited = await upsert([[issue]], "worse", "issue", "Attention");
    expect(edited.request).toBe("PATCH repos/octo/images/issues/3");
    expect(edited.body!.state).toBeUndefined();
    await rm(path.join(folder, "sent"));
    const closed = await upsert([[issue]], "", "issue", "Attention");
    expect(closed).toMatchObject({ request: "PATCH repos/octo/images/issues/3", body: { state: "closed" } });
    expect(await readFile(path.join(folder, "asked"), "utf8")).toContain("issues?state=open");
  });

  it("takes no pull request for an issue, and does nothing where all was well already", async () => {
    const pull = { ...issue, pull_request: {} };
    expect(await upsert([[pull]], "", "issue", "Attention")).toEqual({
      exitCode: 0,
      request: null,
      body: null,
    });
  });

  it("fails, and makes no second one, where GitHub cannot be asked", async () => {
    await command("gh", `#!/bin/sh\n[ "$2" = --method ] && touch ${folder}/sent\nexit 1\n`);
    const result = await execa(script("upsert.sh"), ["comment", "7"], {
      input: "new",
      env: environment(),
      reject: false,
    });
    expect(result.exitCode).not.toBe(0);
    await expect(readFile(path.join(folder, "sent"))).rejects.toThrow();
  });
});

describe("propose-pins.sh", () => {
  const inputs = "image/inputs.json";
  const workflow = ".github/workflows/a.yml";
  let work: string;
  const git = async (...args: string[]) =>
    (await execa("git", ["-c", "user.name=t", "-c", "user.email=t@example.org", ...args], { cwd: work }))
      .stdout;

  /** A checkout of main, whose origin is a repository in the test's folder. */
  beforeEach(async () => {
    work = path.join(folder, "work");
    await execa("git", ["init", "--quiet", "--bare", path.join(folder, "origin.git")]);
    await execa("git", ["init", "--quiet", "--initial-branch", "main", work]);
    await git("remote", "add", "origin", path.join(folder, "origin.git"));
    for (const [file, text] of [
      [inputs, '{"old": 1}\n'],
      [workflow, "on: push\n"],
      ["preflight.ts", "old\n"],
    ] as const)
      await write(file, text);
    await git("add", "--all");
    await git("commit", "--quiet", "--message", "main");
    await git("push", "--quiet", "origin", "main");
  });
  const write = async (file: string, text: string) => {
    await mkdir(path.dirname(path.join(work, file)), { recursive: true });
    await writeFile(path.join(work, file), text);
  };

  /**
   * Runs it with the patch of a change.
   * @param open the pull requests that gh shows, as it writes them
   */
  async function propose(change: () => Promise<unknown>, open: object[] = []) {
    await change();
    await git("add", "--all");
    const patch = await git("diff", "--cached", "--binary");
    await git("reset", "--quiet", "--hard");
    const [patchFile, tableFile] = ["patch", "table"].map((name) => path.join(folder, name));
    await writeFile(patchFile!, `${patch}\n`);
    await writeFile(tableFile!, "runner 1 → 2 `x` $(touch y)\n");
    await writeFile(path.join(folder, "open"), JSON.stringify(open));
    await command(
      "gh",
      `#!/bin/sh
case "$1 $2" in
  "pr list") while [ "$1" != --jq ]; do shift; done; jq --raw-output "$2" < ${folder}/open ;;
  *) printf '%s\\n' "$@" > ${folder}/asked ;;
esac
`,
    );
    const env = { ...environment(), APP: "upkeep[bot]", GH_TOKEN: "secret" };
    const options = { cwd: work, env, reject: false } as const;
    const result = await execa(script("propose-pins.sh"), [patchFile!, tableFile!], options);
    const asked = await readFile(path.join(folder, "asked"), "utf8").catch(() => "");
    await rm(path.join(folder, "asked"), { force: true });
    const branch = await git("ls-remote", "origin", "refs/heads/upkeep/pins");
    await git("reset", "--quiet", "--hard", "origin/main");
    return { exitCode: result.exitCode, said: result.stdout, error: result.stderr, asked, branch };
  }
  const ours = { number: 7, isCrossRepository: false };
  const renewed = (text: string) => () => write(inputs, text);

  it("pushes one commit on main to its branch, and opens a pull request with the table", async () => {
    const { exitCode, asked, branch } = await propose(renewed('{"new": 1}\n'));
    expect(exitCode).toBe(0);
    expect(branch).not.toBe("");
    expect(asked).toMatch(/^pr\ncreate\n--head\nupkeep\/pins\n--base\nmain\n/);
    expect(asked).toContain("\n```\nrunner 1 → 2 `x` $(touch y)\n```\n");
    await git("fetch", "--quiet", "origin", "upkeep/pins");
    expect(await git("log", "--format=%an %s", "main..FETCH_HEAD")).toBe("upkeep[bot] Renew the pins");
    expect(await git("diff", "--name-only", "main", "FETCH_HEAD")).toBe(inputs);
  });

  it("renews the one that is open, and leaves it alone where it says the same already", async () => {
    const first = await propose(renewed("2\n"));
    const second = await propose(renewed("3\n"), [ours]);
    expect(second.asked).toMatch(/^pr\nedit\n7\n--body\n/);
    expect(second.branch).not.toBe(first.branch);
    const third = await propose(renewed("3\n"), [ours]);
    expect(third).toMatchObject({ exitCode: 0, asked: "", branch: second.branch });
    expect(third.said).toBe("#7 proposes this already");
  });

  it("is not led astray by a fork's pull request from a branch of the same name", async () => {
    const { asked } = await propose(renewed("2\n"), [{ number: 6, isCrossRepository: true }]);
    expect(asked).toMatch(/^pr\ncreate\n/);
  });

  it.each<[string, () => Promise<unknown>, RegExp]>([
    [
      "a file that holds no pin",
      () => write("preflight.ts", "new\n"),
      /changes preflight\.ts, which holds no pin/,
    ],
    ["a new file", () => write("image/new.json", "{}\n"), /changes image\/new\.json, which holds no pin/],
    [
      "a workflow",
      () => write(workflow, "on: pull_request_target\n"),
      /changes \.github\/workflows\/a\.yml, which holds no pin/,
    ],
    [
      "a script among the pins",
      () => chmod(path.join(work, inputs), 0o755),
      /does not only change what is in files/,
    ],
    ["a deleted file", () => rm(path.join(work, inputs)), /does not only change what is in files/],
  ])("refuses a patch with %s, and pushes nothing", async (_, change, reason) => {
    const { exitCode, error, asked, branch } = await propose(change);
    expect(error).toMatch(reason);
    expect({ exitCode, asked, branch }).toEqual({ exitCode: 1, asked: "", branch: "" });
  });

  it("says that main has moved where the patch does not fit", async () => {
    await write(inputs, "other\n");
    await git("commit", "--quiet", "--all", "--message", "other");
    const patch = path.join(folder, "patch");
    await writeFile(
      patch,
      "diff --git a/image/inputs.json b/image/inputs.json\n--- a/image/inputs.json\n+++ b/image/inputs.json\n@@ -1 +1 @@\n-old\n+new\n",
    );
    const { exitCode, stderr } = await execa(script("propose-pins.sh"), [patch, patch], {
      cwd: work,
      env: { ...environment(), APP: "a" },
      reject: false,
    });
    expect(exitCode).toBe(1);
    expect(stderr).toContain("error: the patch does not fit main: it has moved");
  });
});

/** Runs one of the scripts as a workflow does, in a folder of its own, with a `pulumi` that does what is said. */
async function run(name: string, pulumi: string, env: Record<string, string> = {}, cwd = checkout) {
  await command("pulumi", `#!/bin/sh\necho "$*" >> ${folder}/ran\n${pulumi}\n`);
  const result = await execa(process.execPath, ["--import", "tsx", script(name)], {
    cwd,
    env: {
      ...environment(),
      GITHUB_OUTPUT: `${folder}/output`,
      GITHUB_STEP_SUMMARY: `${folder}/summary`,
      ...env,
    },
    reject: false,
  });
  const [ran, output, summary] = await Promise.all(
    ["ran", "output", "summary"].map((file) => readFile(path.join(folder, file), "utf8").catch(() => "")),
  );
  return {
    ...{ exitCode: result.exitCode, stdout: result.stdout, said: result.stderr },
    ...{ ran, output: output!, summary: summary! },
  };
}
/** What a script set as outputs. */
function outputs(text: string): Record<string, string> {
  return Object.fromEntries(
    [...text.matchAll(/^(\w+)<<(\S+)\n([^]*?)\n\2$/gm)].map(([, name, , value]) => [name!, value!]),
  );
}

/** A checkout with an image, and production's stack with these settings beside its architectures. */
async function makeCheckout(settings = "") {
  const root = path.join(folder, "checkout");
  const git = async (...args: string[]) =>
    (await execa("git", ["-c", "user.name=t", "-c", "user.email=t@example.org", ...args], { cwd: root }))
      .stdout;
  await execa("git", ["init", "--quiet", "--initial-branch", "main", root]);
  await mkdir(path.join(root, "image"));
  await writeFile(path.join(root, "image", "Makefile"), "");
  await writeFile(path.join(root, ".gitignore"), "build\nnode_modules\n");
  await copyFile(path.join(checkout, "Pulumi.yaml"), path.join(root, "Pulumi.yaml"));
  await writeFile(
    path.join(root, "Pulumi.prod.yaml"),
    `config:\n  runner-images:architectures: [x86_64, aarch64]\n${settings}`,
  );
  await git("add", "--all");
  await git("commit", "--quiet", "--message", "an image");
  await symlink(path.join(checkout, "node_modules"), path.join(root, "node_modules"));
  return { root, git, commit: await git("rev-parse", "HEAD") };
}

/** Of a stack on AWS, which believes its repository's deploys. */
const productionSettings = `  aws:region: us-east-1
  aws:allowedAccountIds: ["000000000000"]
  runner-images:store: aws
  runner-images:bucket: images
  runner-images:repository: octo/images
  runner-images:state: s3://state
  runner-images:stateKey: alias/state
`;

/** A CDN that shows these objects, by key, and nothing else. */
async function serve(
  objects: Record<string, string>,
): Promise<{ url: string; asked: string[]; close: () => void }> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    asked.push(request.url!);
    const text = objects[request.url!.slice(1)];
    response.writeHead(text === undefined ? 404 : 200).end(text);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, asked, close: () => server.close() };
}
const booted = (commit: string, arch: Architecture) => Object.fromEntries(imageObjects(commit, arch));
const published = (commit: string, arch: Architecture) =>
  Object.fromEntries(imageObjects(commit, arch).filter(([key]) => key !== keys.bootRecord(commit, arch)));

/** What a build left, and its hashes as the build job hands them over. */
async function makeBuild(arch: string, commit: string, target: string, facts: object = {}) {
  const built = {
    ...factsOf(arch as Architecture),
    ...{ base: { kind: "ubuntu", name: "noble", sha256: "b".repeat(64) }, profile: "full" },
    ...facts,
  };
  await mkdir(target, { recursive: true });
  const sums: string[] = [];
  for (const [file, text] of [
    [`ubuntu-${arch}.qcow2`, `disk of ${arch}`],
    [`ubuntu-${arch}.build.json`, JSON.stringify(built)],
  ] as const) {
    await writeFile(path.join(target, file), text);
    sums.push(`${createHash("sha256").update(text).digest("hex")}  images/${commit}/${file}`);
  }
  return sums.join("\n");
}

const timeout = 120_000;

describe("preview.ts", () => {
  it(
    "makes the comment of what Pulumi says, and ends as it ends, also where it fails",
    { timeout },
    async () => {
      const good = await run("preview.ts", "echo '+ create'", { HEAD_SHA: "c0ffee" });
      expect(good.exitCode).toBe(0);
      expect(good.ran).toMatch(/^preview --stack prod --diff /);
      expect(good.output).toMatch(
        /^comment<<(\S+)\n### What a merge would do\n[^]*c0ffee[^]*```\n\+ create\n```\n\1\n$/,
      );
      expect(good.output).toMatch("Hosts keep the image they have.");
      await rm(path.join(folder, "output"));
      const says = [
        "printf ' pulumi:pulumi:Stack fleet: image a → b\\n pulumi:pulumi:Stack fleet: packages and tools: the same\\n'",
        "printf 'Diagnostics:\\n    fleet: image a → b\\n    fleet: packages and tools: the same\\n'",
      ].join("; ");
      const moving = await run("preview.ts", says);
      expect(moving.output).toMatch(
        /would do\n\n- image a → b\n- packages and tools: the same\n\n`pulumi preview/,
      );
      await rm(path.join(folder, "output"));
      const bad = await run("preview.ts", "echo 'error: no such pin' >&2; exit 3");
      expect(bad.exitCode).toBe(3);
      expect(bad.output).toMatch(/The preview failed[^]*error: no such pin/);
    },
  );
});

describe("pulumi.ts", () => {
  it(
    "keeps the state where the reviewed stack file says, whatever a variable does",
    { timeout },
    async () => {
      const thief = { PULUMI_BACKEND_URL: "s3://thief?endpoint=thief.example" };
      const { output } = await run("preview.ts", 'echo "+ state $PULUMI_BACKEND_URL"', thief);
      expect(output).toMatch(/^\+ state s3:\/\/example-pulumi-state$/m);
    },
  );
});

describe("free-disk.sh", () => {
  /** A `df` that says so many GB are free, one more for each folder that `sudo` removes. */
  const room = async (enough: number, free: number) => {
    await writeFile(path.join(folder, "removed"), "");
    await command("df", `#!/bin/sh\necho Avail\necho " $((${free} + $(wc -l < ${folder}/removed)))"\n`);
    await command("sudo", `#!/bin/sh\n[ "$1 $2" = "rm -rf" ] && echo "$3" >> ${folder}/removed\n`);
    const { stdout, exitCode } = await execa(script("free-disk.sh"), [String(enough)], {
      env: environment(),
    });
    expect(exitCode).toBe(0);
    return {
      stdout,
      removed: (await readFile(path.join(folder, "removed"), "utf8")).split("\n").slice(0, -1),
    };
  };

  it("removes nothing where there is room, and otherwise no more than it takes", async () => {
    expect(await room(25, 25)).toEqual({ stdout: "25 GB free", removed: [] });
    expect(await room(25, 23)).toEqual({
      stdout: "25 GB free",
      removed: ["/usr/local/lib/android", "/usr/share/dotnet"],
    });
  });

  it("goes on where it is still not enough: what needs more says so itself", async () => {
    expect((await room(99, 3)).stdout).toBe("8 GB free");
  });
});

describe("changes.ts", () => {
  it("tells lane, image and builds of a branch; a lane of its own takes a preview", { timeout }, async () => {
    const { root, git } = await makeCheckout();
    await git("switch", "--quiet", "--create", "rollback");
    const pin = `  runner-images:latest: ${"a".repeat(40)}\n`;
    await writeFile(path.join(root, "Pulumi.prod.yaml"), pin, { flag: "a" });
    await git("commit", "--quiet", "--all", "--message", "Roll back");
    const rollback = await run("changes.ts", "", { BASE: "main", CAN_PREVIEW: "true" }, root);
    expect(outputs(rollback.output)).toMatchObject({ lane: "rollback", image: "false" });
    expect(JSON.parse(outputs(rollback.output)["builds"]!)).toHaveLength(2);
    await writeFile(path.join(root, "image", "Makefile"), "new");
    await git("commit", "--quiet", "--all", "--message", "another image");
    await rm(path.join(folder, "output"));
    const image = await run("changes.ts", "", { BASE: "main", CAN_PREVIEW: "false" }, root);
    expect(outputs(image.output)).toMatchObject({ lane: "ordinary", image: "true" });
  });

  it("has no image built of a revert to what is published and booted", { timeout }, async () => {
    const { root, git, commit } = await makeCheckout();
    await writeFile(path.join(root, "image", "Makefile"), "new");
    await git("commit", "--quiet", "--all", "--message", "another image");
    await git("switch", "--quiet", "--create", "back");
    await git("revert", "--no-edit", "HEAD");
    const cdn = await serve({ ...booted(commit, "x86_64"), ...published(commit, "aarch64") });
    const env = { BASE: "main", CAN_PREVIEW: "true", IMAGES_URL: cdn.url };
    const one = outputs((await run("changes.ts", "", env, root)).output);
    expect(one["image"]).toBe("true");
    expect(JSON.parse(one["builds"]!)).toMatchObject([{ arch: "aarch64" }]);
    cdn.close();
    const both = await serve({ ...booted(commit, "x86_64"), ...booted(commit, "aarch64") });
    await rm(path.join(folder, "output"));
    const none = await run("changes.ts", "", { ...env, IMAGES_URL: both.url }, root);
    expect(outputs(none.output)).toMatchObject({ image: "false", builds: "[]" });
    both.close();
  });
});

describe("plan.ts", () => {
  const plan = async (objects: (commit: string) => Record<string, string>, settings?: string) => {
    const { root, commit } = await makeCheckout(settings);
    const cdn = await serve(objects(commit));
    const { exitCode, output, said, summary } = await run("plan.ts", "", { IMAGES_URL: cdn.url }, root);
    cdn.close();
    expect(exitCode, said).toBe(0);
    const { builds, boots, move } = outputs(output);
    return {
      ...{ commit, summary, move },
      ...{ builds: JSON.parse(builds!) as Build[], boots: JSON.parse(boots!) as Boot[] },
    };
  };

  it(
    "has built what the CDN does not show, booted that too, and moves a pinned pointer before",
    { timeout },
    async () => {
      const pin = `  runner-images:latest: ${"a".repeat(40)}\n`;
      const { commit, builds, boots, move } = await plan((commit) => booted(commit, "x86_64"), pin);
      expect(move).toBe("true");
      expect(builds).toMatchObject([{ arch: "aarch64", base: "ubuntu", minutes: 240 }]);
      expect(boots).toEqual([{ arch: "aarch64", commit, accelerator: "tcg", minutes: 75 }]);
    },
  );

  it("moves a channel that is stopped by its pin before what is to be built", { timeout }, async () => {
    const pin = `  runner-images:channels: {canary: {latest: ${"a".repeat(40)}}}\n`;
    expect((await plan(() => ({}), pin)).move).toBe("true");
    await rm(path.join(folder, "checkout"), { recursive: true });
    await rm(path.join(folder, "output"));
    expect((await plan(() => ({}), "  runner-images:channels: {canary: {}}\n")).move).toBe("false");
  });

  it("has booted, not built, what an earlier run published alone", { timeout }, async () => {
    const { commit, builds, boots, move, summary } = await plan((commit) => ({
      ...published(commit, "x86_64"),
      ...booted(commit, "aarch64"),
    }));
    expect({ builds, move }).toEqual({ builds: [], move: "false" });
    expect(boots).toEqual([{ arch: "x86_64", commit, accelerator: "kvm", minutes: 60 }]);
    expect(summary).toContain(`Of ${commit}, to build: nothing; to boot: x86_64.`);
  });

  it("has nothing built and nothing booted where all is done", { timeout }, async () => {
    const { builds, boots, move } = await plan((commit) => ({
      ...booted(commit, "x86_64"),
      ...booted(commit, "aarch64"),
    }));
    expect({ builds, boots, move }).toEqual({ builds: [], boots: [], move: "false" });
  });

  it("asks the CDN, and takes what it does not tell, or tells wrongly, for not done", async () => {
    const commit = "c".repeat(40);
    const stage = async (objects: Record<string, string>) => {
      const cdn = await serve(objects);
      const stages = await readStages(cdn.url, commit, ["x86_64"]);
      cdn.close();
      expect(new Set(cdn.asked).size).toBe(cdn.asked.length);
      return stages.get("x86_64");
    };
    const manifestAlone = published(commit, "x86_64");
    const withRecord = (text: string) => ({ ...manifestAlone, [keys.bootRecord(commit, "x86_64")]: text });
    expect(await stage({})).toBe("none");
    expect(await stage(manifestAlone)).toBe("published");
    expect(await stage(booted(commit, "x86_64"))).toBe("booted");
    expect(await stage(withRecord("<html>"))).toBe("published");
    const failed = bootRecordOf(commit, "x86_64", { result: "failed", reason: "panic" });
    expect(await stage(withRecord(jsonText(failed)))).toBe("published");
    const other = bootRecordOf(commit, "x86_64", { diskSha256: "6".repeat(64) });
    expect(await stage(withRecord(jsonText(other)))).toBe("published");
    expect(await readStages("http://127.0.0.1:1", commit, ["x86_64"])).toEqual(new Map([["x86_64", "none"]]));
    expect(await readStages("", commit, ["x86_64"])).toEqual(new Map([["x86_64", "none"]]));
  });
});

/** A pointer as it is after its first move, then, below a channel's name where it is one. */
function pointed(commit: string, promotedAt: string, below = ""): Record<string, string> {
  const entry = jsonText({ seq: 1, commit, previous: null, promotedAt });
  return {
    [below + keys.latest]: `${commit}\n`,
    [below + keys.latestJson]: entry,
    [below + keys.pointer(1)]: entry,
  };
}
const longAgo = "2026-01-01T00:00:00.000Z";
const before = "b".repeat(40);
const withCanary = `${productionSettings}  runner-images:channels: {canary: {promote: after 24h}}\n`;

describe("channels.ts", () => {
  const look = async (
    settings: string,
    objects: (commit: string) => Record<string, string>,
  ): Promise<{ due: string | undefined; summary: string; commit: string; asked: string[] }> => {
    const { root, commit } = await makeCheckout(settings);
    const cdn = await serve(objects(commit));
    const { exitCode, output, said, summary } = await run("channels.ts", "", { IMAGES_URL: cdn.url }, root);
    cdn.close();
    expect(exitCode, said).toBe(0);
    return { commit, summary, asked: cdn.asked, due: outputs(output)["due"] };
  };

  it("has the stack updated where an image was in the channel for its time", { timeout }, async () => {
    const { due, summary, commit } = await look(withCanary, (commit) => ({
      ...pointed(before, longAgo),
      ...pointed(commit, longAgo, "canary/"),
    }));
    expect(due).toBe("true");
    expect(summary).toContain(`${commit} was in the channel canary for its time, and everybody gets it`);
  });

  it.each<[string, string, (commit: string) => Record<string, string>, RegExp]>([
    [
      "its time is not up",
      withCanary,
      (commit) => ({
        ...pointed(before, longAgo),
        ...pointed(commit, new Date().toISOString(), "canary/"),
      }),
      /goes to them at \d{4}-/,
    ],
    [
      "everybody has it",
      withCanary,
      (commit) => ({ ...pointed(commit, longAgo), ...pointed(commit, longAgo, "canary/") }),
      /the newest image/,
    ],
    ["the channel has another", withCanary, () => pointed(before, longAgo), /which it has not yet/],
    [
      "the channel is pinned",
      withCanary.replace("24h", `24h, latest: ${before}`),
      (commit) => ({ ...pointed(before, longAgo), ...pointed(commit, longAgo, "canary/") }),
      /pinned to b{40}/,
    ],
    [
      "everybody is pinned",
      `${withCanary}  runner-images:latest: ${before}\n`,
      (commit) => ({ ...pointed(before, longAgo), ...pointed(commit, longAgo, "canary/") }),
      /everybody is pinned to b{40}/,
    ],
    ["nothing was promoted yet", withCanary, () => ({}), /nothing was promoted yet/],
    ["there is no channel to wait for", productionSettings, () => ({}), /waits for no channel/],
  ])("has nothing done where %s, and says so", { timeout }, async (_, settings, objects, why) => {
    const { due, summary } = await look(settings, objects);
    expect(due).toBe("false");
    expect(summary).toMatch(why);
  });

  it("fails in one line where the CDN cannot be asked, and hands over nothing", { timeout }, async () => {
    const { root } = await makeCheckout(withCanary);
    const { exitCode, said, output } = await run(
      "channels.ts",
      "",
      { IMAGES_URL: "http://127.0.0.1:1" },
      root,
    );
    expect(exitCode).toBe(1);
    expect(said).toMatch(/127\.0\.0\.1:1\/\S+ cannot be reached/);
    expect(output).not.toContain("due");
  });
});

describe("subjects.sh", () => {
  const hashes = (commit: string, arch = "x86_64") =>
    [
      `${"1".repeat(64)}  images/${commit}/ubuntu-${arch}.qcow2`,
      `${"2".repeat(64)}  images/${commit}/ubuntu-${arch}.build.json`,
    ].join("\n");
  const subjects = (root: string, env: Record<string, string>) =>
    execa(script("subjects.sh"), { cwd: root, env: { ...environment(), ...env }, reject: false });

  it("names the disks that were built, by the commit that git says", async () => {
    const { root, git, commit } = await makeCheckout();
    await git("commit", "--quiet", "--allow-empty", "--message", "something else");
    const both = await subjects(root, { X86_64: hashes(commit), AARCH64: hashes(commit, "aarch64") });
    expect(both.stdout.split("\n")).toEqual(
      ["x86_64", "aarch64"].map((arch) => `${"1".repeat(64)}  images/${commit}/ubuntu-${arch}.qcow2`),
    );
    const one = await subjects(root, { X86_64: "", AARCH64: hashes(commit, "aarch64") });
    expect(one).toMatchObject({ exitCode: 0, stdout: both.stdout.split("\n")[1] });
  });

  it("names an image that a revert went back to by its first commit", async () => {
    const { root, git, commit } = await makeCheckout();
    await writeFile(path.join(root, "image", "Makefile"), "new");
    await git("commit", "--quiet", "--all", "--message", "another image");
    const other = await git("rev-parse", "HEAD");
    await git("revert", "--no-edit", "HEAD");
    const { stdout } = await subjects(root, { X86_64: hashes(commit) });
    expect(stdout).toBe(`${"1".repeat(64)}  images/${commit}/ubuntu-x86_64.qcow2`);
    expect(await subjects(root, { X86_64: hashes(other) })).toMatchObject({ exitCode: 1, stdout: "" });
  });

  it("names none by a commit of another branch, with the same image/", async () => {
    const { root, git } = await makeCheckout();
    await git("switch", "--quiet", "--orphan", "other");
    await mkdir(path.join(root, "image"), { recursive: true });
    await writeFile(path.join(root, "image", "Makefile"), "");
    await git("add", "image");
    await git("commit", "--quiet", "--message", "the same image");
    const stranger = await git("rev-parse", "HEAD");
    await git("switch", "--quiet", "--force", "main");
    expect(await subjects(root, { X86_64: hashes(stranger) })).toMatchObject({ exitCode: 1, stdout: "" });
  });

  it.each<[string, (commit: string) => string]>([
    ["another commit", () => hashes("d".repeat(40))],
    ["another architecture", (commit) => hashes(commit, "aarch64")],
    [
      "one more file",
      (commit) => `${hashes(commit)}\n${"3".repeat(64)}  images/${commit}/ubuntu-aarch64.qcow2`,
    ],
    ["no facts", (commit) => hashes(commit).split("\n")[0]!],
    ["no hash", (commit) => hashes(commit).replace(/^1+/, "x")],
    ["a hash of other length", (commit) => hashes(commit).replace(/^1/, "")],
    ["something before it", (commit) => `x\n${hashes(commit)}`],
    ["a command", () => "$(touch x)"],
  ])("refuses hashes of %s, and names nothing", async (_, handed) => {
    const { root, commit } = await makeCheckout();
    const { exitCode, stdout, stderr } = await subjects(root, { X86_64: handed(commit) });
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
    expect(stderr).toMatch(/^error: the build of x86_64 handed over hashes that are not of main's image: /);
  });
});

/** A `gh` that has these artifacts. */
async function gitHub() {
  await command(
    "gh",
    `#!/bin/sh\n[ "$1 $2 $3 $4" = "run download 7 --name" ] || exit 9\nmkdir -p "$7" && cp ${folder}/artifacts/"$5"/* "$7"\n`,
  );
  await mkdir(path.join(folder, "artifacts/attestation"), { recursive: true });
  await writeFile(path.join(folder, "artifacts/attestation/attestation.json"), "signed");
  return { GITHUB_RUN_ID: "7", RUNNER_TEMP: path.join(folder, "temp") };
}

/** What a script asks of the image bucket, answered for one that holds the disks of these ages in days, and no pointer. */
async function serveBucket(disks: Record<string, number>) {
  const server = createServer((request, response) => {
    const asked = new URL(request.url!, "http://s3").searchParams;
    const found = Object.entries(disks).filter(([key]) => key.startsWith(asked.get("prefix") ?? ""));
    const contents = found.map(([key, days]) => {
      const at = new Date(Date.now() - days * 24 * 60 * 60 * 1000).toISOString();
      return `<Contents><Key>${key}</Key><Size>5000000</Size><LastModified>${at}</LastModified></Contents>`;
    });
    if (!asked.has("list-type")) response.writeHead(404).end("<Error><Code>NoSuchKey</Code></Error>");
    else response.end(`<ListBucketResult>${contents.join("")}</ListBucketResult>`);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return { env: bucketAt(`http://127.0.0.1:${port}`), close: () => server.close() };
}
const bucketAt = (url: string) => ({
  BUCKET: "images",
  AWS_ENDPOINT_URL_S3: url,
  AWS_REGION: "us-east-1",
  AWS_ACCESS_KEY_ID: "x",
  AWS_SECRET_ACCESS_KEY: "x",
});
const [old, young] = ["d", "e"].map((letter) => letter.repeat(40)) as [string, string];
const oldAndYoung = { [keys.disk(old, "x86_64")]: 100.5, [keys.disk(young, "x86_64")]: 80.5 };

describe("prune.ts", () => {
  it("shows what stays and what goes, and hands over what goes alone", { timeout }, async () => {
    const bucket = await serveBucket(oldAndYoung);
    const { exitCode, said, output, summary } = await run("prune.ts", "", bucket.env);
    bucket.close();
    expect(exitCode, said).toBe(0);
    expect(outputs(output)["going"]).toBe(old);
    expect(summary).toMatch(new RegExp(`stays  ${young} .*\\ngoes   ${old} .*100 days old; never finished`));
  });

  it("fails in one line where the store cannot be asked, and hands over nothing", { timeout }, async () => {
    const { exitCode, said, output } = await run("prune.ts", "", bucketAt("http://127.0.0.1:1"));
    expect(exitCode, said).toBe(1);
    expect(said).toMatch(/127\.0\.0\.1:1/);
    expect(output).not.toContain("going");
  });

  it("lets nothing go where the stack's file does not say how much is kept", { timeout }, async () => {
    const { root } = await makeCheckout(`${productionSettings}  runner-images:keepDays: long\n`);
    const bucket = await serveBucket(oldAndYoung);
    const { exitCode, said, output } = await run("prune.ts", "", bucket.env, root);
    bucket.close();
    expect(exitCode).toBe(1);
    expect(said).toMatch(/config runner-images:keepDays must be 1 to 3650/);
    expect(output).not.toContain("going");
  });
});

describe("take-images.ts", () => {
  it("lays what was built where publish looks, with the attestation", { timeout }, async () => {
    const { root, commit } = await makeCheckout();
    const sums = await makeBuild("x86_64", commit, path.join(folder, "artifacts/image-x86_64"));
    const { exitCode, said } = await run(
      "take-images.ts",
      "",
      { ...(await gitHub()), X86_64: sums, AARCH64: "" },
      root,
    );
    expect(exitCode, said).toBe(0);
    expect((await findBuilt(root, commit, "x86_64"))!.facts.base.kind).toBe("ubuntu");
    const beside = path.join(root, "build", `${commit}-x86_64`, "image/build/ubuntu-x86_64.sigstore.json");
    expect(await readFile(beside, "utf8")).toBe("signed");
    expect(await findBuilt(root, commit, "aarch64")).toBeNull();
  });

  it("fails in one line where an artifact is missing", { timeout }, async () => {
    const { root, commit } = await makeCheckout();
    const sums = await makeBuild("x86_64", commit, path.join(folder, "artifacts/image-x86_64"));
    const { exitCode, said } = await run("take-images.ts", "", { ...(await gitHub()), AARCH64: sums }, root);
    expect(exitCode).toBe(1);
    expect(said).toMatch(
      /^error: the artifact image-aarch64 of run 7 cannot be downloaded: [^\n]+; run all jobs again$/,
    );
  });
});

/** A boot record, and its hash, as the job `boot` hands them over. */
async function makeRecord(arch: Architecture, commit: string, target: string, changes = {}) {
  const text = jsonText(bootRecordOf(commit, arch, changes));
  await mkdir(target, { recursive: true });
  await writeFile(path.join(target, `ubuntu-${arch}.boot.json`), text);
  return `${createHash("sha256").update(text).digest("hex")}  ${keys.bootRecord(commit, arch)}`;
}

describe("take-boot-records.ts", () => {
  const take = async (sums: (commit: string) => Promise<string>) => {
    const { root, commit } = await makeCheckout();
    const env = { ...(await gitHub()), X86_64: await sums(commit), AARCH64: "" };
    const { exitCode, said } = await run("take-boot-records.ts", "", env, root);
    const found = await findBootRecord(path.join(root, "build/boot-records"), { commit, arch: "x86_64" });
    return { commit, exitCode, said, found };
  };
  const artifact = () => path.join(folder, "artifacts/boot-record-x86_64");

  it("lays a record where boot-test looks, and says how it went", { timeout }, async () => {
    const { exitCode, said, found, commit } = await take((commit) =>
      makeRecord("x86_64", commit, artifact(), { result: "failed", reason: "panic" }),
    );
    expect({ exitCode, said }).toEqual({
      exitCode: 0,
      said: `ubuntu-x86_64 of ${commit} was booted, and its boot test failed`,
    });
    expect(found).toMatchObject({ commit, result: "failed" });
  });

  it("leaves one of another commit alone: main has moved on", { timeout }, async () => {
    const { exitCode, said, found } = await take(() => makeRecord("x86_64", "d".repeat(40), artifact()));
    expect({ exitCode, found }).toEqual({ exitCode: 0, found: null });
    expect(said).toMatch(/^ubuntu-x86_64: main has moved on to the image \w{40}, /);
  });

  it("fails in one line where the artifact is missing", { timeout }, async () => {
    const { exitCode, said } = await take((commit) =>
      makeRecord("x86_64", commit, path.join(folder, "elsewhere")),
    );
    expect(exitCode).toBe(1);
    expect(said).toMatch(
      /^error: the artifact boot-record-x86_64 of run 7 cannot be downloaded: [^\n]+; run all jobs again$/,
    );
  });
});

describe("boot.ts", () => {
  const boot = (root: string, env: Record<string, string>) =>
    run("boot.ts", "", { ACCELERATOR: "tcg", ARCH: "x86_64", BOOT_TIMEOUT: "60", ...env }, root);

  it("boots nothing, and hands nothing over, where main has moved on", { timeout }, async () => {
    const { root } = await makeCheckout();
    const { exitCode, said, output, summary } = await boot(root, { COMMIT: "d".repeat(40) });
    expect({ exitCode, output }).toEqual({ exitCode: 0, output: "" });
    for (const text of [said, summary]) expect(text).toMatch(/main has moved on to the image \w{40}, /);
  });

  it("says that there is no CDN yet", { timeout }, async () => {
    const { root, commit } = await makeCheckout();
    const { exitCode, said } = await boot(root, { COMMIT: commit, IMAGES_URL: "" });
    expect({ exitCode, said }).toEqual({
      exitCode: 1,
      said: "error: the variable IMAGES_URL is not set: nothing was deployed yet",
    });
  });

  it("asks who built it as the stack file says, whatever a variable does", { timeout }, async () => {
    const { root, commit } = await makeCheckout(productionSettings);
    for (const tool of ["qemu-system-x86_64", "qemu-img", "zstd"])
      await command(tool, "#!/bin/sh\necho QEMU emulator version 8.2.2\n");
    const cdn = await serve(published(commit, "x86_64"));
    const { exitCode, said, output } = await boot(root, {
      ...{ COMMIT: commit, IMAGES_URL: cdn.url },
      IMAGES_SIGNER: "https://github.com/thief/images/.github/workflows/deploy.yml@refs/heads/main",
    });
    cdn.close();
    expect({ exitCode, output }).toEqual({ exitCode: 1, output: "" });
    expect(said).toMatch(
      /^error: ubuntu-x86_64 of \w{40} is not to be trusted: .* nothing says that https:\/\/github\.com\/octo\/images\/\.github\/workflows\/deploy\.yml@refs\/heads\/main built it/m,
    );
  });
});

describe("deploy.ts", () => {
  const ordinary = /^up --yes --stack prod --continue-on-error --suppress-progress --event-log /;
  const withoutImages = " --exclude **RunnerImage** --exclude-dependents ";
  const withoutBoots = (...names: Architecture[]) =>
    ` ${names.map((arch) => `--exclude **::ubuntu-${arch}-boot-test`).join(" ")} --exclude-dependents `;

  /** What it asked Pulumi to do, of a stack whose two images are so far. */
  const deploy = async (
    objects: (commit: string) => Record<string, string>,
    handOver: (root: string, commit: string) => Promise<unknown> = () => Promise.resolve(),
  ) => {
    const { root, commit } = await makeCheckout();
    await handOver(root, commit);
    const cdn = await serve(objects(commit));
    const script = `echo "records: $BOOT_RECORDS"; exit 0`;
    const result = await run("deploy.ts", script, { IMAGES_URL: cdn.url }, root);
    cdn.close();
    expect(result.exitCode, result.said).toBe(0);
    return { ...result, root, commit };
  };
  const build = (arch: Architecture) => (root: string, commit: string) =>
    makeBuild(arch, commit, path.join(root, "build", `${commit}-${arch}`, "image/build"));
  const record = (arch: Architecture) => (root: string, commit: string) =>
    makeRecord(arch, commit, path.join(root, "build/boot-records", commit));

  it("updates everything where the images are published and booted", { timeout }, async () => {
    const { ran, stdout, root } = await deploy((commit) => ({
      ...booted(commit, "x86_64"),
      ...booted(commit, "aarch64"),
    }));
    expect(ran).toMatch(ordinary);
    // Also then: what the CDN shows is not what the bucket says.
    expect(stdout).toBe(`records: ${root}/build/boot-records`);
  });

  it("says what the hosts of a channel get, beside what everybody gets", { timeout }, async () => {
    const { root, commit } = await makeCheckout(withCanary);
    const cdn = await serve({ ...pointed(before, longAgo), ...pointed(commit, longAgo, "canary/") });
    const { summary } = await run("deploy.ts", "exit 0", { IMAGES_URL: cdn.url }, root);
    cdn.close();
    expect(summary).toContain(`\`latest\` stays: ${before}\n\n\`canary/latest\` stays: ${commit}\n`);
  });

  it("updates everything where boot records were handed over", { timeout }, async () => {
    const { ran } = await deploy(
      (commit) => ({ ...published(commit, "x86_64"), ...published(commit, "aarch64") }),
      async (root, commit) => {
        await record("x86_64")(root, commit);
        await record("aarch64")(root, commit);
      },
    );
    expect(ran).toMatch(ordinary);
  });

  it(
    "boots nothing beside the role: publishes what was built, and leaves out its boot test",
    { timeout },
    async () => {
      const { ran, summary, commit } = await deploy((commit) => booted(commit, "x86_64"), build("aarch64"));
      expect(ran).toContain(withoutBoots("aarch64"));
      expect(summary).toContain(`the boot test of aarch64 of ${commit} is left out, and what waits for it:`);
    },
  );

  it("takes the one record there is, and leaves out the other boot test", { timeout }, async () => {
    const { ran } = await deploy(
      (commit) => ({ ...published(commit, "x86_64"), ...published(commit, "aarch64") }),
      record("x86_64"),
    );
    expect(ran).toContain(withoutBoots("aarch64"));
  });

  it(
    "builds nothing beside the role: leaves out images that are neither, and says so",
    { timeout },
    async () => {
      const { ran, summary, commit } = await deploy((commit) => booted(commit, "x86_64"));
      expect(ran).toContain(withoutImages);
      expect(summary).toContain(
        `the images of ${commit} are left out: aarch64 is neither published nor handed over`,
      );
    },
  );
});

describe("drift.ts", () => {
  it(
    "refreshes, leaves out what its token cannot read, and fails where it cannot look",
    { timeout },
    async () => {
      const { exitCode, ran, output } = await run("drift.ts", "exit 0", { IMAGES_URL: "" });
      expect(ran).toMatch(/^preview --stack prod --refresh --expect-no-changes /);
      expect(ran).toContain("--exclude **github:index/actionsVariable:ActionsVariable::** ");
      expect(exitCode).toBe(1);
      expect(output).toContain("the variable IMAGES_URL is not set");
    },
  );

  it("reports drift, and is not red for it alone", { timeout }, async () => {
    const images = await serveImages();
    const bucket = await serveBucket({});
    const env = { IMAGES_URL: images.url, ...bucket.env };
    const { exitCode, output } = await run("drift.ts", "echo '~ bucket'; exit 7", env);
    images.close();
    bucket.close();
    expect(output).toMatch(/^report<<\S+\n### Drift[^]*~ bucket/);
    expect(exitCode).toBe(0);
  });

  it("reports nothing where all is well", { timeout }, async () => {
    const images = await serveImages();
    const bucket = await serveBucket({});
    const env = { IMAGES_URL: images.url, ...bucket.env };
    const { exitCode, output, summary } = await run("drift.ts", "exit 0", env);
    images.close();
    bucket.close();
    expect(output).toMatch(/^report<<(\S+)\n\n\1\n$/);
    expect(exitCode).toBe(0);
    expect(summary).toContain("All is as `main` says");
  });

  it("tells an image that is due in a channel as that, and not as drift", { timeout }, async () => {
    const { root, commit } = await makeCheckout(withCanary);
    await mkdir(path.join(root, "pins"));
    await copyFile(path.join(checkout, runnerReleasesFile), path.join(root, runnerReleasesFile));
    const cdn = await serve({ ...pointed(before, longAgo), ...pointed(commit, longAgo, "canary/") });
    const bucket = await serveBucket({});
    const env = { IMAGES_URL: cdn.url, ...bucket.env };
    const { ran, output, said } = await run("drift.ts", "exit 0", env, root);
    cdn.close();
    bucket.close();
    expect(output, said).toContain(
      `- ${commit} was in the channel canary for its time, and everybody gets it: gh workflow run channels.yml`,
    );
    expect(ran).toContain(` --exclude ${everybodysPointer} `);
  });

  it("counts the images that can be removed, and proves each", { timeout }, async () => {
    const images = await serveImages();
    const bucket = await serveBucket(oldAndYoung);
    const { output } = await run("drift.ts", "exit 0", { IMAGES_URL: images.url, ...bucket.env });
    images.close();
    bucket.close();
    expect(output).toContain(
      "- 1 image (5 MB) that nothing holds any more can be removed: gh workflow run prune.yml",
    );
    expect(output).toMatch(
      /### What nothing holds any more, and why\n\n```+\ngoes {3}\w{40} {6}5 MB {2}\d+ days old; never finished, or not booted; not live/,
    );
  });
});

describe("finish.ts", () => {
  const needs = (result: string) => JSON.stringify({ check: { result, outputs: {} } });

  it("passes only where every job did, and says what became of each", { timeout }, async () => {
    expect((await run("finish.ts", "", { NEEDS: needs("success") })).exitCode).toBe(0);
    const failed = await run("finish.ts", "", { NEEDS: needs("failure") });
    expect(failed.exitCode).toBe(1);
    expect(failed.summary).toContain("| check | ❌ failure |");
    expect((await run("finish.ts", "", { NEEDS: "{}" })).exitCode).toBe(1);
  });
});

describe("npm run setup -- --engine", () => {
  const setUp = async (...args: string[]) => {
    await command("pulumi", "#!/bin/sh\necho v3.259.0\n");
    return execa(process.execPath, ["--import", "tsx", "local/cli.ts", "setup", ...args], {
      cwd: checkout,
      // Without what else of Pulumi is installed here: on GitHub's runners it is, in /usr/local/bin.
      env: { PATH: `${folder}:/usr/bin:/bin` },
      reject: false,
    });
  };

  it("prints nothing but folders for PATH: none where the engine is there already", { timeout }, async () => {
    await command("pulumi-language-nodejs", "#!/bin/sh\n");
    const { exitCode, stdout, stderr } = await setUp("--engine");
    expect(exitCode, stderr).toBe(0);
    expect(stdout).toBe("");
  });

  it("refuses an engine that cannot run the program", { timeout }, async () => {
    const { exitCode, stdout, stderr } = await setUp("--engine");
    expect(exitCode).toBe(1);
    expect(stdout).toBe("");
    expect(stderr).toMatch(/^error: the engine \S+ has no Node language host/m);
  });

  it("is one form, --release, --build or --boot the other", { timeout }, async () => {
    for (const other of ["--release", "--build", "--boot"])
      expect((await setUp("--engine", other)).stderr).toMatch(/cannot be used with option/);
  });
});

/** A CDN with a fresh live image of every architecture. */
async function serveImages(): Promise<{ url: string; close: () => void }> {
  const commit = "a".repeat(40);
  const sha256 = "b".repeat(64);
  const now = new Date().toISOString();
  const build = (arch: string) => ({
    arch,
    base: { kind: "ubuntu", name: "noble", sha256 },
    runner: {
      kind: "github",
      // Newer than any that will be known when this test runs.
      version: "999.0.0",
      sha256,
      releasedAt: "2026-08-26",
    },
    builder: { packer: "1", qemu: "8", accelerator: "kvm" },
    virtualSize: 1,
    seconds: 1,
  });
  const server = createServer((request, response) => {
    const [, arch, kind] = /^\/images\/a{40}\/ubuntu-(\w+)\.(boot\.)?json$/.exec(request.url!) ?? [];
    const common = { schema: 1, commit, arch };
    const manifest = {
      ...common,
      compressed: { key: "k", bytes: 1, sha256 },
      disk: { bytes: 1, sha256 },
      build: build(arch!),
      publishedAt: now,
    };
    const boot = {
      ...common,
      result: "passed",
      reason: null,
      diskSha256: sha256,
      checks: [],
      timings: { fetch: 1, credentialFetched: 1, runnerStarted: 1, poweredOff: 1 },
      qemu: { version: "8", accelerator: "kvm" },
      startedAt: now,
    };
    if (request.url === "/latest") response.end(`${commit}\n`);
    else if (arch === undefined) response.writeHead(404).end();
    else response.end(JSON.stringify(kind === undefined ? manifest : boot));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, close: () => server.close() };
}
