import grpc from "@grpc/grpc-js";
import emptypb from "google-protobuf/google/protobuf/empty_pb.js";
import pluginpb from "@pulumi/pulumi/proto/plugin_pb.js";
import providerService, { type IResourceProviderServer } from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import providerpb from "@pulumi/pulumi/proto/provider_pb.js";
import { diffProperties } from "../../../local/command-provider/diff.js";
import { Engine } from "../../../local/command-provider/engine.js";
import { fromStruct, nameOf, toStruct, typeOf, unary } from "../../../local/command-provider/protocol.js";
import { unknown, type Properties } from "../../../local/command-provider/values.js";

/** What is known of one resource type: enough to play its provider. */
export interface ResourceType {
  /** What the cloud adds to the inputs. At a preview the names count only. */
  outputs?: (inputs: Properties, name: string) => Properties;
  /** Default: the resource's name. */
  id?: (inputs: Properties, name: string) => string;
  /** Inputs that cannot be changed in place. */
  replaces?: string[];
}

export interface Plugin {
  name: string;
  version: string;
  types: Record<string, ResourceType>;
  /** Refuses a configuration, with the provider's own words. */
  accept?: (configuration: Record<string, string>) => void;
  /** Throws what the real provider would say. */
  invokes: Record<string, (args: Properties) => Properties>;
}

type Verb = "create" | "update" | "delete" | "read" | "invoke";

/** A call that would have reached the cloud: neither a check, nor a diff, nor a preview. */
export interface Call {
  verb: Verb;
  type: string;
  name: string;
  /** The inputs; those in state for a `delete` or `read`. */
  inputs: Properties;
}

/** The methods the engine needs; without a handshake it configures in the older way, and sends no secret marks. */
type Methods = Pick<
  IResourceProviderServer,
  | "attach"
  | "getPluginInfo"
  | "getSchema"
  | "checkConfig"
  | "diffConfig"
  | "configure"
  | "invoke"
  | "check"
  | "diff"
  | "create"
  | "update"
  | "delete"
  | "read"
  | "cancel"
>;

/**
 * A provider without a cloud, in the test's own process, which the engine uses instead of a plugin: it plays `plugin` by its
 * tables, remembers what was made, and records each call. A type or an invoke that is not in the tables is an error.
 *
 * It shows what the engine does with the program; whether AWS and GitHub take these inputs only they can say.
 */
export class RecordingProvider {
  /** What was done to the cloud, in order. */
  readonly calls: Call[] = [];
  /** The inputs of each resource as the program gave them last, by name; previews count too. */
  readonly checked = new Map<string, Properties>();
  /** The configuration each engine gave, newest last. */
  readonly configurations: Record<string, string>[] = [];
  /** What there is in the cloud, by type and ID. */
  private readonly cloud = new Map<string, Properties>();
  private readonly failures = new Map<string, string>();

  private constructor(
    private readonly plugin: Plugin,
    private readonly server: grpc.Server,
    private port: number,
  ) {}

  static async start(plugin: Plugin): Promise<RecordingProvider> {
    const server = new grpc.Server({ "grpc.max_receive_message_length": -1 });
    const provider = new RecordingProvider(plugin, server, 0);
    server.addService(providerService.ResourceProviderService, provider.methods());
    provider.port = await new Promise((resolve, reject) => {
      server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) =>
        error ? reject(error) : resolve(port),
      );
    });
    return provider;
  }

  /** How the engine finds it: one entry of PULUMI_DEBUG_PROVIDERS. */
  get attachment(): string {
    return `${this.plugin.name}:${this.port}`;
  }

  stop(): void {
    this.server.forceShutdown();
  }

  /** The calls since the last `forget()` that changed something. */
  get changes(): Call[] {
    return this.calls.filter(({ verb }) => verb !== "read");
  }

  forget(): void {
    this.calls.length = 0;
    this.checked.clear();
  }

  /** Somebody else changes every resource of this type in the cloud. */
  drift(type: string, change: Properties): void {
    const ours = [...this.cloud].filter(([key]) => key.startsWith(`${type} `));
    if (ours.length === 0) throw new Error(`there is no ${type} that could drift`);
    for (const [key, properties] of ours) this.cloud.set(key, { ...properties, ...change });
  }

  /** From now on this verb fails for this type; undefined: no more. */
  fail(verb: Verb, type: string, message: string | undefined): void {
    if (message === undefined) this.failures.delete(`${verb} ${type}`);
    else this.failures.set(`${verb} ${type}`, message);
  }

  private methods(): Methods {
    const { plugin } = this;
    return {
      attach: unary((request) => {
        void new Engine(request.getAddress()).warn(
          `a recording provider of the tests stands in for the ${plugin.name} plugin: nothing reaches a cloud`,
        );
        return new emptypb.Empty();
      }),
      getPluginInfo: unary(() => {
        const response = new pluginpb.PluginInfo();
        response.setVersion(plugin.version);
        return response;
      }),
      getSchema: unary(() => {
        const response = new providerpb.GetSchemaResponse();
        response.setSchema(JSON.stringify({ name: plugin.name, version: plugin.version }));
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
      configure: unary((request) => {
        const given = request.getVariablesMap().getEntryList();
        const configuration = Object.fromEntries(
          given.map(([key, value]) => [key.slice(key.lastIndexOf(":") + 1), value]),
        );
        plugin.accept?.(configuration);
        this.configurations.push(configuration);
        const response = new providerpb.ConfigureResponse();
        response.setSupportspreview(true);
        return response;
      }),

      invoke: unary((request) => {
        const [token, args] = [request.getTok(), fromStruct(request.getArgs())];
        const answer = plugin.invokes[token];
        if (answer === undefined) throw new Error(`the recording ${plugin.name} provider has no ${token}`);
        const failure = this.failures.get(`invoke ${token}`);
        if (failure !== undefined) throw new Error(failure);
        const response = new providerpb.InvokeResponse();
        response.setReturn(toStruct(answer(args)));
        return response;
      }),

      check: unary((request) => {
        this.knownType(request.getUrn());
        const news = fromStruct(request.getNews());
        const inputs = Object.fromEntries(Object.entries(news).filter(([, value]) => value !== null));
        this.checked.set(nameOf(request.getUrn()), inputs);
        const response = new providerpb.CheckResponse();
        response.setInputs(toStruct(inputs));
        return response;
      }),

      diff: unary((request) => {
        const { replaces = [] } = this.knownType(request.getUrn());
        const { Kind } = providerpb.PropertyDiff;
        const response = new providerpb.DiffResponse();
        const changes = diffProperties(fromStruct(request.getOldInputs()), fromStruct(request.getNews()));
        for (const [path, change] of changes) {
          const diff = new providerpb.PropertyDiff();
          diff.setKind(replaces.includes(propertyOf(path)) ? Kind[`${change}_REPLACE`] : Kind[change]);
          diff.setInputdiff(true);
          response.getDetaileddiffMap().set(path, diff);
        }
        const properties = [...new Set([...changes.keys()].map(propertyOf))];
        response.setDiffsList(properties);
        response.setReplacesList(properties.filter((property) => replaces.includes(property)));
        response.setHasdetaileddiff(true);
        const { DIFF_SOME, DIFF_NONE } = providerpb.DiffResponse.DiffChanges;
        response.setChanges(changes.size > 0 ? DIFF_SOME : DIFF_NONE);
        return response;
      }),

      create: unary((request) => {
        const [urn, inputs] = [request.getUrn(), fromStruct(request.getProperties())];
        const type = this.knownType(urn);
        const outputs = type.outputs?.(inputs, nameOf(urn)) ?? {};
        const response = new providerpb.CreateResponse();
        if (request.getPreview()) {
          response.setProperties(toStruct({ ...unknownOf(outputs), ...inputs }));
          return response;
        }
        this.record("create", urn, inputs);
        const id = type.id?.(inputs, nameOf(urn)) ?? nameOf(urn);
        const key = `${typeOf(urn)} ${id}`;
        if (this.cloud.has(key)) throw new Error(`${key} exists already`);
        this.cloud.set(key, { ...outputs, ...inputs });
        response.setId(id);
        response.setProperties(toStruct({ ...outputs, ...inputs }));
        return response;
      }),

      update: unary((request) => {
        const [urn, inputs] = [request.getUrn(), fromStruct(request.getNews())];
        const response = new providerpb.UpdateResponse();
        const computed = this.knownType(urn).outputs?.(inputs, nameOf(urn)) ?? {};
        // As in the real ones: what the cloud computed once stays.
        const state = { ...pick(fromStruct(request.getOlds()), Object.keys(computed)), ...inputs };
        response.setProperties(toStruct(state));
        if (request.getPreview()) return response;
        this.record("update", urn, inputs);
        this.cloud.set(`${typeOf(urn)} ${request.getId()}`, state);
        return response;
      }),

      delete: unary((request) => {
        const urn = request.getUrn();
        this.record("delete", urn, fromStruct(request.getOldInputs()));
        this.cloud.delete(`${typeOf(urn)} ${request.getId()}`);
        return new emptypb.Empty();
      }),

      read: unary((request) => {
        const [urn, inputs] = [request.getUrn(), fromStruct(request.getInputs())];
        this.record("read", urn, inputs);
        const response = new providerpb.ReadResponse();
        const found = this.cloud.get(`${typeOf(urn)} ${request.getId()}`);
        // Without an ID: it is gone.
        if (found === undefined) return response;
        response.setId(request.getId());
        response.setProperties(toStruct(found));
        response.setInputs(toStruct(pick(found, Object.keys(inputs))));
        return response;
      }),

      cancel: unary(() => new emptypb.Empty()),
    };
  }

  private knownType(urn: string): ResourceType {
    const type = this.plugin.types[typeOf(urn)];
    if (type === undefined)
      throw new Error(`the recording ${this.plugin.name} provider has no ${typeOf(urn)}`);
    return type;
  }

  private record(verb: Verb, urn: string, inputs: Properties): void {
    const type = typeOf(urn);
    this.calls.push({ verb, type, name: nameOf(urn), inputs });
    const failure = this.failures.get(`${verb} ${type}`);
    if (failure !== undefined) throw new Error(failure);
  }
}

/** The same names, with values that are known after the update only. */
function unknownOf(outputs: Properties): Properties {
  return Object.fromEntries(Object.keys(outputs).map((name) => [name, unknown]));
}

function pick(from: Properties, names: string[]): Properties {
  return Object.fromEntries(names.flatMap((name) => (name in from ? [[name, from[name]!]] : [])));
}

/** "origins[0].originId" -> "origins" */
function propertyOf(path: string): string {
  return path.split(/[.[]/)[0]!;
}
