/**
 * Property values as they travel between engine and provider (pulumi/pulumi, sdk/go/common/resource/plugin/rpc.go):
 * JSON, with two marks. A secret is an object with a signature key, an unknown value is one fixed string.
 */
export type Value = null | boolean | number | string | Value[] | { [key: string]: Value };
export type Properties = { [key: string]: Value };

/** The key which makes an object more than an object: a secret, an asset, a resource reference. */
const signatureKey = "4dabf18193072939515e22adb298388d";
const secretSignature = "1b47061264138c4ac30d75fd1eb44270";

/** What stands for a value that is not known before the update. */
export const unknown = "04da6b54-80e4-46f7-96ec-b56ff0331ba9";

/** Whether a value is an object whose keys are the user's. */
export function isPlainObject(value: Value | undefined): value is Properties {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(signatureKey in value);
}

/** The value without its secret marks, at any depth. */
export function reveal(value: Value): Value {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(reveal);
  if (value[signatureKey] === secretSignature) return reveal(value["value"] ?? null);
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, reveal(inner)]));
}
