import { randomBytes } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import emptypb from "google-protobuf/google/protobuf/empty_pb.js";
import pluginpb from "@pulumi/pulumi/proto/plugin_pb.js";
import type { IResourceProviderServer } from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import providerpb from "@pulumi/pulumi/proto/provider_pb.js";
import { diffProperties } from "./diff.js";
import type { Engine } from "./engine.js";
import { checkInputs, inputNames, readInputs } from "./inputs.js";
import { fromStruct, nameOf, toStruct, typeOf, unary } from "./protocol.js";
import { runCommand, type Output } from "./run.js";
import { reveal, unknown, type Properties } from "./values.js";

export const version = "1.2.1";

const theType = "command:local:Command";

/** The methods the engine needs of a provider without configuration, functions, components or imports. */
type Methods = Pick<
  IResourceProviderServer,
  | "getPluginInfo"
  | "getSchema"
  | "checkConfig"
  | "diffConfig"
  | "configure"
  | "check"
  | "diff"
  | "create"
  | "read"
  | "update"
  | "delete"
  | "cancel"
>;

/**
 * The resource `command:local:Command` with the behaviour of the official plugin 1.2.1 (pulumi/pulumi-command,
 * provider/pkg/provider/local, on pulumi/pulumi-go-provider, infer). Directly on the protocol rather than on
 * `@pulumi/pulumi/provider`, which has no previews, no detailed diffs, no timeouts and no cancelling.
 */
export function commandProvider(engine: Engine): { methods: Methods; cancel: () => void } {
  const cancelled = new AbortController();

  async function run(
    call: { urn: string; timeout: number; signal: AbortSignal },
    command: string,
    properties: Properties,
    previous: Output,
  ): Promise<Output> {
    const signals = [cancelled.signal, call.signal];
    // customTimeouts, in seconds: it kills, and the error does not say why.
    if (call.timeout > 0) signals.push(AbortSignal.timeout(call.timeout * 1000));
    return await runCommand(command, readInputs(properties), {
      previous,
      onLine: (line) => engine.status(line, call.urn),
      signal: AbortSignal.any(signals),
    });
  }

  const methods: Methods = {
    getPluginInfo: unary(() => {
      const response = new pluginpb.PluginInfo();
      response.setVersion(version);
      return response;
    }),

    getSchema: unary(() => {
      const response = new providerpb.GetSchemaResponse();
      response.setSchema(JSON.stringify({ name: "command", version }));
      return response;
    }),

    checkConfig: unary((request) => {
      const response = new providerpb.CheckResponse();
      response.setInputs(request.getNews());
      return response;
    }),

    diffConfig: unary(() => {
      const response = new providerpb.DiffResponse();
      response.setChanges(providerpb.DiffResponse.DiffChanges.DIFF_NONE);
      return response;
    }),

    configure: unary(() => {
      const response = new providerpb.ConfigureResponse();
      response.setAcceptsecrets(true);
      response.setAcceptresources(true);
      response.setSupportspreview(true);
      return response;
    }),

    check: unary((request) => {
      const type = typeOf(request.getUrn());
      if (type !== theType)
        throw new Error(
          `the stand-in for the command plugin has ${theType} only, not ${type}: install the official plugin`,
        );
      const news = fromStruct(request.getNews());
      const inputs = Object.fromEntries(Object.entries(news).filter(([, value]) => value !== null));
      const response = new providerpb.CheckResponse();
      response.setInputs(toStruct(inputs));
      response.setFailuresList(
        checkInputs(inputs).map(({ property, reason }) => {
          const failure = new providerpb.CheckFailure();
          failure.setProperty(property);
          failure.setReason(reason);
          return failure;
        }),
      );
      return response;
    }),

    diff: unary((request) => {
      const { Kind } = providerpb.PropertyDiff;
      const olds = pickInputs(fromStruct(request.getOlds()));
      const response = new providerpb.DiffResponse();
      const changes = diffProperties(olds, fromStruct(request.getNews()));
      for (const [path, change] of changes) {
        const replaces = /^triggers\b/.test(path);
        const diff = new providerpb.PropertyDiff();
        diff.setKind(replaces ? Kind[`${change}_REPLACE`] : Kind[change]);
        response.getDetaileddiffMap().set(path, diff);
      }
      // By property, not by path: a preview's row shows only what is listed here, as "[diff: ~environment]".
      const properties = new Set([...changes.keys()].map((path) => path.split(/[.[]/)[0]!));
      response.setDiffsList([...properties]);
      response.setReplacesList([...properties].filter((name) => name === "triggers"));
      response.setHasdetaileddiff(true);
      const { DIFF_SOME, DIFF_NONE } = providerpb.DiffResponse.DiffChanges;
      response.setChanges(changes.size > 0 ? DIFF_SOME : DIFF_NONE);
      return response;
    }),

    create: unary(async (request, signal) => {
      const inputs = fromStruct(request.getProperties());
      const response = new providerpb.CreateResponse();
      if (request.getPreview()) {
        response.setProperties(toStruct({ ...inputs, stdout: unknown, stderr: unknown }));
        return response;
      }
      const { create } = readInputs(inputs);
      const none: Output = { stdout: "", stderr: "" };
      const call = { urn: request.getUrn(), timeout: request.getTimeout(), signal };
      const output = create === undefined ? none : await run(call, create, inputs, none);
      response.setId(`${nameOf(request.getUrn())}${randomBytes(4).toString("hex")}`);
      response.setProperties(toStruct({ ...inputs, ...output }));
      return response;
    }),

    update: unary(async (request, signal) => {
      const olds = fromStruct(request.getOlds());
      const news = fromStruct(request.getNews());
      const response = new providerpb.UpdateResponse();
      const previous = readOutput(olds);
      if (request.getPreview()) {
        const output = isOutputStale(olds, news) ? { stdout: unknown, stderr: unknown } : previous;
        response.setProperties(toStruct({ ...news, ...output }));
        return response;
      }
      const { create, update } = readInputs(news);
      const command = update ?? create;
      const call = { urn: request.getUrn(), timeout: request.getTimeout(), signal };
      const output = command === undefined ? previous : await run(call, command, news, previous);
      response.setProperties(toStruct({ ...news, ...output }));
      return response;
    }),

    delete: unary(async (request, signal) => {
      const state = fromStruct(request.getProperties());
      const command = readInputs(state).delete;
      const call = { urn: request.getUrn(), timeout: request.getTimeout(), signal };
      if (command !== undefined) await run(call, command, state, readOutput(state));
      return new emptypb.Empty();
    }),

    read: unary((request) => {
      const response = new providerpb.ReadResponse();
      response.setId(request.getId());
      response.setProperties(request.getProperties());
      response.setInputs(request.getInputs());
      return response;
    }),

    cancel: unary(() => {
      cancelled.abort();
      return new emptypb.Empty();
    }),
  };
  return { methods, cancel: () => cancelled.abort() };
}

/**
 * Whether a preview must call the output unknown: an input is unknown, or differs from the one in state. An input that
 * the state does not have at all does not count, as in infer's markComputed.
 */
function isOutputStale(olds: Properties, news: Properties): boolean {
  return inputNames.some(
    (name) => news[name] === unknown || (name in olds && !isDeepStrictEqual(news[name], olds[name])),
  );
}

function pickInputs(state: Properties): Properties {
  return Object.fromEntries(
    inputNames.flatMap((name) => (name in state ? [[name, state[name] ?? null]] : [])),
  );
}

function readOutput(state: Properties): Output {
  const { stdout = "", stderr = "" } = reveal(state) as Partial<Output>;
  return { stdout, stderr };
}
