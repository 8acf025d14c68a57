import { randomInt } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { createServer } from "node:net";
import path from "node:path";
import getPort from "get-port";
import { z } from "zod";
import { UserError } from "../../release/process/errors.js";
import { writeFileAtomically } from "../../release/process/files.js";

export const portVariables = { s3: "S3_PORT", cdn: "CDN_PORT" } as const;
export type ServiceName = keyof typeof portVariables;
export type Ports = Record<ServiceName, number>;

const port = z.number().int().min(1).max(65535);
const storedPorts = z.object({ s3: port, cdn: port }).partial();

/** Below the range from which Linux takes the ports of outgoing connections, so that a stored port stays free. */
const range = { from: 20_000, to: 30_000 };

/** Some random ports to try: random, so that two checkouts that are set up together do not try the same ones. */
export function portCandidates(count = 20): number[] {
  return Array.from({ length: count }, () => randomInt(range.from, range.to));
}

/**
 * The port a service shall use: the environment's, else the one this checkout has used before, else undefined (choose a free one).
 * @throws UserError for an environment variable which is no port an ordinary user may open
 */
export function wantedPort(
  service: ServiceName,
  stored: number | undefined,
  environment: NodeJS.ProcessEnv,
): number | undefined {
  const variable = portVariables[service];
  const text = environment[variable];
  if (text === undefined || text === "") return stored;
  const chosen = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
  if (!(chosen >= 1024 && chosen <= 65535)) {
    throw new UserError(`${variable} must be a port from 1024 to 65535, but it is ${JSON.stringify(text)}`);
  }
  return chosen;
}

/** The ports of this platform: chosen once, then the same for ever (`.local/run/ports.json`), as URLs are made of them. */
export async function assignPorts(run: string, environment: NodeJS.ProcessEnv = process.env): Promise<Ports> {
  const file = path.join(run, "ports.json");
  const stored = await readPorts(file);
  const ports: Ports = {
    s3: wantedPort("s3", stored.s3, environment) ?? (await freePort()),
    cdn: wantedPort("cdn", stored.cdn, environment) ?? (await freePort()),
  };
  if (ports.s3 !== stored.s3 || ports.cdn !== stored.cdn) {
    await mkdir(run, { recursive: true });
    await writeFileAtomically(file, `${JSON.stringify(ports)}\n`);
  }
  return ports;
}

async function readPorts(file: string): Promise<z.infer<typeof storedPorts>> {
  try {
    return storedPorts.parse(JSON.parse(await readFile(file, "utf8")));
  } catch {
    // Not there yet, or damaged: choose anew.
    return {};
  }
}

/** A port of the loopback address on which nothing listens. */
export async function freePort(): Promise<number> {
  return getPort({ host: "127.0.0.1", port: portCandidates() });
}

/** Whether nothing listens on the port of the loopback address, nor on all addresses. */
export async function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen({ port, host: "127.0.0.1", exclusive: true }, () => probe.close(() => resolve(true)));
  });
}
