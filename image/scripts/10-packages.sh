#!/bin/bash
# Installs the packages of the profile (inputs.json, contents) and upgrades the rest; on Ubuntu all of apt is pinned to the snapshot.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive

# Only Ubuntu has a snapshot service which apt knows how to use. The Debian base has its host's sources, as they are.
if [[ $BASE == ubuntu ]]; then
  echo "APT::Snapshot \"$SNAPSHOT\";" > /etc/apt/apt.conf.d/50snapshot
fi

# On Ubuntu cloud-init has done it.
if [[ $BASE == debian ]]; then bash "$PAYLOAD/files/usr/lib/runner-image/grow-root"; fi

mapfile -t packages < "$PAYLOAD/packages"
# The Debian base was built with the list of `small`, from the packages of that day: then there is nothing to do, and no index to download.
if [[ $BASE == debian ]] && states=$(dpkg-query --show --showformat '${db:Status-Status}\n' "${packages[@]}") &&
  [[ $(sort -u <<< "$states") == installed ]]; then
  exit 0
fi
apt-get update --quiet -o Acquire::Languages=none
unknown=$(comm -23 <(printf '%s\n' "${packages[@]}" | sort) <(apt-cache --generate pkgnames | sort))
if [[ -n $unknown ]]; then
  echo "gha: error: inputs.json names packages that $BASE does not have, at least not on its pinned day: ${unknown//$'\n'/ }"
  exit 1
fi
apt-get upgrade --quiet --yes --with-new-pkgs --no-install-recommends
apt-get install --quiet --yes --no-install-recommends "${packages[@]}"
# Kernels that the upgrade has left behind.
apt-get autoremove --quiet --yes --purge
apt-get clean
rm -rf /var/lib/apt/lists/*
