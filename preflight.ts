import { GetCallerIdentityCommand, STSClient } from "@aws-sdk/client-sts";
import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import { oidcProviderArn } from "./components/ci-access.js";
import type { AwsStore, Placeholder, Repository } from "./config.js";
import { UserError } from "./release/process/errors.js";
import { explainCredentials } from "./release/store/store-errors.js";

/** Milliseconds that AWS or GitHub may take to connect, and to answer: a wait without end would end in an empty program. */
const connectionTimeout = 5_000;
const requestTimeout = 20_000;

/**
 * Looks whether what the configuration names is there, before any resource is touched.
 *
 * A preview goes on in spite of placeholders, with a warning each, and then leaves out what cannot be there.
 * @returns whether the configuration names real things, so that the bucket can be looked into
 * @throws UserError naming the config key and the fix
 */
export async function preflight(store: AwsStore): Promise<boolean> {
  const { placeholders } = store;
  refuseStoredToken();
  if (placeholders.length > 0 && !pulumi.runtime.isDryRun()) throw refusal(placeholders);
  const account = await callerAccount(store);
  if (placeholders.length > 0) {
    for (const { key, value, fix } of placeholders)
      await pulumi.log.warn(`config ${key} still is the placeholder ${value}; before an update: ${fix}`);
    return false;
  }
  if (account !== store.account) {
    throw new UserError(
      `config aws:allowedAccountIds allows the account ${store.account}, but the credentials in use are of ${account}; use others (AWS_PROFILE), or: pulumi config set --path --type string 'aws:allowedAccountIds[0]' ${account}`,
    );
  }
  const { repository, approvals } = store.ci;
  await Promise.all([checkZone(store), checkOidcProvider(store), checkRepository(repository)]);
  const unguarded = approvals === 0 ? null : await lookAtCodeOwners(repository);
  if (unguarded !== null) await pulumi.log.warn(unguarded);
  return true;
}

/** Pulumi's GitHub SDK makes that variable an input of its provider, and inputs are kept in the state as plain text. */
function refuseStoredToken(): void {
  if (!process.env.GITHUB_TOKEN) return;
  throw new UserError(
    "GITHUB_TOKEN is set, and Pulumi would write it to the state in plain text; hand it over as GH_TOKEN, which it does not store: export GH_TOKEN=$(gh auth token); unset GITHUB_TOKEN",
  );
}

function refusal(placeholders: Placeholder[]): UserError {
  const lines = placeholders.map(({ key, value, fix }) => `\n  ${key} is ${value}: ${fix}`);
  return new UserError(`the configuration still holds placeholders:${lines.join("")}`);
}

/** The account of the credentials in use. */
async function callerAccount({ account, region }: AwsStore): Promise<string> {
  const client = new STSClient({ region, requestHandler: { connectionTimeout, requestTimeout } });
  try {
    const { Account = "unknown" } = await client.send(new GetCallerIdentityCommand({}));
    return Account;
  } catch (error) {
    const where = `AWS account ${account} (config aws:allowedAccountIds)`;
    const explained = explainCredentials(error, where);
    if (explained !== null) throw explained;
    throw new UserError(
      `${where} cannot be asked who is calling (${lastLine(error)}); check the region (pulumi config set aws:region <region>), AWS_PROFILE and the connection`,
    );
  } finally {
    client.destroy();
  }
}

async function checkZone({ cdn, account }: AwsStore): Promise<void> {
  if (cdn.kind === "foreign" || cdn.domain === undefined || cdn.zone === undefined) return;
  const { domain, zone } = cdn;
  const { name } = await aws.route53.getZone({ zoneId: zone }).catch((error: unknown) => {
    throw new UserError(
      `config runner-images:zone is ${zone}, which is no hosted zone of the account ${account} (${lastLine(error)}); list them: aws route53 list-hosted-zones, then: pulumi config set zone <ID>`,
    );
  });
  const suffix = name.replace(/\.$/, "");
  if (domain === suffix || domain.endsWith(`.${suffix}`)) return;
  throw new UserError(
    `config runner-images:domain is ${domain}, which is not in the hosted zone ${zone} (${suffix}); choose another: pulumi config set domain <name>.${suffix}, or pulumi config set zone <ID>`,
  );
}

async function checkOidcProvider({ ci, account }: AwsStore): Promise<void> {
  if (ci.oidcProvider === "create") return;
  const arn = oidcProviderArn(account);
  await aws.iam.getOpenIdConnectProvider({ arn }).catch((error: unknown) => {
    throw new UserError(
      `config runner-images:oidcProvider is "existing", but there is no ${arn} (${lastLine(error)}); let this stack make it: pulumi config set oidcProvider create`,
    );
  });
}

/** What GitHub says of a repository, as far as it is needed here. */
interface RepositoryAnswer {
  /** owner/name as they are now: GitHub answers for old names too, and in any case. */
  full_name: string;
  id: number;
  owner: { id: number };
}

async function checkRepository({ owner, name, ids }: Repository): Promise<void> {
  const key = "config runner-images:repository";
  const fix = "pulumi config set repository <owner/name>";
  const response = await askGitHub(`/repos/${owner}/${name}`).catch((error: unknown) => {
    throw new UserError(`${key} cannot be looked up: GitHub cannot be reached (${lastLine(error)})`);
  });
  if (response.status === 404) {
    throw new UserError(
      `${key} is ${owner}/${name}, which GitHub does not know, or does not show to ${process.env.GH_TOKEN ? "this GH_TOKEN" : "anybody without a token: export GH_TOKEN=$(gh auth token)"}; correct it: ${fix}`,
    );
  }
  if (!response.ok) {
    throw new UserError(
      `${key} cannot be looked up: GitHub answers ${response.status} for ${owner}/${name}; set a GH_TOKEN that may read it`,
    );
  }
  const found = (await response.json()) as RepositoryAnswer;
  if (found.full_name !== `${owner}/${name}`) {
    throw new UserError(
      `${key} is ${owner}/${name}, which is called ${found.full_name} now, and so in the tokens that AWS compares; correct it: pulumi config set repository ${found.full_name}`,
    );
  }
  if (ids !== undefined && (ids.repository !== found.id || ids.owner !== found.owner.id)) {
    const actual = `${owner}@${found.owner.id}/${name}@${found.id}`;
    throw new UserError(
      `${key} has other IDs than the repository, which is ${actual}; if that is the right one: pulumi config set repository ${actual}`,
    );
  }
}

function askGitHub(path: string): Promise<Response> {
  const { GITHUB_API_URL: api = "https://api.github.com", GH_TOKEN: token } = process.env;
  return fetch(api + path, {
    headers: {
      accept: "application/vnd.github+json",
      ...(token && { authorization: `Bearer ${token}` }),
    },
    signal: AbortSignal.timeout(requestTimeout),
  });
}

async function lookAtCodeOwners({ owner, name }: Repository): Promise<string | null> {
  try {
    const response = await askGitHub(`/repos/${owner}/${name}/codeowners/errors`);
    return unguardedLine(response.status, response.ok ? await response.json() : undefined);
  } catch (error) {
    return `whether all code owners count cannot be looked up: GitHub cannot be reached (${lastLine(error)})`;
  }
}

/**
 * The warning where the review of a code owner is asked for and GitHub takes it from nobody: it passes over lines with owners whom it does
 * not know, or who may not write. Only a warning, since a rollback must not wait for it.
 * @param answer of https://docs.github.com/rest/repos/repos#list-codeowners-errors, of the default branch
 */
export function unguardedLine(status: number, answer: unknown): string | null {
  const file = ".github/CODEOWNERS on the default branch";
  const fix = "name people or teams there that may write to the repository (docs/first-deploy.md, section 2)";
  if (status === 404) return `there is no ${file}, so no review has to be a code owner's; ${fix}`;
  const { errors } = (answer ?? {}) as { errors?: { line: number; kind: string }[] };
  if (errors === undefined)
    return `whether all code owners count cannot be looked up: GitHub answers ${status}`;
  if (errors.length === 0) return null;
  const lines = errors.map(({ line, kind }) => `line ${line} (${kind})`).join(", ");
  return `GitHub passes over ${lines} of ${file}, so what that is about needs no code owner's review; ${fix}`;
}

/** The part of a provider's long error that says what is wrong. */
function lastLine(error: unknown): string {
  const { message, cause } = error as Error & { cause?: { code?: string } };
  return cause?.code ?? message.trim().split("\n").at(-1)!.trim();
}
