#!/bin/bash
# Builds the small Debian base image of architecture $ARCH from packages: debian-base/build.sh <result.qcow2>.
# BOOT_SETTINGS=distribution leaves out the image's own initrd and boot loader settings: what bench/boot.ts compares with.
# Needs no loop device and no root: the file system is written by mkfs.ext4 -d, and GRUB is installed by the system
# itself, booted once with -kernel.
set -euo pipefail
cd "$(dirname "$0")/.."
source ./run.sh
result=$1
# One fixed place, emptied first: what a killed build left there goes, and never what somebody has mounted below it.
work=$(dirname "$result")/debian-base-$ARCH.work
rm -rf --one-file-system "$work"
mkdir "$work"
trap 'rm -rf --one-file-system "$work"' EXIT

suite=$(jq -r .debian.suite inputs.json)
case $ARCH in
  x86_64) dpkg_arch=amd64 console=ttyS0 boot_packages=(linux-image-cloud-amd64 grub-pc) ;;
  aarch64) dpkg_arch=arm64 console=ttyAMA0 boot_packages=(linux-image-cloud-arm64 grub-efi-arm64) ;;
esac
# Programs of another architecture are run by qemu-user, once the kernel knows it; installing the package need not tell it.
if [[ $ARCH != "$(uname -m)" && ! -e /proc/sys/fs/binfmt_misc/qemu-$ARCH ]]; then
  if [[ $EUID != 0 ]]; then
    echo "error: this machine cannot run programs of $ARCH; make it so: systemctl restart systemd-binfmt.service" >&2
    exit 1
  fi
  [[ -e /proc/sys/fs/binfmt_misc/register ]] || mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
  cat "/usr/lib/binfmt.d/qemu-$ARCH.conf" > /proc/sys/fs/binfmt_misc/register
fi

mapfile -t packages < <(cat debian-base/packages; jq -r '.contents.small[] | (.packages, .debian.packages)[]?' inputs.json)

# The host's own mirror of Debian where it has one (there is no snapshot to pin), whatever release the host is of; else
# mmdebstrap's default.
# shellcheck disable=SC2016 # apt expands them
mapfile -t sources < <(apt-get indextargets --format '$(ORIGIN) $(REPO_URI) $(CODENAME)' 'Created-By: Packages' |
  awk -v suite="$suite" '$1 == "Debian" && $3 ~ /^[a-z]+(-updates|-security)?$/ {sub(/^[a-z]+/, suite, $3); print "deb", $2, $3, "main"}' |
  sort -u)
# A mirror of an older day is past its Valid-Until: the host's apt may be set to accept that.
mapfile -t apt_options < <(for name in Check-Valid-Until Check-Date; do
  apt-config dump --no-empty --format='--aptopt=%F "%v"%n' "Acquire::$name"
done)

# The settings of the image that would have its initrd made anew are in place before it is made the first time: natively, where the
# build VM would take minutes of emulation. scripts/25-kernel.sh counts on it.
settings=()
# shellcheck disable=SC2016 # mmdebstrap's shell expands it
if [[ ${BOOT_SETTINGS:-image} == image ]]; then settings=(--essential-hook='debian-base/boot-settings "$1"'); fi

export CONSOLE=$console
ROOT_UUID=$(cat /proc/sys/kernel/random/uuid)
export ROOT_UUID
# As root also its temporary files; otherwise it needs a folder which its subordinate users can reach. What root mounts there ends with
# the process, however that ends: for others mmdebstrap sees to it itself.
private=()
if [[ $EUID == 0 ]]; then
  export TMPDIR=$work
  private=(unshare --mount)
fi
run "${private[@]}" mmdebstrap --variant=minbase --architectures="$dpkg_arch" --format=tar --skip=output/dev \
  --include="$(IFS=,; echo "${packages[*]} ${boot_packages[*]}" | tr ' ' ,)" \
  --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' "${apt_options[@]}" \
  --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  "${settings[@]}" --customize-hook="debian-base/customize \"\$1\"" \
  "$suite" "$work/root.tar" "${sources[@]}"

# GPT: a small first partition for the boot loader (BIOS boot or EFI system), the root last, so that it can grow.
disk=$work/disk.raw
truncate -s 2G "$disk"
case $ARCH in
  x86_64) boot='size=1MiB, type=21686148-6449-6E6F-744E-656564454649' root_offset=2 ;;
  aarch64) boot='size=64MiB, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B' root_offset=65 ;;
esac
sfdisk --quiet "$disk" <<PARTITIONS
label: gpt
start=1MiB, $boot
start=${root_offset}MiB, type=linux
PARTITIONS
if [[ $ARCH == aarch64 ]]; then
  # One sector a cluster: made otherwise at an offset, the firmware does not recognise it.
  mkfs.vfat -n ESP -s 1 --offset 2048 "$disk" $((64 * 1024)) > /dev/null
fi
as_root=()
if [[ $EUID != 0 ]]; then as_root=(unshare --map-root-user --map-auto); fi
# shellcheck disable=SC2016 # the inner shell expands them
run "${as_root[@]}" bash -euo pipefail -c '
  mkdir -p "$1/root/dev" && tar -C "$1/root" --xattrs --numeric-owner -xf "$1/root.tar"
  cp "$1"/root/boot/vmlinuz-* "$1/vmlinuz" && cp "$1"/root/boot/initrd.img-* "$1/initrd.img"
  mkfs.ext4 -q -U "$ROOT_UUID" -L root -d "$1/root" -E "offset=$(($2 << 20))" "$1/disk.raw" "$((2048 - $2 - 1))M"
  rm -rf "$1/root"' -- "$work" "$root_offset"

mapfile -t machine < <(./machine.sh "$ARCH" tcg)
# One CPU: with two, emulated, a kernel that patches itself may find the other one in what it patches, and panics.
run timeout 600 ./qemu.sh "${machine[@]}" -smp 1 -m 1024 -display none -nodefaults -no-reboot \
  -drive "file=$disk,format=raw,if=virtio,cache=unsafe" -serial "file:$work/console.log" \
  -kernel "$work/vmlinuz" -initrd "$work/initrd.img" \
  -append "root=UUID=$ROOT_UUID rw console=$console no_timer_check panic=-1 init=/sbin/install-boot-loader"
grep -q 'gha: base image: boot loader installed' "$work/console.log" ||
  { tail -n 20 "$work/console.log" >&2; echo "error: the Debian base's first boot failed (console above)" >&2; exit 1; }

qemu-img convert -O qcow2 "$disk" "$work/base.qcow2"
mv "$work/base.qcow2" "$result"
