import { randomUUID } from "node:crypto";
import { open, rename, rm, type FileHandle } from "node:fs/promises";
import path from "node:path";
import { UserError } from "./errors.js";

/** Writes a file so that it is there whole or not at all, also after a power failure. */
export async function writeFileAtomically(
  file: string,
  content: string,
  options: { mode?: number } = {},
): Promise<void> {
  const temporary = `${file}.${randomUUID()}.tmp`;
  try {
    const handle = await open(temporary, "w", options.mode ?? 0o644);
    try {
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
    await sync(path.dirname(file));
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

/** Until this is done, a power failure can leave a file that has its name but not its content, or a folder without the name. */
export async function sync(file: string): Promise<void> {
  const handle = await open(file, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Pieces of a part of a file. @throws UserError where it ends before */
export async function* readRange(
  file: FileHandle,
  [offset, length]: [offset: number, length: number],
): AsyncGenerator<Buffer> {
  const pieceBytes = 1024 * 1024;
  for (let done = 0; done < length; done += pieceBytes)
    yield await readAt(file, offset + done, Math.min(pieceBytes, length - done));
}

/** @throws UserError where the file ends before */
export async function readAt(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(length);
  for (let done = 0; done < length;) {
    const { bytesRead } = await file.read(buffer, done, length - done, offset + done);
    if (bytesRead === 0) throw new UserError("a file ended before its length");
    done += bytesRead;
  }
  return buffer;
}
