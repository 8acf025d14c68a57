import { createHash, generateKeyPairSync } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { signStatement } from "../../release/attest/bundle.js";
import { makeStatement } from "../../release/attest/statement.js";
import { keys } from "../../release/store/keys.js";
import { Sigstore } from "../unit/release/attest/sigstore.js";
import { manifestOf } from "../unit/release/memory-store.js";
import { World } from "./world.js";

const arch = "x86_64";
const deploy = "https://github.com/acme/images/.github/workflows/deploy.yml@refs/heads/main";

describe.sequential("an image that hosts boot was built by whom it should be", () => {
  let world: World;
  let live: string;
  let sha256: string;

  beforeAll(async () => {
    world = await World.create();
    await world.up();
    live = world.imageCommit;
    ({ sha256 } = (await world.manifest(live)).disk);
  });
  afterAll(() => world.remove());

  async function expectRefusal(message: RegExp): Promise<void> {
    const before = await world.keys();
    for (const operation of [() => world.preview(), () => world.up()]) {
      const text = await world.failure(operation);
      expect(text).toMatch(message);
      expect(text).not.toMatch(/\n\s+at .*:\d+:\d+/);
    }
    expect(await world.keys()).toEqual(before);
    expect(await world.served("latest")).toBe(`${live}\n`);
  }

  async function verify(commit: string, ...args: string[]) {
    const { stdout, stderr } = await world.release(
      "verify",
      {},
      "--commit",
      commit,
      "--architectures",
      arch,
      ...args,
    );
    return { ...(JSON.parse(stdout) as { problems: string[]; origins: string[] }), stderr };
  }

  it("is signed by the platform that built it, and says so", async () => {
    expect(await verify(live)).toMatchObject({
      problems: [],
      origins: [`ubuntu-x86_64: signed by ${world.environment.IMAGES_SIGNER}`],
    });
  });

  describe.sequential("a thief who may write the store publishes under the commit of a pull request", () => {
    let commit: string;
    let key: string;
    beforeAll(async () => {
      commit = await world.changeImage();
      key = keys.attestation(commit, arch, sha256);
      await world.copyImage(live, commit, { without: ".sigstore.json" });
    });
    afterAll(async () => {
      await world.deleteImage(commit);
      await world.git("revert", "--no-edit", "HEAD");
    });

    it("without an attestation", async () => {
      await expectRefusal(new RegExp(`${key} is missing: nothing says that key:`));
    });

    it("with one by a key of the thief's", async () => {
      const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const statement = makeStatement({ commit, arch, sha256 }, manifestOf(commit, arch).build);
      await world.overwrite(key, await signStatement(statement, privateKey, publicKey));
      await expectRefusal(new RegExp(`${key} does not prove to be signed by key:`));
    });

    it("with one that was made for another commit", async () => {
      await world.overwrite(key, await world.attestation(live, sha256));
      await expectRefusal(new RegExp(`${key} is of images/${live}/.*, not of images/${commit}/`));
    });

    it("with one that was made for another disk", async () => {
      await world.overwrite(key, await world.attestation(commit, "f".repeat(64)));
      await expectRefusal(new RegExp(`${key} is of another disk`));
    });
  });

  it("is refused as a target of a rollback, and accepted until a date that says so", async () => {
    const target = await world.copyImage(live, "e".repeat(40), { without: ".sigstore.json" });
    await world.pin(target);
    await expectRefusal(/latest names e+, which cannot go live: .*\.sigstore\.json is missing/);
    await world.setConfig("unsignedUntil", "2999-01-01");
    const { text } = await world.preview();
    expect(text).toMatch(
      /\.sigstore\.json is missing, so nobody says who built it: accepted until 2999-01-01/,
    );
    await world.setConfig("unsignedUntil", undefined);
    await world.pin(undefined);
    await world.deleteImage(target);
  });

  it("is found with any one of its objects changed by a byte", async () => {
    expect((await verify(live, "--deep")).problems).toEqual([]);
    for (const key of await world.keys(keys.imagesPrefix(live))) {
      const mend = await world.damage(key);
      const { stdout, stderr } = await world.release(
        "verify",
        {},
        "--commit",
        live,
        "--architectures",
        arch,
        "--deep",
      );
      expect(`${stdout}${stderr}`).toContain(key);
      expect(stderr, key).not.toMatch(/\n\s+at .*:\d+:\d+/);
      await mend();
    }
    expect((await verify(live, "--deep")).problems).toEqual([]);
  });

  describe.sequential("where a workflow on GitHub is trusted", () => {
    let sigstore: Sigstore;
    let commit: string;
    let disk: string;
    beforeAll(async () => {
      sigstore = await Sigstore.start();
      const root = path.join(world.root, ".local", "trusted_root.json");
      await writeFile(root, JSON.stringify(sigstore.trustedRoot));
      world.environment.SIGSTORE_TRUSTED_ROOT = root;
      await world.setConfig("signer", deploy);
      commit = await world.changeImage();
      disk = path.join(world.root, "build", `${commit}-${arch}`, "image", "build", "ubuntu-x86_64.qcow2");
    });
    afterAll(() => sigstore.stop());

    async function handOver(identity: string): Promise<void> {
      const sha256 = createHash("sha256")
        .update(await readFile(disk))
        .digest("hex");
      const statement = makeStatement({ commit, arch, sha256 }, manifestOf(commit, arch).build);
      await writeFile(disk.replace(/qcow2$/, "sigstore.json"), await sigstore.sign(statement, identity));
    }

    async function refusedUp(): Promise<string> {
      const text = await world.failure(() => world.up());
      expect(await world.keys(keys.imagesPrefix(commit))).toEqual([]);
      expect(await world.served("latest")).toBe(`${live}\n`);
      return text;
    }

    it("the local platform's key signs nothing that is published", async () => {
      expect(await refusedUp()).toMatch(
        /is not published: its attestation \(signed with .*\) is signed by a key, and only https.*deploy\.yml@refs\/heads\/main is trusted/,
      );
    });

    it("an image that comes without an attestation is not even built", async () => {
      delete world.environment.ATTESTATION_KEY_FILE;
      await world.changeImage();
      const text = await world.failure(() => world.up());
      expect(text).toMatch(
        /comes without an attestation, and only images of https.* are trusted: let that one build it/,
      );
      await world.git("revert", "--no-edit", "HEAD");
      const built = await world.release("build", {
        COMMIT: commit,
        BASE: "debian",
        PROFILE: "small",
        RUNNER: "fixture",
      });
      expect(built.exitCode, built.stderr).toBe(0);
    });

    it.each([
      ["branch", deploy.replace("main", "feature")],
      ["workflow", deploy.replace("deploy", "pull-request")],
      ["repository", deploy.replace("acme", "thief")],
    ])("nothing is published with an attestation of another %s", async (_, identity) => {
      await handOver(identity);
      expect(await refusedUp()).toContain(`is signed by ${identity}, and only ${deploy} is trusted`);
    });

    it("nothing is published with authorities that nobody knows", async () => {
      await handOver(deploy);
      world.environment.SIGSTORE_TRUSTED_ROOT = "";
      expect(await refusedUp()).toMatch(/does not prove to be signed by .*npm install @sigstore\/tuf@latest/);
      world.environment.SIGSTORE_TRUSTED_ROOT = path.join(world.root, ".local", "trusted_root.json");
    });

    it("what that workflow built and signed goes live", async () => {
      await world.up();
      expect(await world.served("latest")).toBe(`${commit}\n`);
      const { stdout } = await world.release(
        "verify",
        { IMAGES_SIGNER: deploy },
        "--commit",
        commit,
        "--architectures",
        arch,
      );
      expect(JSON.parse(stdout)).toMatchObject({
        problems: [],
        origins: [`ubuntu-x86_64: signed by ${deploy}`],
      });
    });
  });
});
