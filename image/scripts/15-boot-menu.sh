#!/bin/bash
# Lets the boot loader start the system at once, also after a boot that was cut off.
set -euo pipefail

# The Debian base does so already.
if grep --quiet --extended-regexp 'set timeout=[1-9]' /boot/grub/grub.cfg; then
  mkdir -p /etc/default/grub.d
  printf 'GRUB_TIMEOUT=0\nGRUB_RECORDFAIL_TIMEOUT=0\n' > /etc/default/grub.d/90-runner-image.cfg
  update-grub
fi
