import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readNotes } from "../../../../release/pointer/notes.js";
import { pointer } from "../../../../release/store/records.js";

let root: string;

beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), "runner-images-notes-"));
  await git("init", "--quiet");
});
afterEach(() => rm(root, { recursive: true }));

async function git(...args: string[]): Promise<string> {
  const identity = [
    "-c",
    "user.name=Ada",
    "-c",
    "user.email=ada@example.com",
    "-c",
    "init.defaultBranch=main",
  ];
  return (await execa("git", [...identity, ...args], { cwd: root })).stdout;
}

async function commit(file: string, subject: string, text = `${Math.random()}`): Promise<string> {
  await mkdir(path.dirname(path.join(root, file)), { recursive: true });
  await writeFile(path.join(root, file), text);
  await git("add", "-A");
  await git("commit", "--quiet", "-m", subject);
  return git("rev-parse", "HEAD");
}

describe("what a checkout knows of a move", () => {
  it("is the image's own commit where that is the newest, whatever else was committed since", async () => {
    await commit("Pulumi.prod.yaml", "set up the stack");
    const image = await commit("image/a", "image: add ripgrep\n\nIts body.");
    await commit("README.md", "mend a word");
    expect(await readNotes(root, image)).toEqual({
      image: { commit: image, author: "Ada", subject: "image: add ripgrep" },
    });
  });

  it("is also the commit that pinned it where it is an older one", async () => {
    const old = await commit("image/a", "the old");
    await commit("image/a", "the new");
    const pin = await commit("Pulumi.prod.yaml", "Roll back: jobs hang");
    await commit("README.md", "mend a word");
    expect(await readNotes(root, old)).toEqual({
      image: { commit: old, author: "Ada", subject: "the old" },
      askedBy: { commit: pin, author: "Ada", subject: "Roll back: jobs hang" },
    });
  });

  it("is also the commit that went back to its content", async () => {
    const old = await commit("image/a", "the old", "1");
    await commit("image/a", "the new", "2");
    const revert = await commit("image/a", 'Revert "the new"', "1");
    expect(await readNotes(root, old)).toMatchObject({
      image: { commit: old },
      askedBy: { commit: revert, subject: 'Revert "the new"' },
    });
  });

  it("is no reason where the pin is not committed", async () => {
    const old = await commit("image/a", "the old");
    await commit("image/a", "the new");
    await commit("Pulumi.local.yaml", "set up the stack");
    await writeFile(path.join(root, "Pulumi.local.yaml"), "pinned by hand");
    expect(await readNotes(root, old)).toEqual({ image: { commit: old, author: "Ada", subject: "the old" } });
  });

  it("is one line each, of 200 characters at most, without control characters", async () => {
    const image = await commit("image/a", `a\u001b[31mb\u0007c ${"long ".repeat(100)}`);
    const { subject } = (await readNotes(root, image)).image!;
    expect(subject).toMatch(/^ab c long long/);
    expect(subject).toHaveLength(200);
  });

  it("is nothing of a commit that is not there, and nothing outside of a checkout", async () => {
    await commit("README.md", "no image");
    expect(await readNotes(root, "b".repeat(40))).toEqual({});
    expect(await readNotes(path.join(root, "nowhere"), "b".repeat(40))).toEqual({});
  });
});

describe("a move's record", () => {
  it("is valid whatever its notes are, which are for people", () => {
    const record = { seq: 1, commit: "a".repeat(40), previous: null, promotedAt: "2026-11-26T10:00:00Z" };
    for (const image of [undefined, null, 7, "text", { commit: "x" }])
      expect(pointer.parse({ ...record, image })).toEqual({ ...record, image: undefined });
  });
});
