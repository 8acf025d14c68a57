/**
 * A fake QEMU which plays a guest, so that the engine tests can boot a tiny fake image (../fake-image) within a
 * second. It takes the command line of release/boot/qemu.ts, speaks to the real boot service, and runs no guest code.
 *
 * The image says what its guest does, in a line of JSON after the end of the qcow2:
 *   {"behaviour": "ok" | "panic" | "hang" | "no-credential" | "job-fails" | "early-poweroff" | "failed-unit" |
 *                 "lacks-sudo" | "emulation-fault" (of its first boot),
 *    "commit": "<40 hex>", "arch": "x86_64" | "aarch64"}
 */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  appendFileSync,
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readFileSync,
  readSync,
  writeFileSync,
} from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers";

// The guest's clock: microseconds since this process started.
const clock = () => Math.round(process.uptime() * 1e6);
const userspace = clock();

const [name, ...args] = process.argv.slice(2);

if (args.includes("--version")) {
  say("QEMU emulator version 0.0.0 (fake-qemu of the engine tests)");
  process.exit(0);
}
if ([...valuesOf("-accel"), ...valuesOf("-machine")].some((value) => /\bkvm\b/.test(value))) {
  process.stderr.write(`${name}: the fake QEMU of the engine tests has no KVM\n`);
  process.exit(1);
}

const consoleLog = settingsOf("-chardev").find(({ path }) => path !== undefined).path;
const disk = settingsOf("-drive")[0].file;
const credentials = Object.fromEntries(
  settingsOf("-smbios").map(({ path }) =>
    /^io\.systemd\.credential:([^=]+)=(.*)$/s.exec(readFileSync(path, "utf8")).slice(1),
  ),
);
const overlay = JSON.parse(execFileSync("qemu-img", ["info", "--output=json", disk], { encoding: "utf8" }));
const { behaviour, commit, arch } = JSON.parse(lastLine(overlay["full-backing-filename"]));

const acpiPowerdown = new Promise((resolve) => {
  createInterface({ input: process.stdin }).on("line", (line) => {
    if (JSON.parse(line).execute === "system_powerdown") resolve();
  });
});
say(JSON.stringify({ QMP: { version: {}, capabilities: [] } }));

// Garbage, as a real firmware prints it before the first line of the guest.
tell("\u001b[2J\u001b[1;1H\u0000SeaBIOS (fake)");
tell(`gha: fake guest, ${behaviour}`);
if (behaviour === "panic") {
  tell("[    1.234567] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100");
  await forever();
}
if (behaviour === "emulation-fault" && !existsSync(`${disk}.booted`)) {
  writeFileSync(`${disk}.booted`, "");
  tell("[    0.912345] Oops: int3: 0000 [#1] PREEMPT SMP NOPTI");
  tell("[    0.923456] Kernel panic - not syncing: Fatal exception in interrupt");
  await forever();
}
if (behaviour === "hang") await forever();
if (behaviour === "no-credential") {
  tell("gha: no credential: powering off");
  powerOff();
}

const runnerStarted = clock();
const runner = JSON.parse(
  Buffer.from(await call("GET", credentials["gha-jitconfig-url"]), "base64").toString(),
);
tell("gha: configuration fetched");
if (behaviour === "early-poweroff") powerOff();

await call(
  "POST",
  credentials["gha-boot-report-url"],
  JSON.stringify({ contents: [{ name: "sudo", passed: behaviour !== "lacks-sudo", seen: "" }] }),
);

const exit = behaviour === "job-fails" ? 3 : 0;
if (runner.fixture) {
  const job = await call("GET", `${runner.fixture.url}/job`);
  if (!job.startsWith("#!/bin/sh")) throw new Error("the job is no shell script");
  await call("POST", `${runner.fixture.url}/result?exit=${exit}`, "user=gha\n");
} else {
  const settings = JSON.parse(Buffer.from(runner[".runner"], "base64").toString());
  // The real runner's service does not answer: the guest goes on when it is asked to power off.
  call("POST", `${settings.ServerUrlV2}/session`, "{}").catch(() => undefined);
  await acpiPowerdown;
}

const id = () => randomBytes(16).toString("hex");
await call(
  "POST",
  credentials["gha-boot-report-url"],
  JSON.stringify({
    rootBytes: Math.floor(0.98 * overlay["virtual-size"]),
    diskBytes: overlay["virtual-size"],
    machineId: id(),
    hostKeys: [`SHA256:${id()}`],
    failedUnits: behaviour === "failed-unit" ? ["broken.service"] : [],
    unitOrder: {
      "gha-grow-root.service": userspace,
      "gha-host-keys.service": userspace,
      "gha-runner.service": runnerStarted,
    },
    build: { commit, arch, machineId: id(), hostKeys: [`SHA256:${id()}`] },
    runnerExit: runner.fixture ? exit : null,
    users: ["gha"],
    reached: [],
    hygiene: {
      passwd: "root:x:0:0:root:/root:/bin/bash\ngha:x:1000:1000::/gha:/bin/bash\n",
      shadow: "root:*:20000::::::\ngha:!:20000::::::\n",
      sudoers: ["/etc/sudoers.d/gha:gha ALL=(ALL) NOPASSWD: ALL"],
      timers: [],
      files: ["f 4755 72000 /usr/bin/su"],
    },
    clock: { userspace, report: clock() },
  }),
);
tell("gha: powering off");
powerOff();

/** The values of an option that may come several times. */
function valuesOf(option) {
  return args.flatMap((arg, index) => (arg === option ? [args[index + 1]] : []));
}

/** The same, as the key=value pairs in them; QEMU writes a comma in a value twice. */
function settingsOf(option) {
  return valuesOf(option).map((value) =>
    Object.fromEntries(
      value.split(/(?<!,),(?!,)/).map((pair) => pair.replaceAll(",,", ",").split(/=(.*)/s, 2)),
    ),
  );
}

function lastLine(file) {
  const handle = openSync(file, "r");
  try {
    const buffer = Buffer.alloc(1024);
    const position = Math.max(0, fstatSync(handle).size - buffer.length);
    const text = buffer.toString("utf8", 0, readSync(handle, buffer, 0, buffer.length, position));
    return text.trimEnd().split("\n").at(-1);
  } finally {
    closeSync(handle);
  }
}

/** Speaks QMP, to whoever runs QEMU. */
function say(line) {
  process.stdout.write(`${line}\n`);
}

/** Writes to the guest's console. */
function tell(line) {
  appendFileSync(consoleLog, `${line}\r\n`);
}

/** What the guest reaches is a port of the host's loopback interface: the last word of the netdev's command. */
async function call(method, url, body) {
  const [, address, port] = /guestfwd=tcp:([\d.]+):80-cmd:.* (\d+)$/.exec(valuesOf("-netdev")[0]);
  const response = await fetch(url.replace(`//${address}/`, `//127.0.0.1:${port}/`), { method, body });
  if (!response.ok) throw new Error(`${method} ${url} answered ${response.status}`);
  return await response.text();
}

function powerOff() {
  say(JSON.stringify({ event: "SHUTDOWN", data: { guest: true, reason: "guest-shutdown" } }));
  process.exit(0);
}

/** Until killed. */
async function forever() {
  setTimeout(() => undefined, 2 ** 31 - 1);
  await new Promise(() => undefined);
}
