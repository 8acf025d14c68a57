#!/bin/sh
# Makes a tiny, real qcow2 that is different every time, with a line of JSON for fake-qemu after its end.
set -eu
cd "$(dirname "$0")"
arch=$1 accelerator=$2 base=$3 profile=$4 runner=$5 commit=$6
disk=build/ubuntu-$arch.qcow2
facts=build/ubuntu-$arch.build.json

if [ -e fail-build ]; then
	echo "the file fail-build says so" >&2
	exit 1
fi
if [ -e slow-build ]; then
	# Ends with make, as the real build does.
	exec setpriv --pdeathsig TERM sleep 600
fi
mkdir -p build
contents=
if [ -d contents ]; then contents=contents; fi
./make-disk "$disk.part" "$commit" "$arch" "$runner" "$(cat random-bytes 2>/dev/null || echo 65536)" "$contents"
printf '\n{"behaviour": "%s", "commit": "%s", "arch": "%s"}\n' \
	"$(cat behaviour 2>/dev/null || echo ok)" "$commit" "$arch" >>"$disk.part"
mv "$disk.part" "$disk"

zeros=$(printf '%064d' 0)
cat >"$facts.part" <<END
{
  "arch": "$arch",
  "base": { "kind": "$base", "name": "fake", "sha256": "$zeros" },
  "profile": "$profile",
  "runner": {
    "kind": "$runner", "version": "0.0.0", "sha256": "$zeros",
    "releasedAt": "$(date -u +%F)"
  },
  "builder": { "packer": "fake", "qemu": "fake", "accelerator": "$accelerator" },
  "virtualSize": 67108864,
  "seconds": 0
}
END
mv "$facts.part" "$facts"
echo "done: $disk"
