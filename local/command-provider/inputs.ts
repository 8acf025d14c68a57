import { reveal, unknown, type Properties, type Value } from "./values.js";

/** The inputs of a `command:local:Command`, in the clear: what a command line is run with. Never to be returned or logged. */
export interface CommandInputs {
  create?: string;
  update?: string;
  delete?: string;
  /** Default: /bin/sh -c. The command is added as the last argument. */
  interpreter?: string[];
  /** Default: the folder the engine started the provider in. */
  dir?: string;
  environment?: Record<string, string>;
  stdin?: string;
  /** Which streams go to the engine's display. Default: both; any other word: none. */
  logging?: string;
  /** Default: true. */
  addPreviousOutputInEnv?: boolean;
  triggers?: Value[];
}

/** One thing wrong with the inputs, as `Check` reports it. */
export interface Failure {
  property: string;
  reason: string;
}

/** The type of each input, as the official plugin's Go struct has it: its error messages name it. */
const types = {
  create: "string",
  update: "string",
  delete: "string",
  interpreter: "[]string",
  dir: "string",
  environment: "map[string]string",
  stdin: "string",
  logging: "local.Logging",
  addPreviousOutputInEnv: "bool",
  triggers: "[]interface {}",
} as const satisfies Record<keyof CommandInputs, string>;

const owner = "local.CommandInputs";
/** Inputs of the official plugin which this one refuses: nobody here needs them, and ignoring them would be silent. */
const missing = ["assetPaths", "archivePaths"];

export const inputNames = Object.keys(types) as (keyof CommandInputs)[];

/** What is wrong with the inputs, in the official texts (pulumi/pulumi, sdk/go/common/util/mapper). */
export function checkInputs(inputs: Properties): Failure[] {
  return Object.entries(inputs).flatMap(([name, value]) => {
    const type = (types as Record<string, string>)[name];
    if (type !== undefined) return checkValue(name, reveal(value), type);
    const reason = missing.includes(name)
      ? "the stand-in for the command plugin returns no assets or archives: install the official plugin"
      : `Unrecognized field '${name}' on '${owner}'`;
    return [{ property: name, reason }];
  });
}

function checkValue(path: string, value: Value, type: string): Failure[] {
  if (value === unknown || type === "interface {}") return [];
  const actual = goType(value);
  if (actual === "[]interface {}" && type.startsWith("[]"))
    return (value as Value[]).flatMap((item, i) =>
      checkValue(`${path}[${i}]`, item, type.slice("[]".length)),
    );
  if (actual === "map[string]interface {}" && type === "map[string]string")
    return Object.entries(value as Properties).flatMap(([key, item]) =>
      checkValue(`${path}[${key}] value`, item, "string"),
    );
  if (actual === type || (actual === "string" && type === "local.Logging")) return [];
  const reason =
    actual === "map[string]interface {}"
      ? `An error occurred decoding 'CommandInputs.${path}': Cannot decode Object{} to type ${type}; it isn't a struct, and no custom decoder exists`
      : `Field '${path}' on '${owner}' must be a '${type}'; got '${actual}' instead`;
  return [{ property: path, reason }];
}

function goType(value: Value): string {
  if (value === null) return "<nil>";
  if (Array.isArray(value)) return "[]interface {}";
  if (typeof value === "object") return "map[string]interface {}";
  if (typeof value === "number") return "float64";
  return typeof value === "boolean" ? "bool" : "string";
}

/** The inputs in checked properties (or in a state, which holds more), without secret marks. */
export function readInputs(properties: Properties): CommandInputs {
  return Object.fromEntries(
    inputNames.flatMap((name) => {
      const value = properties[name];
      return value === undefined || value === null ? [] : [[name, reveal(value)]];
    }),
  );
}
