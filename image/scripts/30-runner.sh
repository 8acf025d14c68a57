#!/bin/bash
# Makes user gha, who may sudo without a password as on GitHub's own runners, and unpacks the runner to /gha.
set -euo pipefail

useradd --home-dir /gha --create-home --shell /bin/bash gha
if getent group docker > /dev/null; then usermod --append --groups docker gha; fi
install -m 0440 /dev/stdin /etc/sudoers.d/gha <<< "gha ALL=(ALL) NOPASSWD: ALL"

tar --extract --file "$PAYLOAD/runner.tar" --directory /gha --no-same-owner
chown --recursive gha:gha /gha

if [[ $RUNNER == github ]]; then
  apt-get update --quiet -o Acquire::Languages=none
  /gha/bin/installdependencies.sh
  apt-get clean
  rm -rf /var/lib/apt/lists/*
fi
