/**
 * A stand-in for the official Pulumi command plugin 1.2.1, for machines which cannot reach the vendor's download site.
 * It has `command:local:Command` and nothing else, says on each run that it stands in, and is held to the official
 * plugin by test/conformance. The Pulumi engine starts it (see executable.ts), with its own address as the argument.
 */
import grpc from "@grpc/grpc-js";
import providerService from "@pulumi/pulumi/proto/provider_grpc_pb.js";
import { Engine } from "./engine.js";
import { removeLeftFolders } from "./pipe.js";
import { commandProvider, version } from "./provider.js";

const notice =
  `this project's stand-in for the official command plugin ${version} runs the commands,` +
  " because that could not be downloaded when this checkout was set up";

const address = engineAddress(process.argv.slice(2));
if (address === undefined) {
  process.stderr.write("error: the command provider is started by the Pulumi engine, not by hand\n");
  process.exit(1);
}

const engine = new Engine(address);
const provider = commandProvider(engine);
const server = new grpc.Server({ "grpc.max_receive_message_length": -1 });
server.addService(providerService.ResourceProviderService, provider.methods);
server.bindAsync("127.0.0.1:0", grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error;
  // The engine waits for this line.
  process.stdout.write(`${port}\n`);
});
void engine.warn(notice);
void removeLeftFolders().catch(() => undefined);
engine.onGone(() => {
  provider.cancel();
  process.exit(1);
});

/** The engine may put its own logging and tracing flags before its address. */
function engineAddress(args: string[]): string | undefined {
  return args.find((arg, i) => !arg.startsWith("-") && args[i - 1] !== "--tracing");
}
