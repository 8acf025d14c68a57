#!/bin/bash
# Installs the packages listed in inputs.json; on Ubuntu all of apt is pinned to the snapshot named there.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

# Only Ubuntu has a snapshot service which apt knows how to use. The Debian base has its host's sources, as they are.
if [[ $BASE == ubuntu ]]; then
  echo "APT::Snapshot \"$SNAPSHOT\";" > /etc/apt/apt.conf.d/50snapshot
fi

mapfile -t packages < "$PAYLOAD/packages"
# The Debian base was built with the same list: then there is nothing to do, and no index to download.
if states=$(dpkg-query --show --showformat '${db:Status-Status}\n' "${packages[@]}") && [[ $(sort -u <<< "$states") == installed ]]; then
  exit 0
fi
apt-get update --quiet -o Acquire::Languages=none
apt-get install --quiet --yes --no-install-recommends "${packages[@]}"
apt-get clean
rm -rf /var/lib/apt/lists/*
