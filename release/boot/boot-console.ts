import { open } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { printable } from "../process/progress.js";

/** What ends a boot for good, as it shows on the console. The guest only waits for a person then. */
const dead: readonly { pattern: RegExp; what: string }[] = [
  // The whole line, so that the reason is in it.
  { pattern: /Kernel panic - not syncing:? *([^\r\n]*)[\r\n]/, what: "kernel panic" },
  {
    pattern: /grub rescue>|Boot failed: not a bootable disk|No bootable device/,
    what: "boot loader stopped",
  },
  { pattern: /\(initramfs\)|Dropping to a shell!/, what: "root file system not found" },
  { pattern: /You are in (?:emergency|rescue) mode/, what: "systemd gave up" },
];

/** Longer than any of these lines, so that none is missed where two reads meet. */
const overlap = 4096;
const readBytes = 256 * 1024;

/** One line: why the guest whose console shows this text will not go on; null while it may. */
export function findDeath(text: string): string | null {
  for (const { pattern, what } of dead) {
    const found = pattern.exec(text);
    if (found !== null) return `${what}: ${printable(found[1] ?? found[0])}`;
  }
  return null;
}

/**
 * Does the console show a fault of QEMU's emulation, and not of the image? While a kernel patches its own code, the first byte of each place is
 * a breakpoint (int3) for a moment. Before QEMU 8.1, an emulated CPU may still run into one that another has taken away: then it is
 * nobody's, and the kernel dies of it. Source: https://bugzilla.redhat.com/show_bug.cgi?id=2216496
 */
export function showsEmulationFault(text: string): boolean {
  return /\bint3: 0000 \[#\d+\]/.test(text);
}

/** The lines of ours ("gha: …") in the text: what the guest says of itself. */
export function ownLines(text: string): string[] {
  return text
    .split(/[\r\n]+/)
    .filter((line) => line.includes("gha: "))
    .map((line) => printable(line.slice(line.indexOf("gha: "))));
}

/**
 * Reads a console log as it grows, until the guest is dead.
 * @param progress gets the last of the guest's own lines, as it changes
 * @param signal ends the watch; the promise then never settles
 * @returns why the guest will not go on
 */
export async function watchConsole(
  file: string,
  progress: (line: string) => void,
  signal: AbortSignal,
): Promise<string> {
  const buffer = Buffer.alloc(readBytes);
  let position = 0;
  let text = "";
  while (!signal.aborted) {
    // QEMU makes the file when it starts.
    const handle = await open(file, "r").catch(() => null);
    try {
      for (let read = -1; handle !== null && read !== 0;) {
        read = (await handle.read(buffer, 0, buffer.length, position)).bytesRead;
        position += read;
        text = text.slice(-overlap) + buffer.toString("latin1", 0, read);
        const death = findDeath(text);
        if (death !== null) return death;
        const line = ownLines(text).at(-1);
        if (line !== undefined) progress(line);
      }
    } finally {
      await handle?.close();
    }
    await delay(200, undefined, { signal }).catch(() => undefined);
  }
  return await new Promise<never>(() => undefined);
}

/** The end of a console log; empty where there is none. */
export async function readConsoleEnd(file: string): Promise<string> {
  const handle = await open(file, "r").catch(() => null);
  if (handle === null) return "";
  try {
    const { size } = await handle.stat();
    const position = Math.max(0, size - readBytes);
    const { buffer, bytesRead } = await handle.read({ buffer: Buffer.alloc(readBytes), position });
    return buffer.toString("latin1", 0, bytesRead);
  } finally {
    await handle.close();
  }
}
