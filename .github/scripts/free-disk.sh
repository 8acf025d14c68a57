#!/usr/bin/env bash
# Makes room on this job's machine, which is promised 14 GB: the large tools for other languages that GitHub's image has go.
# https://docs.github.com/en/actions/reference/runners/github-hosted-runners
#   free-disk.sh <gigabytes that are enough>
set -euo pipefail
enough=$1
free() {
  df --output=avail --block-size=1G . | tail -n 1 | tr -d ' '
}
for folder in /usr/local/lib/android /usr/share/dotnet /usr/share/swift /usr/local/.ghcup /opt/ghc; do
  if (($(free) >= enough)); then break; fi
  # What is there differs from one version of GitHub's image to the next.
  sudo rm -rf "$folder"
done
echo "$(free) GB free"
