import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

const script = new URL("../../../image/files/usr/lib/runner-image/credentials.sh", import.meta.url);
const mark = "io.systemd.credential:";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), "runner-images-credentials-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** A table of type 11: its header (type, length, handle, count of strings), the strings, and the end. */
function table(handle: number, ...strings: string[]): Buffer {
  const header = Buffer.from([11, 5, handle & 255, handle >> 8, strings.length]);
  return Buffer.concat([header, ...strings.map((text) => Buffer.from(`${text}\0`)), Buffer.of(0)]);
}

/** What a function of the script leaves in REPLY in a VM with these tables, and these files of systemd's; null where it fails. */
async function reply(
  call: string,
  { tables = [], files = {} }: { tables?: Buffer[]; files?: Record<string, string> },
): Promise<string | null> {
  const vm = await mkdtemp(path.join(folder, "vm-"));
  const [entries, credentials] = [path.join(vm, "entries"), path.join(vm, "credentials")];
  await Promise.all([mkdir(entries), mkdir(credentials)]);
  for (const [index, bytes] of tables.entries()) {
    await mkdir(path.join(entries, `11-${index}`));
    await writeFile(path.join(entries, `11-${index}/raw`), bytes);
  }
  for (const [name, text] of Object.entries(files)) await writeFile(path.join(credentials, name), text);
  const text = (await readFile(script, "utf8")).replaceAll("/sys/firmware/dmi/entries", entries);
  const { exitCode, stdout } = await execa(
    "bash",
    ["-euo", "pipefail", "-c", `${text}\n${call}\nprintf %s "$REPLY"`],
    {
      env: { CREDENTIALS_DIRECTORY: credentials },
      reject: false,
    },
  );
  return exitCode === 0 ? stdout : null;
}

describe("the credentials of a VM", () => {
  const long = "A".repeat(20_000);

  it.each<[string, string, Parameters<typeof reply>[1], string | null]>([
    ["a table's only string", "credential a", { tables: [table(0x0e00, `${mark}a=1`)] }, "1"],
    ["one whose header has no NUL", "credential a", { tables: [table(0x0e01, `${mark}a=1`)] }, "1"],
    ["a later string", "credential b", { tables: [table(0x0e00, `${mark}a=1`, `${mark}b=2`)] }, "2"],
    [
      "another table",
      "credential b",
      { tables: [table(0x0e00, `${mark}a=1`), table(0x0e01, `${mark}b=2`)] },
      "2",
    ],
    ["systemd's file", "credential a", { files: { a: "1" } }, "1"],
    [
      "the table where systemd cut it off",
      "credential a",
      { tables: [table(0x0e00, `${mark}a=${long}`)], files: { a: long.slice(0, 4_000) } },
      long,
    ],
    [
      "nothing where another's value names it",
      "credential b",
      { tables: [table(0x0e00, `${mark}a=${mark}b=2`)] },
      "",
    ],
    [
      "nothing where its name only begins like it",
      "credential a",
      { tables: [table(0x0e00, `${mark}ab=2`)] },
      "",
    ],
    ["nothing where there is none", "credential a", {}, ""],
    [
      "a URL without what follows it",
      "credential_url a",
      { tables: [table(0x0e00, `${mark}a=http://h/p?x=[1]\u0001é`)] },
      "http://h/p?x=[1]",
    ],
    ["a URL's first line", "credential_url a", { files: { a: "http://h/\nhttp://other/" } }, "http://h/"],
    ["no URL where there is none", "credential_url a", {}, ""],
    [
      "base64 without what follows it",
      'credential a; base64_part "$REPLY"',
      { files: { a: "QUJD==\u0002x" } },
      "QUJD==",
    ],
    [
      "that there is one, if only an empty one",
      "has_credential a",
      { tables: [table(0x0e00, `${mark}a=`)] },
      "",
    ],
    ["that there is none", "has_credential a", { tables: [table(0x0e00, `${mark}b=1`)] }, null],
  ])("are read: %s", async (_, call, vm, expected) => {
    expect(await reply(call, vm)).toBe(expected);
  });
});
