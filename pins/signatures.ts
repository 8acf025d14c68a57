import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { execa } from "execa";
import { UserError } from "../release/process/errors.js";
import { cancellation } from "../release/process/run.js";
import type { Publisher } from "./web.js";

/** The keys in pins/keys/, one a file (<key>.gpg). */
export type Key = "aws-cli" | "rust" | "ubuntu-archive" | "ubuntu-cloud-images";

/** Checks signatures with the keys of a folder, by gpgv: it trusts exactly these, and keeps nothing. */
export class Signatures {
  constructor(private readonly keys: string) {}

  /**
   * Checks a signature that is in a file of its own.
   * @param signed the file it is of
   * @param where of the signature, for the error
   * @throws UserError where the key did not make it
   */
  async detached(publisher: Publisher, where: string, signature: Buffer, signed: string, key: Key) {
    await inFolder(async (folder) => {
      const file = path.join(folder, "signature");
      await writeFile(file, signature);
      await this.gpgv(publisher, where, key, [file, signed]);
    });
  }

  /** As `detached`, of a text. */
  async ofText(publisher: Publisher, where: string, signature: Buffer, text: string, key: Key) {
    await inFolder(async (folder) => {
      const signed = path.join(folder, "signed");
      await writeFile(signed, text);
      await this.detached(publisher, where, signature, signed, key);
    });
  }

  /** Checks a text that holds its signature, and returns what is signed of it: others may have put text around that. */
  async inline(publisher: Publisher, where: string, text: string, key: Key): Promise<string> {
    return await inFolder(async (folder) => {
      const file = path.join(folder, "text");
      await writeFile(file, text);
      return await this.gpgv(publisher, where, key, ["--output", "-", file]);
    });
  }

  private async gpgv(publisher: Publisher, where: string, key: Key, args: string[]): Promise<string> {
    const result = await execa("gpgv", ["--keyring", path.join(this.keys, `${key}.gpg`), ...args], {
      reject: false,
      stdin: "ignore",
      stripFinalNewline: false,
      env: { LC_ALL: "C" },
      cancelSignal: cancellation.signal,
    });
    if (result.code === "ENOENT")
      throw new UserError("gpgv is missing, which checks signatures: sudo apt-get install gpgv");
    if (result.exitCode !== 0)
      throw publisher.wrong(
        where,
        `a signature by the key pins/keys/${key}.gpg`,
        "do not use it; if its publisher has a new key, put that there",
      );
    return result.stdout;
  }
}

async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(path.join(tmpdir(), "pins-"));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
