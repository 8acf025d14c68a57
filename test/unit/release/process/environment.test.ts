import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { withoutCredentials } from "../../../../release/process/environment.js";
import { run } from "../../../../release/process/run.js";

describe("a process that runs others' code", () => {
  it.each([
    ...[
      "PATH",
      "HOME",
      "USER",
      "TMPDIR",
      "LANG",
      "LC_ALL",
      "TZ",
      "TERM",
      "XDG_RUNTIME_DIR",
      "XDG_DATA_DIRS",
      "CI",
    ],
    ...[
      "http_proxy",
      "HTTPS_PROXY",
      "no_proxy",
      "ALL_PROXY",
      "SSL_CERT_FILE",
      "CURL_CA_BUNDLE",
      "APT_CONFIG",
    ],
    ...["CPUS", "MEMORY_MB", "PACKER_CONFIG_DIR", "PACKER_PLUGIN_PATH", "PACKER_LOG", "CHECKPOINT_DISABLE"],
  ])("is told %s", (name) => {
    expect(withoutCredentials({ [name]: "value" })).toEqual({ [name]: "value" });
  });

  it.each([
    ...[
      "AWS_ACCESS_KEY_ID",
      "AWS_SECRET_ACCESS_KEY",
      "AWS_SESSION_TOKEN",
      "AWS_PROFILE",
      "AWS_ENDPOINT_URL_S3",
    ],
    ...["AWS_SHARED_CREDENTIALS_FILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_AUTHORIZATION_TOKEN"],
    ...["GITHUB_TOKEN", "GH_TOKEN", "GH_ENTERPRISE_TOKEN", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_OUTPUT"],
    ...["ACTIONS_ID_TOKEN_REQUEST_TOKEN", "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_RUNTIME_TOKEN"],
    ...["PULUMI_ACCESS_TOKEN", "PULUMI_CONFIG_PASSPHRASE", "PULUMI_BACKEND_URL", "PULUMI_MONITOR_TARGET"],
    ...["PULUMI_ENGINE_TARGET", "PULUMI_COMMAND_STDOUT", "BUCKET", "IMAGES_URL", "SEQ"],
    ...[
      "PACKER_GITHUB_API_TOKEN",
      "PKR_VAR_secret",
      "NPM_TOKEN",
      "SSH_AUTH_SOCK",
      "VAULT_TOKEN",
      "MAKEFLAGS",
    ],
    ...["XDG_SESSION_TOKEN", "MY_PATH", "PATHS", "HTTP_PROXY_PASSWORD", "LC_"],
  ])("is not told %s", (name) => {
    expect(withoutCredentials({ [name]: "value" })).toEqual({});
  });

  it("has no variable that is not set", () => {
    expect(withoutCredentials({ HOME: undefined })).toEqual({});
  });
});

describe("run", () => {
  let folder: string;
  afterEach(async () => {
    vi.unstubAllEnvs();
    await rm(folder, { recursive: true });
  });
  const said = async (options: { withoutCredentials?: boolean }) => {
    folder = await mkdtemp(path.join(tmpdir(), "run-"));
    vi.stubEnv("AWS_SECRET_ACCESS_KEY", "secret");
    vi.stubEnv("TZ", "UTC");
    const log = path.join(folder, "log");
    await run("env", [], { log, env: { SETTING: "1" }, ...options });
    return readFile(log, "utf8");
  };

  it("keeps credentials from a process that runs others' code, and gives it what it was given for it", async () => {
    const text = await said({ withoutCredentials: true });
    expect(text).not.toContain("secret");
    expect(text).toMatch(/^TZ=UTC$/m);
    expect(text).toMatch(/^SETTING=1$/m);
  });

  it("hands on everything otherwise", async () => {
    expect(await said({})).toMatch(/^AWS_SECRET_ACCESS_KEY=secret$/m);
  });
});
