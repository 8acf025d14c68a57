import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { exportImage, newestImage } from "../../../../release/build/source.js";

let folder: string;
let root: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "runner-images-git-"));
  root = path.join(folder, "repository");
  await mkdir(root);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(folder, { recursive: true });
});

async function git(...args: string[]): Promise<string> {
  const identity = [
    "-c",
    "user.name=test",
    "-c",
    "user.email=test@example.com",
    "-c",
    "init.defaultBranch=main",
  ];
  return (await execa("git", [...identity, ...args], { cwd: root })).stdout;
}

async function commit(file: string): Promise<string> {
  await mkdir(path.dirname(path.join(root, file)), { recursive: true });
  await writeFile(path.join(root, file), `${Math.random()}`);
  await git("add", "-A");
  await git("commit", "--quiet", "-m", file);
  return git("rev-parse", "HEAD");
}

describe("the commit that names the newest image", () => {
  it("is the last that touched image/, whatever else was committed since", async () => {
    await git("init", "--quiet");
    await commit("image/a");
    const second = await commit("image/b");
    await commit("README.md");
    expect(await newestImage(root)).toEqual({ commit: second, returnedBy: null });
  });

  it("is found without a write to git's index, whose lock a kill would leave to everybody's next commit", async () => {
    await git("init", "--quiet");
    const first = await commit("image/a");
    // Of another time than the index says: git status would note the new one.
    await utimes(path.join(root, "image", "a"), 1, 1);
    const index = await readFile(path.join(root, ".git", "index"));
    expect(await newestImage(root)).toEqual({ commit: first, returnedBy: null });
    expect(await readFile(path.join(root, ".git", "index"))).toEqual(index);
  });

  it("is that of the branch's side of a merge which touched nothing in image/ itself", async () => {
    await git("init", "--quiet");
    await commit("image/a");
    await git("checkout", "--quiet", "-b", "side");
    const side = await commit("image/b");
    await git("checkout", "--quiet", "main");
    await commit("README.md");
    await git("merge", "--quiet", "--no-ff", "--no-edit", "side");
    expect(await newestImage(root)).toEqual({ commit: side, returnedBy: null });
  });

  it("is the first with the same content, where a revert or a checkout went back to it, and again where it went forth", async () => {
    await git("init", "--quiet");
    const first = await commit("image/a");
    const second = await commit("image/a");
    await git("revert", "--no-edit", second);
    const revert = await git("rev-parse", "HEAD");
    await commit("README.md");
    expect(await newestImage(root)).toEqual({ commit: first, returnedBy: revert });
    await git("revert", "--no-edit", revert);
    const forth = await git("rev-parse", "HEAD");
    expect(await newestImage(root)).toEqual({ commit: second, returnedBy: forth });
    const third = await commit("image/b");
    expect(await newestImage(root)).toEqual({ commit: third, returnedBy: null });
    await git("checkout", "--quiet", first, "--", "image");
    await git("rm", "--quiet", "image/b");
    await git("commit", "--quiet", "-m", "by hand");
    expect((await newestImage(root)).commit).toBe(first);
  });

  it("is that of the branch where the merge of a revert brings it", async () => {
    await git("init", "--quiet");
    const first = await commit("image/a");
    const second = await commit("image/a");
    await git("checkout", "--quiet", "-b", "back");
    await git("revert", "--no-edit", second);
    const revert = await git("rev-parse", "HEAD");
    await git("checkout", "--quiet", "main");
    await commit("README.md");
    await git("merge", "--quiet", "--no-ff", "--no-edit", "back");
    expect(await newestImage(root)).toEqual({ commit: first, returnedBy: revert });
  });

  it("stays where an older branch with the same content is merged later", async () => {
    await git("init", "--quiet");
    await commit("image/a");
    await git("checkout", "--quiet", "-b", "old");
    await writeFile(path.join(root, "image/b"), "same");
    await git("add", "-A");
    await git("commit", "--quiet", "-m", "on the branch", "--date", "2020-01-01T00:00:00Z");
    await git("checkout", "--quiet", "main");
    await git("checkout", "--quiet", "old", "--", "image");
    await git("commit", "--quiet", "-m", "on main");
    const before = await newestImage(root);
    await git("merge", "--quiet", "--no-ff", "--no-edit", "old");
    expect(await newestImage(root)).toEqual(before);
  });

  it("is refused where the last commit took image/ away", async () => {
    await git("init", "--quiet");
    await commit("image/a");
    await git("rm", "--quiet", "-r", "image");
    await git("commit", "--quiet", "-m", "no image");
    await expect(newestImage(root)).rejects.toThrow(/the last commit of .* has no image\//);
  });

  it("does not depend on changes outside image/, nor on ignored files in it", async () => {
    await git("init", "--quiet");
    await writeFile(path.join(root, ".gitignore"), "/image/build/\n");
    const first = await commit("image/a");
    await writeFile(path.join(root, "notes"), "x");
    await mkdir(path.join(root, "image/build"));
    await writeFile(path.join(root, "image/build/disk"), "x");
    expect(await newestImage(root)).toEqual({ commit: first, returnedBy: null });
  });

  it.each([
    [
      "a changed file",
      "image/a",
      false,
      /uncommitted changes \(image\/a\): commit them, a local commit is enough/,
    ],
    ["a staged file", "image/a", true, /uncommitted changes \(image\/a\)/],
    ["a new file", "image/new", false, /uncommitted changes \(image\/new\)/],
  ])("is refused with %s in image/", async (_, file, staged, message) => {
    await git("init", "--quiet");
    await commit("image/a");
    await writeFile(path.join(root, file), "changed");
    if (staged) await git("add", "-A");
    await expect(newestImage(root)).rejects.toThrow(message);
  });

  it("is refused with a file deleted from image/, and counts what else is uncommitted", async () => {
    await git("init", "--quiet");
    await commit("image/a");
    await rm(path.join(root, "image/a"));
    await writeFile(path.join(root, "image/b"), "x");
    await expect(newestImage(root)).rejects.toThrow(/\(image\/a and 1 more\)/);
  });

  it("is refused outside a git checkout", async () => {
    await expect(newestImage(root)).rejects.toThrow(/is not a git checkout/);
  });

  it("is refused before the first commit", async () => {
    await git("init", "--quiet");
    await expect(newestImage(root)).rejects.toThrow(/has no commit yet/);
  });

  it("is refused where no commit has image/", async () => {
    await git("init", "--quiet");
    await commit("README.md");
    await expect(newestImage(root)).rejects.toThrow(/the last commit of .* has no image\//);
  });

  it("is refused where git is not installed", async () => {
    vi.stubEnv("PATH", folder);
    await expect(newestImage(root)).rejects.toThrow(/git is not installed: apt-get install git/);
  });

  describe("in a shallow clone", () => {
    async function cloneOfDepth(depth: number): Promise<string> {
      const clone = path.join(folder, "clone");
      await execa("git", ["clone", "--quiet", `--depth=${depth}`, `file://${root}`, clone]);
      return clone;
    }

    it.each([1, 2, 3])(
      "is refused, since its name may lie before the history begins (depth %i)",
      async (depth) => {
        await git("init", "--quiet");
        await commit("image/a");
        await commit("image/b");
        await commit("README.md");
        await commit("docs.md");
        await expect(newestImage(await cloneOfDepth(depth))).rejects.toThrow(/shallow clone.*fetch-depth: 0/);
      },
    );
  });
});

describe("the sources of a build", () => {
  it("are those of the commit, not of the checkout", async () => {
    await git("init", "--quiet");
    const first = await commit("image/a");
    const text = await readFile(path.join(root, "image/a"), "utf8");
    await commit("image/a");
    const image = await exportImage(root, first, path.join(root, "build/x"));
    expect(image).toBe(path.join(root, "build/x/image"));
    expect(await readFile(path.join(image, "a"), "utf8")).toBe(text);
  });

  it("are left as they are where they were laid out before, with what was built in them", async () => {
    await git("init", "--quiet");
    const first = await commit("image/a");
    const image = await exportImage(root, first, path.join(root, "build/x"));
    await writeFile(path.join(image, "built"), "x");
    await exportImage(root, first, path.join(root, "build/x"));
    expect(await readFile(path.join(image, "built"), "utf8")).toBe("x");
  });

  it("are laid out anew where a run was killed in the middle, and nothing is beside the build's own folder", async () => {
    await git("init", "--quiet");
    const first = await commit("image/a");
    await mkdir(path.join(root, "build/x/export/image"), { recursive: true });
    await writeFile(path.join(root, "build/x/export/image/half"), "x");
    const image = await exportImage(root, first, path.join(root, "build/x"));
    expect(await readdir(image)).toEqual(["a"]);
    expect(await readdir(path.join(root, "build/x"))).toEqual(["image"]);
    expect(await readdir(path.join(root, "build"))).toEqual(["x"]);
  });

  it("are refused for a commit that is not in the checkout, and leave nothing behind", async () => {
    await git("init", "--quiet");
    await commit("image/a");
    await expect(exportImage(root, "d".repeat(40), path.join(root, "build/x"))).rejects.toThrow(
      /git archive fails/,
    );
    expect(await git("status", "--porcelain")).toBe("");
  });
});
