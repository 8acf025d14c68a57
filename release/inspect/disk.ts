import { rm } from "node:fs/promises";
import { execa } from "execa";
import { z } from "zod";
import { UserError } from "../process/errors.js";
import { cancellation } from "../process/run.js";
import { requireTools, toolPath } from "../process/tools.js";

/** The root file system of an image's disk, read where it lies: no guest is started, nothing is mounted, and nobody has to be root. */
export interface Disk {
  /**
   * The content of a regular file; null where there is none.
   * @param path absolute, without white space; symbolic links are not followed
   * @throws UserError where the file system cannot be read
   */
  read: (path: string) => Promise<string | null>;
}

/**
 * @param qcow2 beside it there has to be space for its content once more
 * @throws UserError where it is not a disk with an ext4 file system on its largest partition
 */
export async function withDisk<T>(qcow2: string, work: (disk: Disk) => Promise<T>): Promise<T> {
  await requireTools(["qemu-img", "sfdisk", "debugfs"]);
  const raw = `${qcow2}.raw`;
  try {
    await inspect(qcow2, "qemu-img", ["convert", "-q", "-f", "qcow2", "-O", "raw", qcow2, raw]);
    const { stdout } = await inspect(qcow2, "sfdisk", ["--json", raw]);
    const { partitions } = partitionTable.parse(JSON.parse(stdout)).partitiontable;
    const root = partitions.reduce((one, other) => (other.size > one.size ? other : one));
    const device = `${raw}?offset=${root.start * sectorBytes}`;
    // Of a file system that it cannot open debugfs says so for every command, and still ends well.
    const read = async (path: string) => {
      const { stdout: content, stderr } = await inspect(qcow2, "debugfs", ["-R", `cat ${path}`, device]);
      const said = stderr.replace(/^debugfs \d.*\n?/, "").trim();
      if (said === "") return content;
      if (said.includes("File not found")) return null;
      throw unreadable(qcow2, said);
    };
    return await work({ read });
  } finally {
    await rm(raw, { force: true });
  }
}

const sectorBytes = 512;
const partitionTable = z.object({
  partitiontable: z.object({
    sectorsize: z.literal(sectorBytes),
    partitions: z.array(z.object({ start: z.number(), size: z.number() })).nonempty(),
  }),
});

/** Lists of packages are long: more than this is none. */
const mostBytes = 64 * 1024 * 1024;

async function inspect(qcow2: string, tool: string, args: string[]) {
  const result = await execa("setpriv", ["--pdeathsig", "KILL", tool, ...args], {
    env: { PATH: toolPath(), LC_ALL: "C" },
    stdin: "ignore",
    stripFinalNewline: false,
    maxBuffer: mostBytes,
    cancelSignal: cancellation.signal,
    reject: false,
  });
  if (result.exitCode === 0) return result;
  if (result.isCanceled) cancellation.signal.throwIfAborted();
  throw unreadable(qcow2, result.stderr.trim() || result.shortMessage || "unknown");
}

function unreadable(qcow2: string, said: string): UserError {
  return new UserError(`${qcow2} cannot be read as an image's disk: ${said.split("\n").at(-1)}`);
}
