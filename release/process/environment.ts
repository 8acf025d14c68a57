/**
 * What a build or a guest's QEMU is told of this process's environment, by name. An allow-list: a variable that is missing here shows as
 * a build that fails, one that a deny-list forgot as a credential in the hands of whatever a package runs; and nobody can list the
 * names of all that holds secrets (AWS_*, GH_TOKEN, ACTIONS_ID_TOKEN_REQUEST_TOKEN, PULUMI_ACCESS_TOKEN, NPM_TOKEN, …).
 */
const handedOn = [
  // A process's own.
  /^(PATH|HOME|USER|LOGNAME|SHELL|PWD|TERM|TZ|LANG|LANGUAGE|LC_\w+|TMPDIR|XDG_\w+_(HOME|DIR|DIRS))$/,
  /^(CI|DEBIAN_FRONTEND|SOURCE_DATE_EPOCH)$/,
  // The way to the network: curl, apt, Packer.
  /^(https?|ftp|all|no)_proxy$/i,
  /^(SSL_CERT_FILE|SSL_CERT_DIR|CURL_CA_BUNDLE|CURL_HOME|APT_CONFIG)$/,
  // image/Makefile's settings, where Packer keeps plugins, and what it logs. Not PACKER_GITHUB_API_TOKEN, nor PKR_VAR_*.
  /^(CPUS|MEMORY_MB|PACKER_(CONFIG_DIR|PLUGIN_PATH|LOG|LOG_PATH)|CHECKPOINT_DISABLE)$/,
];

/** The environment of a process that runs others' code: what it works with, and no credential of this one. */
export function withoutCredentials(environment: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    Object.entries(environment).filter(
      (entry): entry is [string, string] =>
        entry[1] !== undefined && handedOn.some((names) => names.test(entry[0])),
    ),
  );
}
