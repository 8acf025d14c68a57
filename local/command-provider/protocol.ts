import grpc from "@grpc/grpc-js";
import structpb from "google-protobuf/google/protobuf/struct_pb.js";
import type { Struct } from "google-protobuf/google/protobuf/struct_pb.js";
import type { Properties } from "./values.js";

/** A gRPC method from a plain function. Its signal is aborted when the caller is gone; what it throws is the error's text. */
export function unary<Request, Response>(
  method: (request: Request, signal: AbortSignal) => Response | Promise<Response>,
): grpc.handleUnaryCall<Request, Response> {
  return (call, callback) => {
    const gone = new AbortController();
    call.on("cancelled", () => gone.abort());
    void Promise.resolve()
      .then(() => method(call.request, gone.signal))
      .then(
        (response) => callback(null, response),
        (error: Error) => callback({ code: grpc.status.UNKNOWN, details: error.message }),
      );
  };
}

export function fromStruct(struct: Struct | undefined): Properties {
  return struct?.toJavaScript() ?? {};
}

export function toStruct(properties: Properties): Struct {
  return structpb.Struct.fromJavaScript(properties);
}

/** The type's token: urn:pulumi:<stack>::<project>::<parent type>$<type>::<name>. */
export function typeOf(urn: string): string {
  return urn.split("::")[2]?.split("$").at(-1) ?? "";
}

/** The resource's name, which may hold "::". */
export function nameOf(urn: string): string {
  return urn.split("::").slice(3).join("::");
}
