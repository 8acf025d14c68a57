import * as aws from "@pulumi/aws";
import * as pulumi from "@pulumi/pulumi";
import { deployPolicy } from "./policies/deploy-policy.js";
import type { PolicyDocument } from "./policies/document.js";
import { previewPolicy, type PolicyScope } from "./policies/preview-policy.js";
import { prunePolicy } from "./policies/prune-policy.js";
import { audience, issuer, roles, subjects, trustPolicy, type Role } from "./policies/trust-policy.js";

export interface CiAccessArgs {
  account: string;
  /** The repository as GitHub's tokens name it: "owner/name" or "owner@1/name@2". */
  subject: string;
  /** An account has at most one OIDC provider for GitHub: make it, or use the one that is there. */
  oidcProvider: "create" | "existing";
  /** How long the credentials of a deploy last, in seconds: longer than the longest deploy. */
  sessionSeconds: number;
  /** What the roles work on, but for the roles themselves and the stack. */
  resources: pulumi.Input<Omit<PolicyScope, "account" | "project" | "stack" | "roleArns" | "providerArn">>;
}

/** The one OIDC provider that an account can have for GitHub. */
export function oidcProviderArn(account: string): string {
  return `arn:aws:iam::${account}:oidc-provider/${issuer}`;
}

/** A role of this stack, by its ARN: known before the role is there. */
export function roleArn(account: string, role: Role): string {
  return `arn:aws:iam::${account}:role/${roleName(role)}`;
}

function roleName(role: Role): string {
  return `${pulumi.getProject()}-${pulumi.getStack()}-${role}`;
}

/** AWS gives no shorter session than this, in seconds. */
const oneHour = 60 * 60;

/**
 * The roles that workflows of one repository may assume, without a stored secret: `preview` can only look, `deploy` adds images and
 * moves the pointer, `prune` removes images. None may change what binds it: roles, bucket settings and GitHub's rules are an
 * administrator's.
 */
export class CiAccess extends pulumi.ComponentResource {
  readonly previewRoleArn: pulumi.Output<string>;
  readonly deployRoleArn: pulumi.Output<string>;
  readonly pruneRoleArn: pulumi.Output<string>;

  constructor(name: string, args: CiAccessArgs, opts?: pulumi.ComponentResourceOptions) {
    super("runner-images:index:CiAccess", name, {}, opts);
    const { account, subject } = args;
    const parts = { parent: this };
    const [project, stack] = [pulumi.getProject(), pulumi.getStack()];
    const providerArn = oidcProviderArn(account);
    const roleArns = roles.map((role) => roleArn(account, role));
    const scope = pulumi
      .output(args.resources)
      .apply((resources): PolicyScope => ({ ...resources, account, project, stack, providerArn, roleArns }));

    const trusted = createProvider();
    const preview = createRole("preview", oneHour, previewPolicy);
    const deploy = createRole("deploy", Math.max(oneHour, args.sessionSeconds), deployPolicy);
    const prune = createRole("prune", oneHour, prunePolicy);

    this.previewRoleArn = preview.arn;
    this.deployRoleArn = deploy.arn;
    this.pruneRoleArn = prune.arn;
    this.registerOutputs();

    /** Lets this account believe the tokens that GitHub signs; which of them may do what is each role's own to say. */
    function createProvider(): pulumi.Resource[] {
      if (args.oidcProvider === "existing") return [];
      return [
        new aws.iam.OpenIdConnectProvider(
          `${name}-github`,
          { url: `https://${issuer}`, clientIdLists: [audience] },
          parts,
        ),
      ];
    }

    function createRole(
      role: Role,
      maxSessionDuration: number,
      policy: (scope: PolicyScope) => PolicyDocument,
    ) {
      const created = new aws.iam.Role(
        `${name}-${role}`,
        {
          name: roleName(role),
          description: `GitHub Actions of ${subject}: ${role}`,
          maxSessionDuration,
          assumeRolePolicy: JSON.stringify(trustPolicy({ providerArn, subjects: subjects(subject, role) })),
        },
        { ...parts, dependsOn: trusted },
      );
      new aws.iam.RolePolicy(
        `${name}-${role}-policy`,
        { role: created.name, name: role, policy: scope.apply((known) => JSON.stringify(policy(known))) },
        parts,
      );
      return created;
    }
  }
}
