import * as pulumi from "@pulumi/pulumi";

export interface Recorded {
  type: string;
  name: string;
  inputs: Record<string, unknown>;
}

/** What the provider answers: the outputs a resource of this type has beyond its inputs, and the results of functions. */
export interface Answers {
  outputs?: (type: string, name: string) => Record<string, unknown>;
  calls?: Record<string, (args: Record<string, unknown>) => Record<string, unknown>>;
  project?: string;
  stack?: string;
  preview?: boolean;
}

/**
 * Mocks that record every resource. Must run before anything that constructs resources is imported.
 * Mocks do not see options such as dependsOn: `optionsProbe` does, and the engine tier shows what they do.
 */
export async function recordResources(
  answers: Answers = {},
): Promise<{ resources: Recorded[]; flush: () => Promise<void> }> {
  const resources: Recorded[] = [];
  await pulumi.runtime.setMocks(
    {
      newResource: ({ type, name, inputs }) => {
        const given = inputs as Record<string, unknown>;
        resources.push({ type, name, inputs: given });
        return { id: `${name}-id`, state: { ...given, ...answers.outputs?.(type, name) } };
      },
      call: ({ token, inputs }) => {
        const answer = answers.calls?.[token];
        if (answer === undefined) throw new Error(`the program called ${token}, which nothing here answers`);
        return answer(inputs as Record<string, unknown>);
      },
    },
    answers.project ?? "runner-images",
    answers.stack ?? "test",
    answers.preview ?? false,
  );
  // Nothing is registered when a constructor returns: this waits until all of it is.
  return { resources, flush: () => pulumi.runtime.disconnect() };
}

/** What mocks do not see of the resources below the one whose transformations it is given to, by name. */
export function optionsProbe() {
  const found = new Map<string, { resource: pulumi.Resource; opts: pulumi.CustomResourceOptions }>();
  const probe: pulumi.ResourceTransformation = ({ name, resource, opts }) => {
    found.set(name, { resource, opts });
    return undefined;
  };
  return {
    probe,
    optionsOf: (name: string) => found.get(name)!.opts,
    /** The names of what a resource waits for. */
    dependenciesOf: (name: string) =>
      [found.get(name)!.opts.dependsOn]
        .flat()
        .map((resource) => internals(resource as pulumi.Resource).__name),
    /** The names of the protected ones: their parents' protection counts too. */
    protectedOnes: () =>
      [...found].filter(([, { resource }]) => internals(resource).__protect === true).map(([name]) => name),
  };
}

/** What the SDK knows of a resource and does not show in its types. */
function internals(resource: pulumi.Resource): { __name?: string; __protect?: boolean } {
  return resource as unknown as { __name?: string; __protect?: boolean };
}

/** The inputs of the one resource of that type and name. */
export function inputsOf(resources: Recorded[], type: string, name: string): Record<string, unknown> {
  const found = resources.filter((resource) => resource.type === type && resource.name === name);
  if (found.length !== 1) {
    const known = resources.map((resource) => `${resource.type} ${resource.name}`).join("\n");
    throw new Error(`${found.length} resources are ${type} ${name}; there are:\n${known}`);
  }
  return found[0]!.inputs;
}
