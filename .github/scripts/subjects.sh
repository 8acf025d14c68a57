#!/usr/bin/env bash
# What the images of this run are attested as: a line "<sha256>  images/<commit>/ubuntu-<arch>.qcow2" for each that was built, where git says
# here that the commit is main's and its image/ the one of now. X86_64 and AARCH64 hold what the build jobs handed over (build-image.yml);
# empty: that one was not built. It runs beside an identity, so it needs nothing but git.
set -euo pipefail

# An image is named after the first commit with this content of image/, which a revert goes back to (release/build/source.ts).
names_image() {
  local commit=$1
  [[ $commit =~ ^[0-9a-f]{40}$ ]] &&
    git merge-base --is-ancestor "$commit" HEAD &&
    [[ $(git rev-parse "$commit:image") == "$(git rev-parse HEAD:image)" ]]
}

subject() {
  local arch=$1 handed=$2 commit key
  if [[ -z $handed ]]; then return; fi
  commit=${handed#*  images/}
  commit=${commit%%/*}
  key=images/$commit/ubuntu-$arch
  # What a build says of itself is believed as far as its disk's hash goes, and no further.
  if ! names_image "$commit" 2> /dev/null ||
    [[ ! $handed =~ ^([0-9a-f]{64})"  $key.qcow2"$'\n'[0-9a-f]{64}"  $key.build.json"$ ]]; then
    echo "error: the build of $arch handed over hashes that are not of main's image: ${handed@Q}" >&2
    exit 1
  fi
  echo "${BASH_REMATCH[1]}  $key.qcow2"
}

subject x86_64 "${X86_64:-}"
subject aarch64 "${AARCH64:-}"
