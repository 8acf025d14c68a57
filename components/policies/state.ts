/**
 * Where Pulumi keeps what it knows of one stack in a bucket: keys, with an asterisk where there are several, or where the ending varies.
 *
 * Its layout of version 1, as the engine's source has it:
 * https://github.com/pulumi/pulumi/blob/v3.259.0/pkg/backend/diy/store.go (stacks, history, backups), lock.go and meta.go beside it.
 */
export function stateKeys({ project, stack }: { project: string; stack: string }) {
  return {
    /** The version of the layout, of the whole bucket: read first by every command, written when the bucket is first used. */
    layout: ".pulumi/meta.yaml",
    /** Listed at each start, for stacks of the layout before: with a delimiter it holds the names of the bucket's projects. */
    projects: ".pulumi/stacks/",
    /** prod.json, its copy prod.json.bak, and the stack's tags: prod.pulumi-tags. (A stack called `prod.` and more would be in it.) */
    state: `.pulumi/stacks/${project}/${stack}.*`,
    /** One per process, under the stack's full name, whose organization is always called that. */
    locks: `.pulumi/locks/organization/${project}/${stack}/*`,
    history: `.pulumi/history/${project}/${stack}/*`,
    backups: `.pulumi/backups/${project}/${stack}/*`,
  };
}
