import { createPrivateKey } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { startBootService, type BootService } from "../../../../release/boot/boot-service.js";
import { guestService } from "../../../../release/boot/qemu.js";

let service: BootService;
afterEach(() => service.close());

/** What the guest sees as an address of its own is a port of this machine's loopback interface. */
function asSeenHere(url: string): string {
  return url.replace(`//${guestService}/`, `//127.0.0.1:${service.port}/`);
}

async function call(url: string, init?: RequestInit): Promise<{ status: number; text: string }> {
  const response = await fetch(asSeenHere(url), init);
  return { status: response.status, text: await response.text() };
}

function decode(base64: string): unknown {
  return JSON.parse(Buffer.from(base64, "base64").toString("utf8"));
}

async function fixtureUrl(): Promise<string> {
  const { text } = await call(service.jitConfigUrl);
  return (decode(text) as { fixture: { url: string } }).fixture.url;
}

describe("the boot service", () => {
  it("gives the configuration once, refuses it afterwards, and counts both", async () => {
    service = await startBootService("fixture");
    expect((await call(service.jitConfigUrl)).status).toBe(200);
    expect(await call(service.jitConfigUrl)).toEqual({ status: 410, text: "" });
    expect(service.seen.credentialFetches).toHaveLength(2);
  });

  it("takes garbage after the query string, which QEMU before 10 leaves there", async () => {
    service = await startBootService("fixture");
    expect(service.jitConfigUrl).toMatch(/^http:\/\/10\.0\.2\.100\/[0-9a-f]{32}\?x=1$/);
    expect((await call(`${service.jitConfigUrl}%00%ff?&garbage`)).status).toBe(200);
  });

  it("gives the job, and notes its result and the report", async () => {
    service = await startBootService("fixture");
    const url = await fixtureUrl();
    expect((await call(`${url}/job`)).text).toMatch(/^#!\/bin\/sh\n/);
    await service.runnerCalled;
    await call(`${url}/result?exit=7`, { method: "POST", body: "user=gha\n" });
    await call(service.reportUrl, { method: "POST", body: '{"users": []}' });
    expect(service.seen.jobResult).toMatchObject({ exit: "7", output: "user=gha\n" });
    expect(service.seen.report?.content).toEqual({ users: [] });
  });

  it("notes a report that is not JSON as one without content", async () => {
    service = await startBootService("fixture");
    await call(service.reportUrl, { method: "POST", body: "\u0000not json" });
    expect(service.seen.report).toMatchObject({ content: undefined });
  });

  it("tells what the contents answered from the report that comes later at the same URL", async () => {
    service = await startBootService("github");
    const contents = [{ name: "jq", passed: true, seen: "jq-1.7" }];
    await call(service.reportUrl, { method: "POST", body: JSON.stringify({ contents }) });
    await service.contentsChecked;
    expect(service.seen).toMatchObject({ contents, report: null });
    await call(service.reportUrl, { method: "POST", body: JSON.stringify({ users: [] }) });
    expect(service.seen).toMatchObject({ contents, report: { content: { users: [] } } });
  });

  it("answers nobody who does not know the tokens", async () => {
    service = await startBootService("fixture");
    const { origin } = new URL(service.jitConfigUrl);
    for (const path of ["/", "/job", "/result?exit=0", `/${"0".repeat(32)}`, "/undefined"])
      expect((await call(`${origin}${path}`)).status, path).toBe(404);
    expect(service.seen).toEqual({
      credentialFetches: [],
      runnerCall: null,
      jobResult: null,
      contents: null,
      trespasses: [],
      report: null,
    });
  });

  it("names what the guest must not reach, and notes who connects to it all the same", async () => {
    service = await startBootService("fixture");
    const { text } = await call(service.reportUrl);
    const targets = text.trimEnd().split("\n");
    expect(targets[0]).toMatch(/^10\.0\.2\.2 \d+$/);
    for (const target of targets) {
      const [address = "", port = ""] = target.split(" ");
      const socket = connect(Number(port), address === "10.0.2.2" ? "127.0.0.1" : address);
      await once(socket, "close");
    }
    expect(service.seen.trespasses).toEqual(targets.map((target) => target.replace(" ", ":")));
  });

  it("does not take a body without end", async () => {
    service = await startBootService("fixture");
    const body = "x".repeat(3 * 1024 * 1024);
    await expect(call(service.reportUrl, { method: "POST", body })).rejects.toThrow();
    expect(service.seen.report).toBeNull();
  });

  it("gives the real runner a configuration of GitHub's form, and notes its call without answering it", async () => {
    service = await startBootService("github");
    const files = decode((await call(service.jitConfigUrl)).text) as Record<string, string>;
    expect(Object.keys(files)).toEqual([".runner", ".credentials", ".credentials_rsaparams"]);
    const settings = decode(files[".runner"]!) as Record<string, string>;
    const { data } = decode(files[".credentials"]!) as { data: Record<string, string> };
    expect(settings).toMatchObject({ Ephemeral: "true", UseV2Flow: "true", ServerUrlV2: settings.ServerUrl });
    expect(data.authorizationUrl).toContain(settings.ServerUrl);

    const silence = new AbortController();
    const answer = fetch(asSeenHere(data.authorizationUrl!), { method: "POST", signal: silence.signal });
    let answered = false;
    answer.finally(() => (answered = true)).catch(() => undefined);
    await service.runnerCalled;
    // A whole exchange later it would have come.
    await call(service.reportUrl, { method: "POST", body: "{}" });
    expect(answered).toBe(false);
    silence.abort();
    await expect(answer).rejects.toThrow(/abort/);
    expect(service.seen.runnerCall).toBeInstanceOf(Date);
  });

  it("gives the real runner a key that works", async () => {
    service = await startBootService("github");
    const files = decode((await call(service.jitConfigUrl)).text) as Record<string, string>;
    const { modulus, exponent, inverseQ, ...rest } = decode(files[".credentials_rsaparams"]!) as Record<
      string,
      string
    >;
    const numbers = { n: modulus!, e: exponent!, qi: inverseQ!, ...rest };
    const jwk = Object.entries(numbers).map(([name, value]) => [
      name,
      Buffer.from(value, "base64").toString("base64url"),
    ]);
    const key = createPrivateKey({
      format: "jwk",
      key: { kty: "RSA", ...(Object.fromEntries(jwk) as object) },
    });
    expect(key.asymmetricKeyDetails?.modulusLength).toBe(2048);
  });
});
