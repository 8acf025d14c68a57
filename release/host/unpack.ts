import { createHash } from "node:crypto";
import { open, rm, type FileHandle } from "node:fs/promises";
import { execa } from "execa";
import { UserError } from "../process/errors.js";
import { cancellation } from "../process/run.js";

/** What an archive and the disk in it are; both lowercase hex. */
export interface Unpacked {
  archiveSha256: string;
  /** Of what was written, whether or not that is all. */
  diskSha256: string;
  /** Why zstd rejects the archive, in its own words; null: it does not. */
  problem: string | null;
}

/** An archive that is unpacked while it is still being downloaded. */
export interface Unpacking {
  /** So many bytes of the archive are there. Fewer than before: it was begun again. */
  grown: (bytes: number) => void;
  /** Once all of it is there. */
  finish: () => Promise<Unpacked>;
  /** Where it will not come: ends zstd and removes what it wrote. */
  abandon: () => Promise<void>;
}

const pieceBytes = 1024 * 1024;
/** After so much of a disk, what came is written to the drive, beside the rest: all at once, at the end, it would be waited for. */
const syncedBytes = 32 * pieceBytes;

/**
 * Reads an archive as far as it has come, unpacks it, and hashes both on the way. Where its beginning is replaced in the meantime,
 * which happens when the server has other bytes than those of an earlier run, it is unpacked once more when all of it is there.
 * @param target the file that the disk is written to
 */
export function unpackGrowing(archive: string, target: string): Unpacking {
  let have = 0;
  let state: "growing" | "whole" | "replaced" | "abandoned" = "growing";
  let wake = () => undefined as void;

  async function* arriving(): AsyncGenerator<Buffer> {
    let taken = 0;
    // The reader may still be busy with one piece when it takes the next.
    const buffers = [Buffer.allocUnsafe(pieceBytes), Buffer.allocUnsafe(pieceBytes)];
    let file: FileHandle | undefined;
    try {
      while (state === "growing" || (state === "whole" && taken < have)) {
        if (taken === have) {
          await new Promise<void>((resolve) => (wake = resolve));
          continue;
        }
        file ??= await open(archive);
        const length = Math.min(pieceBytes, have - taken);
        buffers.reverse();
        const { bytesRead } = await file.read(buffers[0]!, 0, length, taken);
        if (bytesRead === 0) return;
        taken += bytesRead;
        yield buffers[0]!.subarray(0, bytesRead);
      }
    } finally {
      await file?.close();
    }
  }

  const change = (to: typeof state) => {
    state = to;
    wake();
  };
  const first = unpack(arriving(), target);
  first.catch(() => undefined);
  return {
    grown: (bytes) => {
      if (bytes < have) change("replaced");
      have = bytes;
      wake();
    },
    finish: async () => {
      const replaced = state === "replaced";
      if (!replaced) change("whole");
      const unpacked = await first;
      if (!replaced) return unpacked;
      state = "whole";
      return unpack(arriving(), target);
    },
    abandon: async () => {
      change("abandoned");
      await first.catch(() => undefined);
      await rm(target, { force: true });
    },
  };
}

/**
 * Unpacks an archive. The disk is hashed right behind zstd, which writes it itself: runs of zeros become holes, and no byte of it passes
 * through a pipe. The window is the contract's limit: 2^27 bytes.
 */
async function unpack(archive: AsyncIterable<Buffer>, target: string): Promise<Unpacked> {
  await rm(target, { force: true });
  const zstd = execa(
    "setpriv",
    ["--pdeathsig", "KILL", "zstd", "-d", "--long=27", "--sparse", "-f", "-q", "-o", target],
    { stdin: "pipe", cancelSignal: cancellation.signal, reject: false },
  );
  let isOpen = true;
  // It has ended, and its exit code and stderr say why.
  zstd.stdin.on("error", () => (isOpen = false));
  const archiveHash = createHash("sha256");
  const disk = new HashBehind(target);
  // While zstd takes a piece, what it made of those before is hashed.
  let taken = Promise.resolve();
  try {
    for await (const piece of archive) {
      archiveHash.update(piece);
      await taken;
      if (!isOpen) continue;
      taken = new Promise((done) => zstd.stdin.write(piece, () => done()));
      await disk.readOn();
    }
    await taken;
    zstd.stdin.end();
    const result = await zstd;
    if (result.isCanceled) throw new UserError(`decompressing to ${target} was cancelled`);
    await disk.readOn();
    await disk.synced();
    const said = result.stderr.slice(0, 300).trim();
    const problem = result.failed ? said || `it exited with ${result.exitCode ?? result.signal}` : null;
    return { archiveSha256: archiveHash.digest("hex"), diskSha256: disk.digest(), problem };
  } finally {
    zstd.kill("SIGKILL");
    await zstd;
    await disk.close();
  }
}

/** The sha256 of a file that is only ever appended to, and that is written to its drive on the way. */
class HashBehind {
  readonly #hash = createHash("sha256");
  readonly #buffer = Buffer.allocUnsafe(pieceBytes);
  #file: FileHandle | undefined;
  #position = 0;
  #syncedTo = 0;
  #syncing = Promise.resolve();

  constructor(readonly path: string) {}

  async readOn(): Promise<void> {
    this.#file ??= await open(this.path).catch(() => undefined);
    for (;;) {
      const read = await this.#file?.read(this.#buffer, 0, pieceBytes, this.#position);
      if (read === undefined || read.bytesRead === 0) return;
      this.#hash.update(this.#buffer.subarray(0, read.bytesRead));
      this.#position += read.bytesRead;
      if (this.#position - this.#syncedTo >= syncedBytes) await this.#startSync(this.#file!);
    }
  }

  /** What the drive refuses is said here: a later sync of the file by another handle would not learn of it any more. */
  async #startSync(file: FileHandle): Promise<void> {
    await this.#syncing;
    this.#syncedTo = this.#position;
    this.#syncing = file.datasync().catch((error: NodeJS.ErrnoException) => {
      const kind = error.code === "ENOSPC" ? "noSpace" : "failed";
      throw new UserError(
        `${this.path} cannot be written to its drive (${error.code}): look at that drive, and repeat`,
        { kind, cause: error },
      );
    });
    this.#syncing.catch(() => undefined);
  }

  digest(): string {
    return this.#hash.digest("hex");
  }

  /** Waits for what is on its way to the drive. */
  synced(): Promise<void> {
    return this.#syncing;
  }

  async close(): Promise<void> {
    await this.#file?.close();
  }
}
