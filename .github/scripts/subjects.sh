#!/usr/bin/env bash
# What the images of this run are attested as: a line "<sha256>  images/<commit>/ubuntu-<arch>.qcow2" for each that was built, the commit as
# git says it here. X86_64 and AARCH64 hold what the build jobs handed over (build-image.yml); empty: that one was not built.
# It runs beside an identity, so it needs nothing but git.
set -euo pipefail

commit=$(git log -1 --format=%H -- image)

subject() {
  local arch=$1 handed=$2 key=images/$commit/ubuntu-$1
  if [[ -z $handed ]]; then return; fi
  # What a build says of itself is believed as far as its disk's hash goes, and no further.
  if [[ ! $handed =~ ^([0-9a-f]{64})"  $key.qcow2"$'\n'[0-9a-f]{64}"  $key.build.json"$ ]]; then
    echo "error: the build of $arch handed over hashes that are not of main's image $commit: ${handed@Q}" >&2
    exit 1
  fi
  echo "${BASH_REMATCH[1]}  $key.qcow2"
}

subject x86_64 "${X86_64:-}"
subject aarch64 "${AARCH64:-}"
