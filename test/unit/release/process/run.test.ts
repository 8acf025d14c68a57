import { chmod, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { run } from "../../../../release/process/run.js";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "run-"));
  await symlink("/bin/sh", path.join(folder, "sh"));
  await writeFile(path.join(folder, "setpriv"), '#!/bin/sh\necho "$1 $2"\nshift 2\nexec "$@"\n');
});
afterAll(async () => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
  await rm(folder, { recursive: true });
});

/** What a tool printed that was run with that folder alone on PATH. */
async function printed(): Promise<string> {
  const log = path.join(folder, "log");
  await run("sh", ["-c", "echo done"], { log });
  return readFile(log, "utf8");
}

describe("a tool", () => {
  it("runs without setpriv, as on a Mac, and what is missing is said once", async () => {
    vi.stubEnv("PATH", folder);
    const said: string[] = [];
    vi.spyOn(process.stderr, "write").mockImplementation((text) => said.push(String(text)) > 0);
    expect(await printed()).toBe("done\n");
    expect(await printed()).toBe("done\n");
    expect(said).toEqual([expect.stringMatching(/^no setpriv here .*go on to their end\n$/)]);
  });

  it("ends with this process where there is one", async () => {
    vi.stubEnv("PATH", folder);
    await chmod(path.join(folder, "setpriv"), 0o755);
    expect(await printed()).toBe("--pdeathsig TERM\ndone\n");
  });
});
