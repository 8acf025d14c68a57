import { chmod, cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { checkout } from "../../../local/paths.js";

let folder: string;
beforeEach(async () => (folder = await mkdtemp(path.join(tmpdir(), "build-trouble-"))));
afterEach(() => rm(folder, { recursive: true, force: true }));

/** Runs image/build.sh as an ordinary user, on a machine that has all tools; `unshare` does what is said. */
async function build(unshare: string) {
  const [image, bin] = [path.join(folder, "image"), path.join(folder, "bin")];
  await cp(path.join(checkout, "image"), image, {
    recursive: true,
    filter: (file) => path.relative(checkout, file) !== path.join("image", "build"),
  });
  await mkdir(bin);
  for (const tool of [
    "curl",
    "jq",
    "packer",
    "qemu-img",
    "qemu-system-x86_64",
    "ssh-keygen",
    "mmdebstrap",
    "sfdisk",
  ])
    await writeFile(path.join(bin, tool), "#!/bin/sh\nexit 1\n", { mode: 0o755 });
  for (const tool of ["mkfs.ext4", "newuidmap"]) await writeFile(path.join(bin, tool), "", { mode: 0o755 });
  await writeFile(path.join(bin, "unshare"), `#!/bin/sh\n${unshare}\n`, { mode: 0o755 });
  for (const open of [folder, image]) await chmod(open, 0o777);
  const user =
    process.getuid!() === 0 ? ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] : ["env"];
  return execa(user[0]!, [...user.slice(1), path.join(image, "build.sh"), "x86_64", "tcg"], {
    env: {
      PATH: `${bin}:${process.env.PATH}`,
      ...{
        BASE: "debian",
        PROFILE: "small",
        RUNNER: "fixture",
        COMMIT: "a".repeat(40),
        CACHE_DIR: `${folder}/cache`,
      },
    },
    reject: false,
  });
}

describe("a build of the Debian base by an ordinary user", () => {
  it("says in one line that it may not map accounts, as on Ubuntu, and how to mend that", async () => {
    const { exitCode, stdout, stderr } = await build("exit 1");
    expect({ exitCode, stdout }).toEqual({ exitCode: 1, stdout: "" });
    expect(stderr).toMatch(
      /^error: ubuntu-x86_64: this user may not map accounts of its own[^\n]+sudo sysctl kernel\.apparmor_restrict_unprivileged_userns=0[^\n]+$/,
    );
  });

  it("goes on where it may", async () => {
    expect((await build("exit 0")).stderr).not.toContain("may not map accounts");
  });
});
