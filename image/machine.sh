#!/bin/bash
# Prints the QEMU options, one a line, of the machine that VM hosts use: machine.sh <arch> <kvm|tcg>.
set -euo pipefail
# shellcheck disable=SC2054 # commas belong to QEMU's options
case $1-$2 in
  x86_64-tcg) options=(-machine pc,accel=tcg -cpu max) ;;
  x86_64-kvm) options=(-machine pc,accel=kvm -cpu host) ;;
  aarch64-tcg) options=(-machine virt,accel=tcg -cpu cortex-a57) ;;
  aarch64-kvm) options=(-machine virt,gic-version=host,accel=kvm -cpu host) ;;
esac
# The firmware of Debian's and Ubuntu's package qemu-efi-aarch64.
if [[ $1 == aarch64 ]]; then options+=(-bios /usr/share/qemu-efi-aarch64/QEMU_EFI.fd); fi
printf '%s\n' "${options[@]}"
