import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { World } from "./world.js";

describe.sequential("what stops an update, in one line and with nothing changed", () => {
  let world: World;
  let live: string;

  beforeAll(async () => {
    world = await World.create();
    world.environment.BOOT_TIMEOUT = "15";
    live = world.imageCommit;
    await world.up();
  });
  afterAll(() => world.remove());

  /** Runs a preview which must fail, and returns the diagnostics a person sees. */
  async function refusal(): Promise<string> {
    const before = await world.keys();
    const text = await world.failure(() => world.preview());
    expect(await world.keys()).toEqual(before);
    expect(text).not.toMatch(/\n\s+at .*:\d+:\d+/);
    return text;
  }

  it("refuses an unknown config key", async () => {
    await world.setConfig("colour", "red");
    expect(await refusal()).toMatch(/unknown config key runner-images:colour/);
    await world.setConfig("colour", undefined);
  });

  it("refuses an unknown architecture", async () => {
    await world.setConfig("architectures", ["arm64"]);
    expect(await refusal()).toMatch(/architectures may hold only x86_64, aarch64/);
    await world.setConfig("architectures", undefined);
  });

  it("refuses uncommitted changes of image/, and says that a local commit is enough", async () => {
    await world.write("image/new-file", "x");
    expect(await refusal()).toMatch(/image\/ has uncommitted changes.*local commit is enough/);
    await world.git("clean", "-qf", "image");
  });

  it("refuses a store that cannot be reached, wrong credentials and a missing bucket, each in its own words", async () => {
    const unreachable = world.withEnvironment({ AWS_ENDPOINT_URL_S3: "http://127.0.0.1:9" });
    expect(await world.failure(() => unreachable.preview())).toMatch(/cannot be reached/);
    const stranger = world.withEnvironment({ AWS_SECRET_ACCESS_KEY: "wrong" });
    expect(await world.failure(() => stranger.preview())).toMatch(/refuses the credentials/);
    const elsewhere = world.withEnvironment({ BUCKET: "no-such-bucket" });
    expect(await world.failure(() => elsewhere.preview())).toMatch(/does not exist|denies/);
  });

  it.each([
    ["build fails", { "fail-build": "" }, /make exited with/],
    ["guest panics", { behaviour: "panic" }, /panic/i],
    ["boot test takes too long", { behaviour: "hang" }, /timed out|did not|after 15/],
    ["job fails", { behaviour: "job-fails" }, /exit|non-zero/i],
    ["guest powers off too early", { behaviour: "early-poweroff" }, /boot test/],
    ["guest has a failed unit", { behaviour: "failed-unit" }, /unit/],
  ])(
    "leaves the pointer where it is when the %s, and goes on after the next commit",
    async (_, files, message) => {
      for (const [name, text] of Object.entries(files)) await world.write(`image/${name}`, text);
      await world.commit("break the image");
      expect(await world.failure(() => world.up())).toMatch(message);
      expect(await world.served("latest")).toBe(`${live}\n`);
      await world.git("revert", "--no-edit", "HEAD");
      live = await world.changeImage();
      await world.up();
      expect(await world.served("latest")).toBe(`${live}\n`);
    },
  );

  it("boots once more where QEMU's emulation killed the guest, and says so", async () => {
    await world.write("image/behaviour", "emulation-fault");
    live = await world.commit("boot into a fault of the emulation");
    expect((await world.up()).text).toMatch(
      /emulation \(int3\) ended this boot, and not the image: booting once more/,
    );
    expect(await world.served("latest")).toBe(`${live}\n`);
    await world.git("revert", "--no-edit", "HEAD");
    live = await world.changeImage();
    await world.up();
  });

  it("quotes the boot test's failure when a failed image is pinned", async () => {
    await world.write("image/behaviour", "panic");
    const failed = await world.commit("break the image");
    await world.failure(() => world.up());
    await world.pin(failed);
    expect(await refusal()).toMatch(/failed its boot test: .*panic/i);
    await world.pin(undefined);
    await world.git("revert", "--no-edit", failed);
    await world.up();
    expect(await world.served("latest")).toBe(`${live}\n`);
  });

  it("lets the loser of two concurrent moves say that another was faster, and keeps one log without gaps", async () => {
    const other = await world.copyImage(live, "c".repeat(40), {});
    const seq = (await world.history())[0]![0] + 1;
    const racers = await Promise.all(
      [other, live].map((commit) =>
        world.release("promote", { COMMIT: commit, SEQ: String(seq), ARCHITECTURES: "x86_64" }),
      ),
    );
    expect(racers.map((run) => run.exitCode).sort()).toEqual([0, 1]);
    expect(racers.find((run) => run.exitCode === 1)!.stderr).toMatch(/another update moved the pointer/);
    const history = await world.history();
    expect(history.map(([number]) => number)).toEqual(history.map((_, index) => history.length - index));
    await world.up();
    expect(await world.served("latest")).toBe(`${live}\n`);
  });

  it("refuses a second stack on the bucket before anything is written, until the pointer is handed over to it", async () => {
    const second = await world.secondStack("second");
    const before = await world.keys();
    for (const operation of [() => second.preview(), () => second.up()]) {
      const text = await world.failure(operation);
      expect(text).toMatch(
        new RegExp(
          `is another stack's, whose newest is move \\d+ to ${live} \\(stack runner-images/local, .*--stack runner-images/second`,
        ),
      );
      expect(text).not.toMatch(/\n\s+at .*:\d+:\d+/);
    }
    expect(await world.keys()).toEqual(before);
    const [[seq]] = (await world.history()) as [[number, string, string]];
    const handOver = await world.release(
      "promote",
      {},
      "--commit",
      live,
      "--architectures",
      "x86_64",
      "--stack",
      "runner-images/second",
    );
    expect(handOver).toMatchObject({ exitCode: 0 });
    expect((await world.history())[0]).toEqual([seq + 1, live, live]);
    expect((await second.preview()).changeSummary).toMatchObject({ create: 5, same: 1 });
    expect(await refusal()).toMatch(/\(stack runner-images\/second, .*, and this is runner-images\/local: /);
  });
});
