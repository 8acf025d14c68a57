import { readFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { minimumEngine, isNewEnough } from "../../../local/tools/engine.js";
import { goEnvironment, goVersion, parseGoVersion } from "../../../local/tools/go.js";
import { packer, pinnedVersion, pulumi, toolVersion, versitygw } from "../../../local/tools/go-tools.js";
import { checkout } from "../../../local/paths.js";

describe("an installed engine", () => {
  it.each(["v3.248.0\n", "v3.259.0", "3.300.1"])("is new enough when it says %j", (text) => {
    expect(isNewEnough(text)).toBe(true);
  });
  it.each(["v3.247.9", "v2.99.0", "v4.0.0", "v3.248.0-alpha.1", "", "command not found"])(
    "is not used when it says %j",
    (text) => {
      expect(isNewEnough(text)).toBe(false);
    },
  );
  it("must be at least as new as the SDK", async () => {
    const text = await readFile(path.join(checkout, "node_modules/@pulumi/pulumi/package.json"), "utf8");
    expect(minimumEngine).toBe((JSON.parse(text) as { version: string }).version);
  });
});

describe("an installed Go", () => {
  it.each([
    ["go version go1.19.8 linux/amd64", "1.19.8"],
    ["go version go1.26 linux/arm64", "1.26.0"],
    ["go version go1.27rc1 linux/amd64", "1.27.0"],
    ["gccgo", undefined],
  ])("says its version: %j is %s", (text, version) => {
    expect(parseGoVersion(text)).toBe(version);
  });

  it("writes only below the project's folder", () => {
    const env = goEnvironment("/checkout/.local/cache/go");
    for (const name of ["GOPATH", "GOCACHE", "GOMODCACHE", "GOTMPDIR", "XDG_CONFIG_HOME"]) {
      expect(env[name], name).toMatch(/^\/checkout\/\.local\/cache\/go\//);
    }
  });
});

describe("a tool built from its Go module", () => {
  it.each([pulumi, versitygw, packer])(
    "is pinned, with the toolchain that builds it: $name",
    async (tool) => {
      expect(await toolVersion(tool)).toMatch(/^\d+\.\d+\.\d+$/);
      const folder = path.join(checkout, "local", "tools", tool.name);
      const goMod = await readFile(path.join(folder, "go.mod"), "utf8");
      expect(goMod).toContain(`\ntoolchain go${goVersion}\n`);
      const goSum = await readFile(path.join(folder, "go.sum"), "utf8");
      expect(goSum).toContain(`${tool.module} v${await toolVersion(tool)} h1:`);
    },
  );

  it("has the version of its module, not of one with a similar name", () => {
    const goMod = "require (\n\texample.com/a/sdk v1.0.0\n\texample.com/a v2.3.4 // indirect\n)\n";
    expect(pinnedVersion(goMod, "example.com/a")).toBe("2.3.4");
    expect(pinnedVersion("require example.com/a v0.1.0\n", "example.com/a")).toBe("0.1.0");
    expect(() => pinnedVersion(goMod, "example.com/b")).toThrow("pins no example.com/b");
  });
});
