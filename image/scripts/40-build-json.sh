#!/bin/bash
# Writes /usr/lib/runner-image/build.json: what the image was built from, and the build VM's identity, which no VM may share.
set -euo pipefail

for key in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf "$key" | cut -d ' ' -f 2; done |
  jq --raw-input --null-input '[inputs]' |
  jq --arg machineId "$(< /etc/machine-id)" --slurpfile facts "$PAYLOAD/facts.json" \
    '$facts[0] + {$machineId, hostKeys: .}' > /usr/lib/runner-image/build.json
