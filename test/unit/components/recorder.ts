import * as pulumi from "@pulumi/pulumi";

export interface Recorded {
  type: string;
  name: string;
  inputs: Record<string, unknown>;
}

/**
 * Mocks that record every resource. Must run before anything that constructs resources is imported.
 * Mocks do not see options such as dependsOn: the engine tier shows what those do.
 */
export async function recordResources(): Promise<{ resources: Recorded[]; flush: () => Promise<void> }> {
  const resources: Recorded[] = [];
  await pulumi.runtime.setMocks(
    {
      newResource: ({ type, name, inputs }) => {
        resources.push({ type, name, inputs: inputs as Record<string, unknown> });
        return { id: `${name}-id`, state: inputs as Record<string, unknown> };
      },
      call: ({ token }) => {
        throw new Error(`the program called ${token}, which nothing here answers`);
      },
    },
    "runner-images",
    "test",
    false,
  );
  // Nothing is registered when a constructor returns: this waits until all of it is.
  return { resources, flush: () => pulumi.runtime.disconnect() };
}
