#!/bin/bash
# Builds build/ubuntu-<arch>.qcow2 and build/ubuntu-<arch>.build.json. Called by the Makefile, which explains the settings:
# build.sh <arch> <auto|kvm|tcg>, with BASE, PROFILE, RUNNER, CPUS, MEMORY_MB, CACHE_DIR and COMMIT in the environment.
set -euo pipefail
cd "$(dirname "$0")"
# Others' code runs here: it gets no credential of whoever calls make.
for name in "${!AWS_@}" "${!ACTIONS_@}" "${!GITHUB_@}" "${!GH_@}" "${!PULUMI_@}"; do unset "$name"; done
source ./run.sh
export ARCH=$1
accelerator=$2
name=ubuntu-$ARCH
work=build/$ARCH
CACHE_DIR=$(realpath --canonicalize-missing "$CACHE_DIR")
start=$SECONDS

say() {
  echo "$name: $*"
}
fail() {
  echo "error: $name: $*" >&2
  exit 1
}
input() {
  jq --raw-output "$1" inputs.json
}
sha256() {
  sha256sum "$1" | cut -d ' ' -f 1
}

check_settings() {
  case $BASE in ubuntu | debian) ;; *) fail "BASE is '$BASE'; it must be ubuntu or debian" ;; esac
  case $PROFILE in small | full) ;; *) fail "PROFILE is '$PROFILE'; it must be small or full" ;; esac
  case $RUNNER in github | fixture) ;; *) fail "RUNNER is '$RUNNER'; it must be github or fixture" ;; esac
  case $accelerator in auto | kvm | tcg) ;; *) fail "ACCELERATOR is '$accelerator'; it must be auto, kvm or tcg" ;; esac
  [[ $COMMIT =~ ^[0-9a-f]{40}$ ]] || fail "COMMIT is '$COMMIT'; it must be 40 lowercase hex digits (outside a git checkout: make COMMIT=...)"
  if [[ $BASE == ubuntu ]]; then check_snapshot "$(input .ubuntu.snapshot)" "$(input .ubuntu.name)"; fi
}

# check_snapshot <20260901T000000Z> <ubuntu-24.04-release-20260705>: apt upgrades to the snapshot, and cannot downgrade to one.
check_snapshot() {
  [[ ${1%%T*} -ge ${2##*-} ]] ||
    fail "ubuntu.snapshot in inputs.json is $1, older than the base $2; it must be of that day or later: npm run pins"
}

check_tools() {
  local packages=(curl jq packer qemu-utils) files=(curl jq packer qemu-img) missing=() i
  packages+=(openssh-client util-linux) files+=(ssh-keygen setpriv)
  case $ARCH in
    x86_64) packages+=(qemu-system-x86) files+=(qemu-system-x86_64) ;;
    aarch64)
      packages+=(qemu-system-arm qemu-efi-aarch64 ipxe-qemu)
      files+=(qemu-system-aarch64 /usr/share/qemu-efi-aarch64/QEMU_EFI.fd /usr/lib/ipxe/qemu/efi-virtio.rom)
      ;;
  esac
  if [[ $BASE == debian ]]; then
    packages+=(mmdebstrap fdisk e2fsprogs) files+=(mmdebstrap sfdisk mkfs.ext4)
    if [[ $EUID != 0 ]]; then packages+=(uidmap) files+=(newuidmap); fi
    if [[ $ARCH == aarch64 ]]; then packages+=(dosfstools) files+=(mkfs.vfat); fi
    if [[ $ARCH != "$(uname -m)" ]]; then packages+=(qemu-user-static arch-test) files+=("/usr/bin/qemu-$ARCH-static" arch-test); fi
  fi
  for i in "${!files[@]}"; do
    [[ -e ${files[i]} ]] || command -v "${files[i]}" > /dev/null || missing+=("${packages[i]}")
  done
  ((${#missing[@]} == 0)) || fail "tools are missing; install them: apt-get install --no-install-recommends ${missing[*]}"
  # Ubuntu forbids it to unprivileged programs: https://ubuntu.com/blog/ubuntu-23-10-restricted-unprivileged-user-namespaces
  if [[ $BASE == debian && $EUID != 0 ]] && ! unshare --map-root-user --map-auto true 2> /dev/null; then
    fail "this user may not map accounts of its own, which the Debian base is built with; build as root, allow it (Ubuntu: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0), or give it a range in /etc/subuid and /etc/subgid"
  fi
}

choose_accelerator() {
  if [[ $accelerator == tcg ]]; then return; fi
  if ./probe-kvm.sh; then
    accelerator=kvm
  elif [[ $accelerator == kvm ]]; then
    fail "KVM was demanded and does not run a guest of $ARCH here; build with emulation: make -C image $ARCH-emul"
  else
    accelerator=tcg
  fi
}

# fetch <url> <sha256> <what to do instead>: the verified file, in the cache; its path in $fetched.
fetch() {
  fetched=$CACHE_DIR/$2-${1##*/}
  if [[ -e $fetched ]]; then return; fi
  say "downloading $1"
  run curl --fail --silent --show-error --location --retry 3 --connect-timeout 30 --speed-limit 1000 --speed-time 60 \
    --continue-at - --output "$fetched.part" "$1" 2> "$work/download.log" ||
    # An earlier run may have been ended when the file was complete: then there is nothing to continue.
    [[ -e $fetched.part && $(sha256 "$fetched.part") == "$2" ]] ||
    fail "cannot download $1: $(tail -n 1 "$work/download.log"); $3"
  if [[ $(sha256 "$fetched.part") != "$2" ]]; then
    rm "$fetched.part"
    fail "wrong checksum: $1 is not the file of sha256 $2 in inputs.json"
  fi
  mv "$fetched.part" "$fetched"
}

# What a profile contains on this base (inputs.json, contents): full has all of small, and more.
contents() {
  jq --compact-output --arg profile "$1" '.contents | .small[], (if $profile == "full" then .full[] else empty end)' inputs.json
}
packages() {
  contents "$1" | jq --raw-output --arg base "$BASE" '(.packages, .[$base].packages)[]?'
}

# The base image, in the cache: its path in $base_image, its name in $base_name.
prepare_base() {
  if [[ $BASE == ubuntu ]]; then
    fetch "$(input ".ubuntu.$ARCH.url")" "$(input ".ubuntu.$ARCH.sha256")" "use BASE=debian for the small base built from packages"
    base_image=$fetched
    base_name=$(input .ubuntu.name)
    return
  fi
  local recipe
  recipe=$({ cat debian-base/* machine.sh files/etc/systemd/network/* files/etc/systemd/system/gha-host-keys.service files/etc/initramfs-tools/*/* files/etc/default/*/*; input .debian; packages small; echo "$ARCH"; } |
    sha256sum | cut -c 1-16)
  base_name=debian-$(input .debian.suite)-$recipe
  base_image=$CACHE_DIR/$base_name-$ARCH.qcow2
  if [[ ! -e $base_image ]]; then
    say "building the base image $base_name (log: image/$work/base.log)"
    if ! run debian-base/build.sh "$base_image" > "$work/base.log" 2>&1; then
      tail -n 20 "$work/base.log" >&2
      fail "the base image could not be built: $(grep --max-count=1 '^E: ' "$work/base.log" || echo 'see above') (whole log: image/$work/base.log)"
    fi
  fi
}

# What goes into the guest: payload/ is copied there. First the runner, which may be a download.
prepare_runner() {
  if [[ $RUNNER == github ]]; then
    fetch "$(input ".runner.$ARCH.url")" "$(input ".runner.$ARCH.sha256")" "use RUNNER=fixture to build with the stand-in for the runner"
    cp "$fetched" "$work/payload/runner.tar"
  else
    tar --create --file "$work/payload/runner.tar" --directory fixture-runner --sort name --mtime @0 --owner 0 --group 0 --numeric-owner .
  fi
}
# Tools that this base has no package of: downloads, in payload/tools/<name>/.
prepare_tools() {
  local tool url sha256
  contents "$PROFILE" | jq --raw-output --arg base "$BASE" '.[$base].tool // empty' > "$work/payload/tools.list"
  mkdir "$work/payload/tools"
  while read -r tool; do
    mkdir "$work/payload/tools/$tool"
    while read -r url sha256; do
      fetch "$url" "$sha256" "use PROFILE=small, or BASE=debian, which has every tool as a package"
      cp "$fetched" "$work/payload/tools/$tool/${url##*/}"
    done < <(jq --raw-output --arg tool "$tool" --arg arch "$ARCH" '.tools[$tool][$arch][] | "\(.url) \(.sha256)"' inputs.json)
  done < "$work/payload/tools.list"
}

prepare_payload() {
  cp -r files scripts/seal.sh "$work/payload"
  packages "$PROFILE" > "$work/payload/packages"
  contents "$PROFILE" | jq --slurp 'map({name, check})' > "$work/payload/contents.json"
  jq --arg commit "$COMMIT" --arg arch "$ARCH" --arg base "$BASE" --arg baseName "$base_name" --arg baseSha256 "$(sha256 "$base_image")" \
    --arg runner "$RUNNER" --arg runnerSha256 "$(sha256 "$work/payload/runner.tar")" \
    --arg profile "$PROFILE" \
    '{$commit, $arch, base: {kind: $base, name: $baseName, sha256: $baseSha256}, $profile,
      runner: ({kind: $runner, sha256: $runnerSha256} + (if $runner == "github" then .runner else .fixture end | {version, releasedAt}))}' \
    inputs.json > "$work/payload/facts.json"

  mkdir "$work/http"
  ssh-keygen -q -t ed25519 -N "" -C "" -f "$work/ssh-key"
  if [[ $BASE == ubuntu ]]; then
    sed "s|SSH_KEY|$(< "$work/ssh-key.pub")|" cloud-init/user-data > "$work/http/user-data"
    cp cloud-init/meta-data "$work/http"
  else
    echo -n "io.systemd.credential:ssh.authorized_keys.root=$(< "$work/ssh-key.pub")" > "$work/ssh-credential"
  fi
}

run_packer() {
  local template=. cpus=${CPUS:-$(nproc)} memory=${MEMORY_MB:-}
  # A quarter of what is free, within bounds: two architectures may be building, beside other work.
  memory=${memory:-$(awk '/^MemAvailable/ {m = int($2 / 1024 / 4); print (m < 1024 ? 1024 : (m > 4096 ? 4096 : m))}' /proc/meminfo)}
  # Without this cookie Packer runs as a process that only watches another one, which would outlive it.
  export PACKER_WRAP_COOKIE=49C22B1A-3A93-4C98-97FA-E07D18C787B5
  export CHECKPOINT_DISABLE=1 PACKER_CACHE_DIR=$work/packer-cache PACKER_PLUGIN_PATH=$CACHE_DIR/packer-plugins
  say "packer $packer_version, $accelerator, $cpus CPUs, $memory MiB (logs: image/$work/packer.log, console.log)"
  if [[ $packer_version == 1.[0-6].* ]]; then
    template=ubuntu.pkr.hcl
  else
    run packer init . > "$work/packer.log" 2>&1 || packer_failed
  fi
  run packer build -color=false -timestamp-ui -var "base=$BASE" -var "base_image=$base_image" \
    -var "runner=$RUNNER" -var "snapshot=$(input .ubuntu.snapshot)" -var "work=$work" -var "accelerator=$accelerator" \
    -var "machine=$(./machine.sh "$ARCH" "$accelerator" | jq -Rcn '[inputs] | [range(0; length; 2) as $i | .[$i:$i + 2]]')" \
    -var "cpus=$cpus" -var "memory=$memory" "$template" \
    >> "$work/packer.log" 2> "$work/packer-debug.log" || packer_failed
  # Packer sees that the machine powered off, not why.
  grep --text --quiet '^gha: sealed' "$work/console.log" ||
    fail "the image was not sealed: $(grep --text '^gha: seal' "$work/console.log" || echo "see image/$work/console.log")"
}
packer_failed() {
  tail -n 20 "$work/packer.log" >&2
  # What a script in the guest says is wrong; Packer puts its own name and the time in front.
  local reason
  reason=$(sed -n 's/.*gha: error: //p' "$work/packer.log" | head -n 1)
  fail "packer failed${reason:+: $reason} (whole log: image/$work/packer.log, console: image/$work/console.log)"
}

write_results() {
  qemu-img info --output=json "$work/output/disk.qcow2" > "$work/disk.json"
  rm -f "build/$name.build.json"
  mv "$work/output/disk.qcow2" "build/$name.qcow2"
  jq --slurpfile disk "$work/disk.json" --arg packer "$packer_version" --arg qemu "$qemu_version" --arg accelerator "$accelerator" \
    --argjson seconds "$((SECONDS - start))" \
    'del(.commit) + {builder: {$packer, $qemu, $accelerator}, virtualSize: $disk[0]["virtual-size"], $seconds}' \
    "$work/payload/facts.json" > "$work/build.json"
  mv "$work/build.json" "build/$name.build.json"
  rm -rf "$work"/{output,payload,http,packer-cache,ssh-key,ssh-key.pub,ssh-credential,disk.json}
}

# A function, so that all of this file is read before a build starts: it may be edited meanwhile.
main() {
  check_settings
  check_tools
  mkdir -p "$work" "$CACHE_DIR"
  exec 9> "build/$ARCH.lock"
  flock --nonblock 9 || fail "another build of $ARCH is running in this folder"
  rm -rf "${work:?}"/*
  choose_accelerator
  packer_version=$(packer version | sed -n '1s/^Packer v//p')
  qemu_version=$("qemu-system-$ARCH" --version | sed -n '1s/.*version \([^ ]*\).*/\1/p')
  # One download or base build at a time for all that share the cache.
  exec 8> "$CACHE_DIR/$ARCH.lock"
  flock --nonblock 8 || { say "waiting for another build that fills the cache $CACHE_DIR"; run flock 8; }
  mkdir "$work/payload"
  prepare_runner
  prepare_tools
  prepare_base
  prepare_payload
  exec 8>&-
  run_packer
  write_results
  say "done in $((SECONDS - start)) s: image/build/$name.qcow2"
}
main
exit
