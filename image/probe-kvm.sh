#!/bin/bash
# probe-kvm.sh [kvm|tcg]: succeeds if KVM runs a guest of architecture $ARCH here. A /dev/kvm may exist and not work, or emulate in the
# kernel (nested virtualisation): then a guest takes half a microsecond for each instruction, a hundred times what QEMU's emulation takes.
# So one of 2^27 instructions is run, a tenth of a second with KVM: it ends QEMU itself. With tcg it is emulated, which shows that it does.
set -euo pipefail
cd "$(dirname "$0")"
exec 2> /dev/null
accelerator=${1:-kvm}
if [[ $accelerator == kvm ]]; then
  if [[ $ARCH != "$(uname -m)" || ! -w /dev/kvm ]]; then exit 1; fi
  # Without these KVM is too slow, and the guest would need all of its 20 s to show it; kvm-ok (Ubuntu's cpu-checker) looks here first too.
  if [[ $ARCH == x86_64 ]]; then grep --quiet --word-regexp --extended-regexp 'vmx|svm' /proc/cpuinfo; fi
fi
mapfile -t machine < <(./machine.sh "$ARCH" "$accelerator")
# The file has no name from here on, so that nothing is left of it, also where this is killed.
name=$(mktemp)
exec 3<> "$name"
rm "$name"
code=/dev/fd/3
run() {
  timeout 20 ./qemu.sh "${machine[@]}" -m 128 -nodefaults -display none "$@" < /dev/null > /dev/null
}
status=0
case $ARCH in
  x86_64)
    # A boot sector: mov ecx, 2^26; dec ecx; jnz -4; mov al, 1; out 0xf4, al. The debug-exit device ends QEMU with status 2 * 1 + 1.
    {
      printf '\x66\xb9\x00\x00\x00\x04\x66\x49\x75\xfc\xb0\x01\xe6\xf4\xeb\xfe'
      head -c 494 /dev/zero
      printf '\x55\xaa'
    } >&3
    # Not read-only: QEMU has no such IDE disks, and ends.
    run -device isa-debug-exit,iobase=0xf4,iosize=1 -drive "file=$code,format=raw,if=ide" || status=$?
    [[ $status == 3 ]]
    ;;
  aarch64)
    # mov w1, 2^26; subs w1, w1, 1; b.ne -4; mov w0, SYSTEM_OFF of PSCI; hvc 0. In memory, since firmware takes no bare code as -kernel.
    printf '\x01\x80\xa0\x52\x21\x04\x00\x71\xe1\xff\xff\x54\x00\x01\x80\x52\x00\x80\xb0\x72\x02\x00\x00\xd4' >&3
    run -device "loader,file=$code,addr=0x44000000,cpu-num=0,force-raw=on"
    ;;
esac
