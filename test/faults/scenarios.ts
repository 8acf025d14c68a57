import fc from "fast-check";

/** What a host of images and its deploy do, each a process of its own; "npm start" is all but `fetch` as one Pulumi update. */
export const verbs = ["publish", "boot-test", "promote", "fetch"] as const;
export type Verb = (typeof verbs)[number];
export type Target = Verb | "npm start";

/** From whom to whom: release command to store, release command or host to CDN, CDN to store. */
export type Link = "store" | "cdn" | "origin";

/**
 * A moment of a run as a share, from 0 to 1, of what the same run does when nothing is wrong: of its requests, answers and lines for a
 * kill, of the requests on a link for a fault. So it means the same on a busy machine.
 */
type Share = number;

export interface Kill {
  kind: "kill";
  target: Target;
  /** Its process group; the process that was started alone, as the kernel does when memory is short; or every process of the run. */
  whom: "group" | "leader" | "all";
  at: Share;
  /** Milliseconds after that moment, since much happens between two requests. */
  later: number;
}

/** What the network does to all connections of a link for a while: toxics of toxiproxy, in its own words. */
export type NetworkFault =
  | { name: "latency"; latency: number; jitter: number }
  | { name: "reset"; timeout: number }
  | { name: "stall"; timeout: number }
  | { name: "cut"; bytes: number }
  | { name: "refused" };

/** What a server says, or a middlebox does, to requests. */
export type HttpFault =
  | { name: "status"; status: number }
  | { name: "wrong byte"; where: Share }
  | { name: "silence"; ms: number; where: "before" | "within" }
  | { name: "lost answer" };

/** The server at the link's end is killed while it answers, and starts again. */
export interface Crash {
  name: "crash";
  /** Milliseconds after it was given the request. */
  later: number;
}

export interface Fault {
  kind: "fault";
  target: Verb;
  link: Link;
  at: Share;
  fault: NetworkFault | HttpFault | Crash;
  /** Milliseconds that a fault of the network lasts, and a server is down. */
  lasts: number;
  /** Requests that a fault of HTTP strikes: the SDK tries four times. */
  times: number;
}

export type Scenario = Kill | Fault;

/** Which links a verb uses. */
const links: Record<Verb, Link[]> = {
  publish: ["store"],
  "boot-test": ["store", "cdn", "origin"],
  promote: ["store", "cdn", "origin"],
  fetch: ["cdn", "origin"],
};
/** In turn; what changes the store comes more often. */
const killed: Target[] = [
  ...(["publish", "promote", "boot-test", "npm start", "fetch"] as const),
  ...(["publish", "promote", "boot-test", "publish", "fetch"] as const),
];
const disturbed: Verb[] = ["publish", "promote", "boot-test", "fetch", "publish"];

const share = fc.integer({ min: 0, max: 999 }).map((thousandths) => thousandths / 1000);
const ms = (min: number, max: number) => fc.integer({ min, max });

const network: fc.Arbitrary<NetworkFault> = fc.oneof(
  fc.record({ name: fc.constant("latency" as const), latency: ms(50, 800), jitter: ms(0, 200) }),
  fc.record({ name: fc.constant("reset" as const), timeout: ms(0, 500) }),
  fc.record({ name: fc.constant("stall" as const), timeout: ms(100, 3_000) }),
  // From the first byte to beyond a part of an upload or a slice of the CDN, each size as likely as one twice as large.
  fc.record({
    name: fc.constant("cut" as const),
    bytes: fc.integer({ min: 0, max: 240 }).map((exponent) => Math.floor(2 ** (exponent / 10)) - 1),
  }),
  fc.record({ name: fc.constant("refused" as const) }),
);
const silence = fc.record({
  name: fc.constant("silence" as const),
  ms: ms(100, 3_000),
  where: fc.constantFrom("before" as const, "within" as const),
});
const lost = fc.record({ name: fc.constant("lost answer" as const) });
const status = (...statuses: number[]) =>
  fc.record({ name: fc.constant("status" as const), status: fc.constantFrom(...statuses) });
const wrongByte = fc.record({ name: fc.constant("wrong byte" as const), where: share });
const http: Record<Link, fc.Arbitrary<HttpFault>> = {
  store: fc.oneof(silence, lost, status(409, 429, 500, 503), wrongByte),
  cdn: fc.oneof(silence, lost, status(403, 404, 429, 500, 502, 503, 504), wrongByte),
  // No wrong bytes here: the CDN would keep them for a year, and no run without a hand could mend that. In production this link is TLS.
  origin: fc.oneof(silence, lost, status(500, 503)),
};
const crash = fc.record({ name: fc.constant("crash" as const), later: ms(0, 60) });

function killOf(target: Target): fc.Arbitrary<Kill> {
  return fc.record({
    kind: fc.constant("kill" as const),
    target: fc.constant(target),
    whom: fc.constantFrom("group" as const, "group" as const, target === "npm start" ? "all" : "leader"),
    at: share,
    later: ms(0, 300),
  });
}

function faultOf(target: Verb): fc.Arbitrary<Fault> {
  return fc.constantFrom(...links[target]).chain((link) =>
    fc.record({
      kind: fc.constant("fault" as const),
      target: fc.constant(target),
      link: fc.constant(link),
      at: share,
      fault: fc.oneof<fc.MaybeWeightedArbitrary<Fault["fault"]>[]>(
        { arbitrary: network, weight: 5 },
        { arbitrary: http[link], weight: 4 },
        { arbitrary: crash, weight: 1 },
      ),
      lasts: ms(100, 4_000),
      times: fc.integer({ min: 1, max: 6 }),
    }),
  );
}

/**
 * As many scenarios as are asked for, kills and faults in turn. A seed always gives the same ones, and a short run is the beginning of a long
 * one with the same seed.
 */
export function drawScenarios(seed: number, count: number): Scenario[] {
  return Array.from({ length: count }, (_, index): Scenario => {
    // A run of few begins with others each time.
    const turn = Math.floor(index / 2) + (seed % killed.length);
    const scenario: fc.Arbitrary<Scenario> =
      index % 2 === 0 ? killOf(killed[turn % killed.length]!) : faultOf(disturbed[turn % disturbed.length]!);
    // Each from a seed of its own, so that no other one changes it; far apart, since people count seeds up.
    const own = seed ^ Math.imul(index + 1, 0x9e3779b1);
    return fc.sample(fc.noBias(scenario), { seed: own, numRuns: 1 })[0]!;
  });
}

export function isOfNetwork(fault: Fault["fault"]): fault is NetworkFault {
  return ["latency", "reset", "stall", "cut", "refused"].includes(fault.name);
}

/** Its name in the table of faults: "kill of publish", "store: cut". */
export function kindOf(scenario: Scenario): string {
  if (scenario.kind === "kill") return `kill of ${scenario.target}`;
  return `${scenario.link}: ${scenario.fault.name}`;
}

/** One line for people, with all that was drawn. */
export function describeScenario(scenario: Scenario): string {
  const percent = `${(scenario.at * 100).toFixed(1)} %`;
  if (scenario.kind === "kill")
    return `${scenario.target} killed (${scenario.whom}) at ${percent} + ${scenario.later} ms`;
  const { name, ...details } = scenario.fault;
  const detail = Object.entries({ ...details, lasts: scenario.lasts, times: scenario.times })
    .map(([key, value]) => `${key} ${value}`)
    .join(", ");
  return `${scenario.target} with ${name} on its way to the ${scenario.link} at ${percent} (${detail})`;
}
