import grpc from "@grpc/grpc-js";
import engineService from "@pulumi/pulumi/proto/engine_grpc_pb.js";
import enginepb from "@pulumi/pulumi/proto/engine_pb.js";

/** The Pulumi engine that started this provider. */
export class Engine {
  private readonly client;

  /** @param address host:port, the provider's first argument */
  constructor(address: string) {
    this.client = new engineService.EngineClient(address, grpc.credentials.createInsecure(), {
      "grpc.max_receive_message_length": -1,
      // The connection also tells when the engine is gone, so it must not be closed for being idle.
      "grpc.client_idle_timeout_ms": 2 ** 31 - 1,
    });
  }

  /** A warning that stays: it is listed under the run's diagnostics. */
  warn(message: string): Promise<void> {
    const request = new enginepb.LogRequest();
    request.setSeverity(enginepb.LogSeverity.WARNING);
    request.setMessage(message);
    return this.send(request);
  }

  /** A line that passes by: it is shown on the resource's row while it is the newest. */
  status(message: string, urn: string): Promise<void> {
    const request = new enginepb.LogRequest();
    request.setSeverity(enginepb.LogSeverity.INFO);
    request.setMessage(message);
    request.setUrn(urn);
    request.setEphemeral(true);
    return this.send(request);
  }

  /** Never fails: a line that cannot be shown must not fail the command. */
  private send(request: InstanceType<typeof enginepb.LogRequest>): Promise<void> {
    return new Promise((resolve) => this.client.log(request, () => resolve()));
  }

  /** Calls back when the engine has gone without a word (`kill -9`). */
  onGone(callback: () => void): void {
    const channel = this.client.getChannel();
    this.client.waitForReady(Date.now() + 10_000, (error) => {
      if (error) return callback();
      channel.watchConnectivityState(grpc.connectivityState.READY, Infinity, () => callback());
    });
  }
}
