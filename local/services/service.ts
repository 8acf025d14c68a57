import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdir, open, readFile, rm } from "node:fs/promises";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { UserError } from "../../release/process/errors.js";
import { duration, say } from "../../release/process/progress.js";
import { lastLines } from "../../release/process/run.js";
import { writeFileAtomically } from "../../release/process/files.js";
import { endSession, identify, isAlive, type ProcessIdentity } from "../processes.js";
import { freePort, isFree, portVariables, type ServiceName } from "./ports.js";

/** A server of the platform: a process of its own session, which outlives the command that started it. */
export interface Service {
  name: ServiceName;
  /** What people call it, e.g. "S3 server". */
  title: string;
  command: string;
  args: string[];
  /** Secrets go here, never into `args`. */
  env: Record<string, string>;
  cwd: string;
  /** The TCP port it listens on, on 127.0.0.1. */
  port: number;
  /** Whatever else it depends on (a configuration text): a running service with another one is restarted. */
  configuration: string;
  /** Asks it for a sign of life. */
  isHealthy: () => Promise<boolean>;
  /** Ends it cleanly. */
  stopSignal: NodeJS.Signals;
}

interface ServiceRecord {
  process: ProcessIdentity;
  /** Hash of what it was started with. */
  startedWith: string;
  stopSignal: NodeJS.Signals;
}

/** Where records and logs are. */
export interface ServiceFolders {
  run: string;
  logs: string;
}

/** Bounds of waiting: a start takes 0.1 s, so this is for a very busy machine. */
const startTimeoutMs = 20_000;
/** After this a service that was told to end is killed: downloads that still run are cut. */
const stopGraceMs = 3_000;

/**
 * Makes the service run: does nothing when it runs, healthy and with these settings; otherwise ends what is left of it and starts it.
 * @throws UserError when its port is taken by another program or it does not come up; names the port and the way out
 */
export async function startService(service: Service, folders: ServiceFolders): Promise<void> {
  const startedWith = fingerprint(service);
  const record = await readRecord(service.name, folders);
  if (record !== undefined) {
    const alive = await isAlive(record.process);
    if (alive && record.startedWith === startedWith && (await service.isHealthy())) return;
    await endSession(record.process, record.stopSignal, stopGraceMs);
  }
  if (!(await isFree(service.port))) {
    const other = await freePort();
    throw new UserError(
      `port ${service.port} of the ${service.title} is taken by another program; choose another port: ${portVariables[service.name]}=${other} npm start`,
    );
  }
  const start = Date.now();
  const process = await launch(service, folders);
  await writeFileAtomically(
    recordFile(service.name, folders),
    JSON.stringify({ process, startedWith, stopSignal: service.stopSignal } satisfies ServiceRecord),
  );
  await untilHealthy(service, process, folders);
  say(
    `${service.title}: started on http://127.0.0.1:${service.port} in ${duration(Date.now() - start)} (log: ${logFile(service.name, folders)})`,
  );
}

/** Ends the service, whatever is left of it. @returns whether anything ran */
export async function stopService(name: ServiceName, folders: ServiceFolders): Promise<boolean> {
  const record = await readRecord(name, folders);
  if (record === undefined) return false;
  const ran = await isAlive(record.process);
  await endSession(record.process, record.stopSignal, stopGraceMs);
  await rm(recordFile(name, folders), { force: true });
  return ran;
}

async function launch(service: Service, folders: ServiceFolders): Promise<ProcessIdentity> {
  await mkdir(folders.logs, { recursive: true });
  await mkdir(folders.run, { recursive: true });
  const log = await open(logFile(service.name, folders), "w");
  try {
    const child = spawn(service.command, service.args, {
      cwd: service.cwd,
      env: { PATH: process.env["PATH"], ...service.env },
      detached: true,
      stdio: ["ignore", log.fd, log.fd],
    });
    await once(child, "spawn");
    child.unref();
    const identity = await identify(child.pid!);
    if (identity === undefined) throw await didNotStart(service, folders);
    return identity;
  } finally {
    await log.close();
  }
}

async function untilHealthy(
  service: Service,
  process: ProcessIdentity,
  folders: ServiceFolders,
): Promise<void> {
  const deadline = Date.now() + startTimeoutMs;
  while (!(await service.isHealthy())) {
    if (!(await isAlive(process)) || Date.now() > deadline) {
      await endSession(process, "SIGKILL", 0);
      throw await didNotStart(service, folders);
    }
    await sleep(20);
  }
}

async function didNotStart(service: Service, folders: ServiceFolders): Promise<UserError> {
  const log = logFile(service.name, folders);
  return new UserError(
    `the ${service.title} did not start on port ${service.port}; its log: ${log}\n${await lastLines(log)}`,
  );
}

function fingerprint({ command, args, cwd, port, configuration }: Service): string {
  return createHash("sha256")
    .update(JSON.stringify({ command, args, cwd, port, configuration }))
    .digest("hex");
}

function recordFile(name: ServiceName, folders: ServiceFolders): string {
  return path.join(folders.run, `${name}.json`);
}

function logFile(name: ServiceName, folders: ServiceFolders): string {
  return path.join(folders.logs, `${name}.log`);
}

async function readRecord(name: ServiceName, folders: ServiceFolders): Promise<ServiceRecord | undefined> {
  try {
    return JSON.parse(await readFile(recordFile(name, folders), "utf8")) as ServiceRecord;
  } catch {
    return undefined;
  }
}

/** Whether a GET is answered with the wanted status within a second. */
export async function answers(url: string, status: number): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(1_000) });
    await response.arrayBuffer();
    return response.status === status;
  } catch {
    return false;
  }
}
