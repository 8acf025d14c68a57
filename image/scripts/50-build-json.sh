#!/bin/bash
# Writes what the image was built from: build.json for our own tests, with the build VM's identity, which no VM may share, and
# .setup_info, which the runner shows in each job's log.
set -euo pipefail
shared=/usr/lib/runner-image

for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf "$key" | cut -d ' ' -f 2; done |
  jq --raw-input --null-input '[inputs]' |
  jq --arg machineId "$(< /etc/machine-id)" --slurpfile facts "$PAYLOAD/facts.json" \
    '$facts[0] + {$machineId, hostKeys: .}' > $shared/build.json
cp "$PAYLOAD/contents.json" $shared/contents.json
chmod 0644 $shared/{build,contents}.json

# The form of actions/runner's src/Runner.Common/Constants.cs and JobExtension.cs: groups of lines, folded in the log.
jq --arg time "$(date --utc +%FT%TZ)" \
  '[{group: "Image details", detail: "Commit: \(.commit)\nBuilt: \($time)\nBase: \(.base.name)\nProfile: \(.profile)"}]' \
  $shared/build.json > /gha/.setup_info
chown gha:gha /gha/.setup_info
