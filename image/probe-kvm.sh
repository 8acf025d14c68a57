#!/bin/bash
# Succeeds if KVM runs a guest of architecture $ARCH here. A /dev/kvm may exist and not work (nested virtualisation), so a
# guest of a few instructions is run: it ends QEMU itself.
set -euo pipefail
cd "$(dirname "$0")"
exec 2> /dev/null
if [[ $ARCH != "$(uname -m)" || ! -w /dev/kvm ]]; then exit 1; fi
mapfile -t machine < <(./machine.sh "$ARCH" kvm)
code=$(mktemp)
trap 'rm -f "$code"' EXIT
run() {
  timeout 20 ./qemu.sh "${machine[@]}" -m 128 -nodefaults -display none "$@" < /dev/null > /dev/null
}
status=0
case $ARCH in
  x86_64)
    # A boot sector: mov al, 1; out 0xf4, al. The debug-exit device ends QEMU with status 2 * 1 + 1.
    { printf '\xb0\x01\xe6\xf4\xeb\xfe'; head -c 504 /dev/zero; printf '\x55\xaa'; } > "$code"
    run -device isa-debug-exit,iobase=0xf4,iosize=1 -drive "file=$code,format=raw,if=ide,readonly=on" || status=$?
    [[ $status == 3 ]]
    ;;
  aarch64)
    # ldr w0, =SYSTEM_OFF of PSCI; hvc #0.
    printf '\x00\x01\x80\x52\x00\x80\xb0\x72\x02\x00\x00\xd4' > "$code"
    run -kernel "$code"
    ;;
esac
