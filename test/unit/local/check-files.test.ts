import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkoutFiles, isShellScript, shellScripts, workflows } from "../../check-files.js";

describe("a shell script", () => {
  it.each([
    ["run", "#!/bin/sh"],
    ["run", "#!/bin/bash"],
    ["run", "#! /bin/dash -e"],
    ["run", "#!/usr/bin/env bash"],
    ["run", "#!/usr/bin/env -S bash -e"],
    ["run.sh", "#!/bin/bash -eu"],
    ["functions.sh", "# shellcheck shell=bash"],
    ["functions.bash", ""],
  ])("is known by its first line, or by its name where it is sourced: %s, %j", (name, firstLine) => {
    expect(isShellScript(name, firstLine)).toBe(true);
  });

  it.each([
    ["run", "#!/usr/bin/env node"],
    ["run.sh", "#!/usr/bin/python3"],
    ["run", "#!/bin/zsh"],
    ["run", "#!/usr/bin/env fish"],
    ["run", "#!/usr/bin/bashful"],
    ["run", "echo"],
    ["notes.sh.md", "# How to use sh"],
    ["main.ts", "// #!/bin/sh"],
  ])("is not taken for one: %s, %j", (name, firstLine) => {
    expect(isShellScript(name, firstLine)).toBe(false);
  });
});

it("workflows are the YAML files that GitHub reads as such, and nothing beside them", () => {
  const files = [
    ".github/actions/setup/action.yml",
    ".github/dependabot.yml",
    ".github/scripts/comment.ts",
    ".github/workflows/README.md",
    ".github/workflows/deploy.yaml",
    ".github/workflows/old/nightly.yml",
    ".github/workflows/pull-request.yml",
    "docs/.github/workflows/example.yml",
    "Pulumi.prod.yaml",
  ];
  expect(workflows(files)).toEqual([".github/workflows/deploy.yaml", ".github/workflows/pull-request.yml"]);
});

describe("the files of a checkout", () => {
  let root: string;
  const write = (name: string, text: string) => writeFile(path.join(root, name), text);
  beforeEach(async () => {
    root = await mkdtemp(path.join(tmpdir(), "check-files-"));
  });
  afterEach(() => rm(root, { recursive: true }));

  it("are those that git has or would take, and of them the shell scripts are found by reading", async () => {
    await execa("git", ["init", "--quiet"], { cwd: root });
    await mkdir(path.join(root, "with space"));
    await write("tracked", "#!/bin/sh\n");
    await write("gone.sh", "#!/bin/sh\n");
    await execa("git", ["add", "."], { cwd: root });
    await rm(path.join(root, "gone.sh"));
    await write(".gitignore", "ignored.sh\n");
    await write("ignored.sh", "#!/bin/sh\n");
    await write("with space/new\u00fc.sh", "true\n");
    await write("data", Buffer.from([0, 255, 254, 10]).toString("latin1"));
    await write("empty", "");
    await symlink("tracked", path.join(root, "link.sh"));

    const files = await checkoutFiles(root);
    expect(files).toEqual([".gitignore", "data", "empty", "tracked", "with space/new\u00fc.sh"]);
    expect(await shellScripts(root, files)).toEqual(["tracked", "with space/new\u00fc.sh"]);
  });

  it("cannot be told outside a repository, which one line says", async () => {
    await expect(checkoutFiles(root)).rejects.toThrow(
      /^git cannot list the files of .*not a git repository.*clone/,
    );
  });
});
