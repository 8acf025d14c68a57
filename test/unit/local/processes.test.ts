import { describe, expect, it } from "vitest";
import { endSession, identify, isAlive, parseStat, sessionMembers } from "../../../local/processes.js";

describe("the identity of a process", () => {
  it("is read from /proc whatever the program calls itself", () => {
    const fields = Array.from({ length: 50 }, (_, index) => String(index + 3));
    fields[0] = "S";
    expect(parseStat(`42 (tricky) name (x) ${fields.join(" ")}`)).toEqual({
      state: "S",
      session: 6,
      startTicks: 22,
    });
  });

  it("holds for a live process and for no other one with its number", async () => {
    const self = (await identify(process.pid))!;
    expect(self.executable).toBe(process.execPath);
    expect(await isAlive(self)).toBe(true);
    expect(await isAlive({ ...self, startTicks: self.startTicks - 1 })).toBe(false);
    expect(await isAlive({ ...self, bootId: "another boot" })).toBe(false);
  });

  it("is none for a number that no process has", async () => {
    // Above the largest number Linux gives.
    expect(await identify(2 ** 22 + 1)).toBeUndefined();
  });

  it("protects a foreign process which was given the recorded number", async () => {
    const self = (await identify(process.pid))!;
    const recorded = { ...self, startTicks: self.startTicks - 1 };
    expect(await sessionMembers(recorded)).toEqual([]);
    // Would end this very test run.
    await endSession(recorded, "SIGKILL", 0);
    expect(await isAlive(self)).toBe(true);
  });
});
