import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { World } from "../world.js";
import { account, aws, github, repository } from "./plugins.js";
import { RecordingProvider } from "./recording-provider.js";
import { startServices, startTlsFront, type Answers } from "./services.js";

/** The production stack in a world: its clouds are played by recording providers, its bucket and CDN are the world's. */
export interface ProductionWorld {
  /** Seen as an administrator's laptop sees it. */
  world: World;
  aws: RecordingProvider;
  github: RecordingProvider;
  answers: Answers;
  /** A checkout without a stack or a cloud of its own; what STS and GitHub say is the same. */
  another: () => Promise<Pick<ProductionWorld, "world" | "aws" | "github">>;
  remove: () => Promise<void>;
}

export async function createProductionWorld(): Promise<ProductionWorld> {
  const local = await World.create("prod");
  const folder = await mkdtemp(path.join(tmpdir(), "runner-images-tls-"));
  const fullName = `${repository.owner}/${repository.name}`;
  const known = { full_name: fullName, id: repository.id, owner: { id: repository.ownerId } };
  const answers: Answers = {
    account,
    repositories: {
      [fullName]: known,
      // GitHub answers for what it was called before, too.
      [`${repository.owner}/old-name`]: known,
    },
  };
  const services = await startServices(answers);
  const front = await startTlsFront(local.url, folder);
  const providers: RecordingProvider[] = [];

  async function withCloud(world: World): Promise<Pick<ProductionWorld, "world" | "aws" | "github">> {
    const [onAws, onGitHub] = [
      await RecordingProvider.start({
        ...aws(`localhost:${front.port}`),
        // As the real one does, at previews too.
        accept: ({ allowedAccountIds }) => {
          const allowed = allowedAccountIds === undefined ? [] : (JSON.parse(allowedAccountIds) as string[]);
          if (allowed.length > 0 && !allowed.includes(answers.account ?? ""))
            throw new Error(`AWS account ID not allowed: ${answers.account}`);
        },
      }),
      await RecordingProvider.start(github),
    ];
    providers.push(onAws, onGitHub);
    return {
      aws: onAws,
      github: onGitHub,
      world: world.withEnvironment({
        // The program tells its commands where the store is.
        BUCKET: undefined,
        IMAGES_URL: undefined,
        ...services.environment,
        ...front.environment,
        PULUMI_DEBUG_PROVIDERS: `${onAws.attachment},${onGitHub.attachment}`,
      }),
    };
  }

  return {
    ...(await withCloud(local)),
    answers,
    another: async () => withCloud(await local.secondMachine({ withState: false })),
    remove: async () => {
      for (const server of [...providers, services, front]) server.stop();
      await local.remove();
      await rm(folder, { recursive: true });
    },
  };
}
