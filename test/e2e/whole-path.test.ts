import { createHash } from "node:crypto";
import { appendFile, open, readFile, rm, stat, writeFile } from "node:fs/promises";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { bucket } from "../../local/services/s3-server.js";
import type { FetchedImage } from "../../release/host/fetch.js";
import { say } from "../../release/process/progress.js";
import type { BootRecord, Manifest } from "../../release/store/records.js";
import { bentCdn } from "./bent-cdn.js";
import { Checkout, expectSuccess } from "./checkout.js";

interface Inputs {
  contents: { small: object[] };
}

/** One story on one checkout: each test goes on where the one before it stopped. */
describe.sequential("the whole path with real Packer, QEMU, S3 server and CDN", () => {
  let checkout: Checkout;
  let url: string;
  let first: string;
  let second: string;
  /** Of the first image; the second has one of its own, which is made by this run. */
  let isBaseOfThisRun: boolean;

  beforeAll(async () => {
    checkout = await Checkout.clone();
  });

  afterAll(async () => {
    await checkout.npm("run", "reset");
    await checkout.remove();
  });

  async function status() {
    const { stdout } = await checkout.npm("run", "-s", "release", "--", "status", "--json");
    return JSON.parse(stdout) as {
      url: string;
      latest: string;
      pinned: string | null;
      history: { seq: number; commit: string; previous: string | null }[];
    };
  }

  async function served(path: string): Promise<string> {
    const response = await fetch(`${url}/${path}`);
    expect(response.status, path).toBe(200);
    return response.text();
  }

  const fetchArguments = (directory: string) => ["fetch", "--arch", "x86_64", "--directory", directory];

  /** @param from the CDN's URL, by default this platform's own; of the commit that is live, by default */
  async function fetchImage(
    directory: string,
    { from, commit }: { from?: string; commit?: string } = {},
  ): Promise<FetchedImage & { stderr: string }> {
    const args = [
      ...(from === undefined ? [] : ["--url", from]),
      ...(commit === undefined ? [] : ["--commit", commit]),
    ];
    const run = await checkout.npm("run", "-s", "release", "--", ...fetchArguments(directory), ...args);
    expectSuccess(run);
    const fetched = JSON.parse(run.stdout) as FetchedImage;
    expect(
      createHash("sha256")
        .update(await readFile(fetched.path))
        .digest("hex"),
    ).toBe(fetched.sha256);
    return { ...fetched, stderr: run.stderr };
  }

  it("builds, publishes, boots and promotes from a fresh clone with one command, and says what is live and how to roll back", async () => {
    const run = await checkout.npm("start");
    expectSuccess(run);
    isBaseOfThisRun = `${run.stdout}${run.stderr}`.includes("building the base image");
    first = await checkout.imageCommit();
    ({ url } = await status());
    expect(run.stdout).toContain(first);
    expect(run.stdout).toContain(`${url}/latest`);
    expect(run.stdout).toMatch(/pulumi -- config set latest/);
    expect(await served("latest")).toBe(`${first}\n`);
  });

  it("was booted where it could reach neither this machine nor the network, and tried to", async () => {
    const { checks } = await checkout.served<BootRecord>("x86_64", "boot.json");
    const name = "neither this machine nor the network can be reached";
    expect(checks).toContainEqual({ name, passed: true, seen: "tried" });
  });

  it("serves a disk whose decompressed bytes have the published sha256, with the headers hosts rely on", async () => {
    const disk = `${url}/images/${first}/ubuntu-x86_64.qcow2`;
    const response = await fetch(`${disk}.zst`);
    expect(response.headers.get("cache-control")).toBe("max-age=31536000, immutable");
    expect(response.headers.get("content-encoding")).toBeNull();
    await response.body?.cancel();
    const { stdout } = await execa({
      shell: "/bin/bash",
      env: { DISK: disk },
    })`set -o pipefail; curl -fsS "$DISK.zst" | zstd -dc --long=27 | sha256sum`;
    expect(await (await fetch(`${disk}.sha256`)).text()).toBe(`${stdout.split(" ")[0]}\n`);

    const latest = await fetch(`${url}/latest`);
    expect(latest.headers.get("cache-control")).toBe("max-age=60");
    expect(latest.headers.get("content-type")).toMatch(/^text\/plain/);
  });

  it("is downloaded and verified by the client a host would run", async () => {
    expect(await fetchImage("build/fetched")).toMatchObject({ commit: first, from: null });
  });

  it("is proven by its signer and by every byte, and one that is changed in the store is found", async () => {
    const verify = () =>
      checkout.npm(
        "run",
        "-s",
        "release",
        "--",
        "verify",
        "--commit",
        first,
        "--architectures",
        "x86_64",
        "--deep",
      );
    const whole = await verify();
    expectSuccess(whole);
    expect(JSON.parse(whole.stdout)).toMatchObject({
      problems: [],
      origins: [expect.stringMatching(/^ubuntu-x86_64: signed by (?!nobody)./)],
    });

    const key = `images/${first}/ubuntu-x86_64.qcow2.zst`;
    const file = await open(checkout.file(`.local/store/data/${bucket}/${key}`), "r+");
    try {
      const { buffer: byte } = await file.read(Buffer.alloc(1), 0, 1, 1_000_000);
      await file.write(Buffer.of(byte[0]! ^ 1), 0, 1, 1_000_000);
      const damaged = await verify();
      await file.write(byte, 0, 1, 1_000_000);
      expect(damaged.exitCode).not.toBe(0);
      expect(damaged.stderr).toContain(key);
    } finally {
      await file.close();
    }
    expectSuccess(await verify());
  });

  it("does nothing when started again, and nothing after a commit that leaves image/ alone", async () => {
    for (const change of ["none", "docs"]) {
      if (change === "docs") {
        await appendFile(checkout.file("docs/testing.md"), "\nA line.\n");
        await checkout.commit("Touch only docs");
      }
      const run = await checkout.npm("start");
      expectSuccess(run);
      expect((await status()).history, change).toHaveLength(1);
      expect(run.stderr, change).not.toMatch(/\b(created|updated|replaced)\b/);
    }
  });

  it("builds, boots and promotes a commit in image/, and still serves the image before it", async () => {
    const inputs = JSON.parse(await readFile(checkout.file("image/inputs.json"), "utf8")) as Inputs;
    inputs.contents.small.push({ name: "hello", for: "a test", packages: ["hello"], check: "hello" });
    await writeFile(checkout.file("image/inputs.json"), JSON.stringify(inputs));
    second = await checkout.commit("Add a package");
    expectSuccess(await checkout.npm("start"));
    expect(await served("latest")).toBe(`${second}\n`);
    expect(await served(`images/${first}/ubuntu-x86_64.qcow2.sha256`)).toMatch(/^[0-9a-f]{64}\n$/);
  });

  it("brings a host with the image before at most 10 % of an image that differs by a package, and it is the same disk", async () => {
    const { compressed, disk } = await checkout.served<Manifest>("x86_64", "json");
    const fetched = await fetchImage("build/fetched");
    expect(fetched).toMatchObject({ commit: second, from: first, ...disk });
    say(`a delta of ${fetched.downloadedBytes} in place of ${compressed.bytes} bytes, ${fetched.seconds} s`);
    expect(fetched.downloadedBytes).toBeLessThan(compressed.bytes * 0.1);
  });

  it("ends with the same disk where making it of the delta was killed in the middle", async () => {
    const { disk } = await checkout.served<Manifest>("x86_64", "json");
    const target = checkout.file(`build/fetched/${second}/ubuntu-x86_64.qcow2`);
    await rm(target);
    const fetching = execa("node", ["release/main.mjs", ...fetchArguments("build/fetched")], {
      cwd: checkout.root,
      env: { IMAGES_URL: url },
      reject: false,
    });
    await vi.waitFor(() => stat(`${target}.part`), { timeout: 60_000, interval: 2 });
    fetching.kill("SIGKILL");
    await fetching;
    await expect(stat(target)).rejects.toThrow();
    expect(await fetchImage("build/fetched")).toMatchObject({ from: first, ...disk });
  });

  it.each([
    ["missing", () => null, /answered 404/],
    [
      "damaged",
      (delta: Buffer) => Buffer.concat([delta.subarray(0, -1), Buffer.of(delta.at(-1)! ^ 1)]),
      /sha256/,
    ],
    ["that of another image", (delta: Buffer) => Buffer.alloc(delta.length, "another"), /sha256/],
  ])("ends with the same disk where the delta is %s", async (_, bend, why) => {
    const { compressed, disk, deltas } = await checkout.served<Manifest>("x86_64", "json");
    await rm(checkout.file(`build/fetched/${second}/ubuntu-x86_64.qcow2`));
    const cdn = await bentCdn(url, deltas![0]!.key, bend);
    try {
      const fetched = await fetchImage("build/fetched", { from: cdn.url });
      expect(fetched).toMatchObject({ from: null, ...disk });
      expect(fetched.downloadedBytes).toBeGreaterThanOrEqual(compressed.bytes);
      expect(fetched.stderr).toMatch(why);
    } finally {
      cdn.stop();
    }
  });

  it("shows of two images that differ by one package just that package, and what Debian updated since a cached base was made", async () => {
    const args = ["diff", first, second, "--format", "json"];
    const run = await checkout.npm("run", "-s", "release", "--", ...args);
    expectSuccess(run);
    const { diffs } = JSON.parse(run.stdout) as { diffs: { contents: Record<string, unknown[]> }[] };
    expect(diffs).toHaveLength(1);
    const { added, removed, changed } = diffs[0]!.contents;
    expect({ added, removed }).toEqual({
      added: [expect.objectContaining({ kind: "deb", name: "hello" })],
      removed: [],
    });
    // A base out of the cache may be weeks old: between the two there is what Debian has updated meanwhile.
    const update = expect.objectContaining({
      kind: "deb",
      versions: [expect.any(String), expect.any(String)],
    }) as unknown;
    expect(changed).toEqual(isBaseOfThisRun ? [] : changed!.map(() => update));
  });

  it("rolls back by one line of config, and forward again by removing it", async () => {
    expectSuccess(await checkout.npm("run", "-s", "pulumi", "--", "config", "set", "latest", first));
    const back = await checkout.npm("start");
    expectSuccess(back);
    expect(await served("latest")).toBe(`${first}\n`);
    expect(await status()).toMatchObject({ latest: first, pinned: first });

    expectSuccess(await checkout.npm("run", "-s", "pulumi", "--", "config", "rm", "latest"));
    expectSuccess(await checkout.npm("start"));
    expect(await served("latest")).toBe(`${second}\n`);
    expect((await status()).history.map(({ commit, previous }) => [commit, previous])).toEqual([
      [second, first],
      [first, second],
      [second, first],
      [first, null],
    ]);
  });

  it("goes back by a revert of the commit too: the pointer moves, and nothing is built, published or booted", async () => {
    await checkout.git("revert", "--no-edit", second);
    const run = await checkout.npm("start");
    expectSuccess(run);
    expect(run.stderr).toMatch(/^ *~ 1 updated\s+5 unchanged$/m);
    expect(run.stderr).toContain(`went back to the image ${first}`);
    expect(await served("latest")).toBe(`${first}\n`);
    expect((await status()).history).toHaveLength(5);
  });

  it("ends a build at once whose guest dies, and builds once more where it was QEMU's emulation", async () => {
    const script = checkout.file("image/scripts/10-packages.sh");
    const text = await readFile(script, "utf8");
    const dying = "echo '<0>int3: 0000 [#1]' > /dev/kmsg\necho c > /proc/sysrq-trigger";
    await writeFile(script, text.replace("set -euo pipefail", `$&\n${dying}`));
    await checkout.commit("Let the guest die while it is built");
    const run = await checkout.npm("start");
    expect(run.exitCode).not.toBe(0);
    expect(run.stderr).toMatch(/emulation \(int3\) ended this build, and not the image: building once more/);
    expect(run.stderr).toMatch(/the guest died while it was built: kernel panic: sysrq triggered crash/);
    expect(await served("latest")).toBe(`${first}\n`);
    await checkout.git("revert", "--no-edit", "HEAD");
  });

  it("stops an image with a broken runner unit at the boot test, shows the console's end, and leaves the pointer alone", async () => {
    const unit = checkout.file("image/files/etc/systemd/system/gha-runner.service");
    const text = await readFile(unit, "utf8");
    await writeFile(unit, text.replaceAll(/^ExecStart=.*$/gm, "ExecStart=/nonexistent"));
    await checkout.commit("Break the runner unit");
    const run = await checkout.npm("start");
    expect(run.exitCode).not.toBe(0);
    // By itself, and not when its time is over.
    expect(run.stderr).toMatch(/failed its boot test: the VM powered off without fetching its credential/);
    expect(run.stderr).toMatch(/\| .*\S/);
    expect(await served("latest")).toBe(`${first}\n`);
    expect((await status()).history).toHaveLength(5);
  });

  it("brings a host with the live image at most 2 % of one that differs by a file, live or not", async () => {
    const { commit, compressed, disk } = await checkout.served<Manifest>("x86_64", "json");
    const fetched = await fetchImage("build/fetched", { commit });
    expect(fetched).toMatchObject({ commit, from: first, ...disk });
    say(`a delta of ${fetched.downloadedBytes} in place of ${compressed.bytes} bytes, ${fetched.seconds} s`);
    expect(fetched.downloadedBytes).toBeLessThan(compressed.bytes * 0.02);
  });

  it("leaves nothing running after reset", async () => {
    expectSuccess(await checkout.npm("run", "reset"));
    const { stdout } = await execa("pgrep", ["-f", checkout.root], { reject: false });
    expect(stdout).toBe("");
    await expect(fetch(`${url}/latest`)).rejects.toThrow();
  });
});
