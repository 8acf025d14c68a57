import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { minimumEngine, isNewEnough } from "../../../local/tools/engine.js";
import { findGo, goEnvironment, goVersion, parseGoVersion } from "../../../local/tools/go.js";
import {
  actionlint,
  packer,
  pinnedVersion,
  pulumi,
  toolVersion,
  toxiproxy,
  versitygw,
} from "../../../local/tools/go-tools.js";
import { pinnedRequirement } from "../../../local/tools/zizmor.js";
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

  describe("is looked for on PATH:", () => {
    let folder: string;
    const script = (name: string) => path.join(folder, name);
    beforeAll(async () => {
      folder = await mkdtemp(path.join(tmpdir(), "go-"));
      const scripts = {
        broken: "#!/bin/sh\necho 'asdf: No version is set for command go' >&2\nexit 126\n",
        rubbish: "#!/bin/sh\necho move or capture\n",
        failing: "#!/bin/sh\necho go version go1.26.8 linux/amd64\nexit 1\n",
        damaged: "#!/no/such/interpreter\n",
        old: "#!/bin/sh\necho go version go1.19.8 linux/amd64\n",
        new: "#!/bin/sh\necho go version go1.26.8 linux/amd64\n",
      };
      for (const [name, text] of Object.entries(scripts))
        await writeFile(script(name), text, { mode: 0o755 });
    });
    afterAll(() => rm(folder, { recursive: true }));

    it.each([
      [["broken", "rubbish", "failing", "damaged", "new"], "new"],
      [["broken", "old"], "old"],
      [["old", "new"], "new"],
    ])("of %j it is %s that is used", async (names, used) => {
      expect(await findGo(names.map(script))).toMatchObject({ command: script(used) });
    });

    it.each([
      ["broken", /^the installed Go does not work \(.*exit code 126.*broken.*\)$/],
      ["rubbish", /^the installed Go does not work \(".*rubbish version" says "move or capture"\)$/],
      ["damaged", /^the installed Go does not work \(.*ENOENT.*\)$/],
    ])("where there is only a %s one, one line says why it is not used", async (name, line) => {
      expect(await findGo([script(name)])).toEqual({ obstacle: expect.stringMatching(line) as string });
    });

    it("where there is none, that is what is said", async () => {
      expect(await findGo([])).toEqual({ obstacle: "Go is missing" });
    });
  });

  it("writes only below the project's folder", () => {
    const env = goEnvironment("/checkout/.local/cache/go");
    for (const name of ["GOPATH", "GOCACHE", "GOMODCACHE", "GOTMPDIR", "XDG_CONFIG_HOME"]) {
      expect(env[name], name).toMatch(/^\/checkout\/\.local\/cache\/go\//);
    }
  });
});

describe("a tool built from its Go module", () => {
  it.each([pulumi, versitygw, packer, actionlint, toxiproxy])(
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

describe("zizmor", () => {
  it("is pinned by version, and by the hash of each of its wheels", async () => {
    const text = await readFile(path.join(checkout, "local/tools/zizmor/requirements.txt"), "utf8");
    expect(pinnedRequirement(text, "zizmor")).toMatch(/^\d+\.\d+\.\d+$/);
    const [, ...hashes] = text
      .replaceAll(/^#.*\n/gm, "")
      .trim()
      .split(/\s+\\\n\s+/);
    expect(hashes.length).toBeGreaterThan(1);
    for (const hash of hashes) expect(hash).toMatch(/^--hash=sha256:[0-9a-f]{64}$/);
  });

  it.each(["zizmor>=1.0.0\n", "zizmor\n", "zizmor-extra==1.2.3\n", "# zizmor==1.2.3\n"])(
    "is not taken for pinned by %j",
    (text) => {
      expect(() => pinnedRequirement(text, "zizmor")).toThrow("pins no zizmor");
    },
  );
});
