import { randomBytes } from "node:crypto";
import { chmod, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { exitCodes } from "../../../../release/process/errors.js";
import { keys } from "../../../../release/store/keys.js";
import { compress, ImageServer } from "./image-server.js";

const doc = await readFile("docs/hosts.md", "utf8");
/** The files that the page shows, by the path in their first lines. */
const files = new Map(
  [...doc.matchAll(/^```\w+\n((?:#!.*\n)?# (\/\S+)\n[^]*?)^```$/gm)].map(([, text, name]) => [name!, text!]),
);
const commit = "a".repeat(40);
const disk = randomBytes(300_000);
const archive = await compress(disk);

let folder: string;
beforeEach(async () => void (folder = await mkdtemp(path.join(tmpdir(), "hosts-test-"))));
afterEach(() => rm(folder, { recursive: true }));

describe("the script of docs/hosts.md", () => {
  const hook = () => path.join(folder, "changed.d", "50-hook");

  beforeEach(async () => {
    const script = files.get("/usr/local/libexec/runner-images-changed")!;
    await writeFile(path.join(folder, "script"), script.replaceAll("/etc/runner-images", folder));
    await mkdir(path.dirname(hook()));
    await setHook(`echo "$1" >> ${folder}/calls`);
  });

  async function setHook(command: string): Promise<void> {
    await writeFile(hook(), `#!/bin/sh\n${command}\n`);
    await chmod(hook(), 0o755);
  }
  async function live(commit: string): Promise<string> {
    const image = path.join(folder, commit, "image.qcow2");
    await mkdir(path.dirname(image), { recursive: true });
    await writeFile(image, "");
    const { stdout: machine } = await execa("uname", ["-m"]);
    const link = path.join(folder, `ubuntu-${machine}.qcow2`);
    await rm(link, { force: true });
    await symlink(image, link);
    return image;
  }
  const run = () =>
    execa("sh", [path.join(folder, "script")], { env: { IMAGES_DIRECTORY: folder }, reject: false });
  const calls = () => readFile(path.join(folder, "calls"), "utf8");

  it("tells once of each image, by its path and not by the link's", async () => {
    const first = await live("first");
    expect((await run()).exitCode).toBe(0);
    expect((await run()).exitCode).toBe(0);
    expect(await calls()).toBe(`${first}\n`);
    const second = await live("second");
    await run();
    expect(await calls()).toBe(`${first}\n${second}\n`);
  });

  it("tells again where it was killed, or a hook failed, before all were told", async () => {
    const image = await live("first");
    await setHook("exit 9");
    expect((await run()).exitCode).toBe(9);
    await setHook(`echo "$1" >> ${folder}/calls`);
    expect((await run()).exitCode).toBe(0);
    expect(await calls()).toBe(`${image}\n`);
  });

  it("passes over what is not executable, and an empty folder", async () => {
    await live("first");
    await chmod(hook(), 0o644);
    expect((await run()).exitCode).toBe(0);
    await rm(hook());
    await live("second");
    expect((await run()).exitCode).toBe(0);
  });
});

describe("the command of docs/hosts.md", () => {
  let server: ImageServer;
  beforeEach(async () => void (server = await ImageServer.start(commit, disk, archive)));
  afterEach(() => server.stop());

  const metrics = () => path.join(folder, "runner-images.prom");

  /** As the unit runs it, with the variables of its file, but for the places. */
  async function run(changes: NodeJS.ProcessEnv = {}) {
    const [, command] = /^ExecStart=(.*)$/m.exec(files.get("/etc/systemd/system/runner-images.service")!)!;
    const [, ...args] = command!.split(" ");
    const names = [...files.get("/etc/runner-images/env")!.matchAll(/^([A-Z_]+)=(.*)$/gm)];
    const { exitCode, stdout, stderr } = await execa(process.execPath, args, {
      reject: false,
      env: {
        ...(Object.fromEntries(names.map(([, name, value]) => [name!, value!])) as Record<string, string>),
        IMAGES_URL: server.url,
        IMAGES_SIGNER: "",
        IMAGES_DIRECTORY: path.join(folder, "images"),
        IMAGES_METRICS: metrics(),
        GITHUB_API_URL: "",
        ARCH: "x86_64",
        ...changes,
      },
    });
    return { exitCode, stdout, last: stderr.trim().split("\n").at(-1)! };
  }
  const metric = async (name: string) =>
    new RegExp(`^runner_images_${name}{.*} (.*)$`, "m").exec(await readFile(metrics(), "utf8"))?.[1];

  it("needs no more than the page's variables, and names the verified image", async () => {
    const { exitCode, stdout } = await run();
    expect(exitCode).toBe(0);
    const result = JSON.parse(stdout) as { path: string };
    expect(result).toMatchObject({ commit, changed: true });
    expect(Object.keys(result).sort().join(", ")).toBe(
      /`\{(commit, .*?)\}`/.exec(doc)![1]!.split(", ").sort().join(", "),
    );
    expect((await readFile(result.path)).equals(disk)).toBe(true);
    expect(await metric("last_run_exit_code")).toBe("0");
    expect(Number(await metric("age_seconds"))).toBeGreaterThan(0);
  });

  it("exits with the codes of the page, and its metrics go on with the image that is there", async () => {
    await run();
    const age = Number(await metric("age_seconds"));
    server.put(keys.latest, "nonsense");
    server.etag = '"v2"';
    const refused = await run();
    expect(refused).toMatchObject({ exitCode: exitCodes.refused, stdout: "" });
    expect(refused.last).toMatch(/^error: .*latest must be 40 lowercase hex/);
    expect(await metric("last_run_exit_code")).toBe("4");
    expect(Number(await metric("age_seconds"))).toBeGreaterThanOrEqual(age);
    server.put(keys.latest, `${"b".repeat(40)}\n`);
    server.etag = '"v3"';
    expect((await run()).exitCode).toBe(exitCodes.failed);
    expect(await run({ IMAGES_LIMIT: "much" })).toMatchObject({ exitCode: exitCodes.usage });
    const lost = await run({ IMAGES_METRICS: path.join(folder, "none", "x.prom") });
    expect(lost.last).toMatch(/is not published there/);
  });

  it("says that the options of a host are of use with --follow only", async () => {
    const { exitCode, stderr } = await execa(
      process.execPath,
      ["release/main.mjs", "fetch", "--url", server.url, "--rehash"],
      { reject: false },
    );
    expect(exitCode).toBe(exitCodes.usage);
    expect(stderr).toMatch(/--rehash is of use with --follow only/);
  });
});

describe("docs/hosts.md", () => {
  it("lists every exit code", () => {
    const listed = [...doc.matchAll(/^\| ([\d, ]+) \|/gm)].flatMap(([, codes]) =>
      codes!.split(", ").map(Number),
    );
    expect(listed.sort()).toEqual([...Object.values(exitCodes), 130, 143].sort());
  });

  it("lists every metric", async () => {
    const source = await readFile("release/host/metrics.ts", "utf8");
    const names = [...source.matchAll(/gauge\(\s*"(\w+)"/g)].map(([, name]) => name!);
    const listed = [...doc.matchAll(/^\| `runner_images_(\w+)/gm)].map(([, name]) => name!);
    expect(listed.sort()).toEqual(names.sort());
  });
});
