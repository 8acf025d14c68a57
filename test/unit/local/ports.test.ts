import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { UserError } from "../../../release/process/errors.js";
import { assignPorts, freePort, isFree, portCandidates, wantedPort } from "../../../local/services/ports.js";

let run: string;
beforeEach(async () => (run = await mkdtemp(path.join(tmpdir(), "ports-"))));
afterEach(() => rm(run, { recursive: true }));

describe("the ports of a checkout", () => {
  it("stay the same once chosen", async () => {
    const first = await assignPorts(run, {});
    expect(await assignPorts(run, {})).toEqual(first);
    expect(first.s3).not.toBe(first.cdn);
  });

  it("follow S3_PORT and CDN_PORT, and stay there", async () => {
    await assignPorts(run, {});
    await assignPorts(run, { S3_PORT: "20123", CDN_PORT: "20124" });
    expect(await assignPorts(run, {})).toEqual({ s3: 20123, cdn: 20124 });
  });

  it("are chosen anew when the stored file is damaged", async () => {
    await writeFile(path.join(run, "ports.json"), '{"s3": 2');
    const ports = await assignPorts(run, {});
    expect(JSON.parse(await readFile(path.join(run, "ports.json"), "utf8"))).toEqual(ports);
  });

  it("lie below the ports of outgoing connections, so that they stay free", () => {
    for (const port of portCandidates(200)) {
      expect(port).toBeGreaterThanOrEqual(20_000);
      expect(port).toBeLessThan(30_000);
    }
  });
});

describe("a port in the environment", () => {
  it.each(["80", "0", "65536", "123456", "-1", "2e4", "x", "20123 "])("is refused when it is %j", (text) => {
    expect(() => wantedPort("s3", 20_001, { S3_PORT: text })).toThrow(UserError);
    expect(() => wantedPort("s3", 20_001, { S3_PORT: text })).toThrow(
      /^S3_PORT must be a port from 1024 to 65535/,
    );
  });

  it("counts as absent when it is empty", () => {
    expect(wantedPort("cdn", 20_001, { CDN_PORT: "" })).toBe(20_001);
    expect(wantedPort("cdn", undefined, {})).toBeUndefined();
  });
});

describe("isFree", () => {
  it("tells a port in use from a free one", async () => {
    const server = createServer();
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    const { port } = server.address() as AddressInfo;
    expect(await isFree(port)).toBe(false);
    await new Promise((closed) => server.close(closed));
    expect(await isFree(port)).toBe(true);
    expect(await isFree(await freePort())).toBe(true);
  });
});
