#!/bin/bash
# Makes initrd and boot loader settings anew, from what files/ has put into /etc/initramfs-tools and /etc/default/grub.d.
set -euo pipefail

# The Debian base was made with them, and a kernel that came since made its own.
if [[ $BASE == debian ]]; then exit 0; fi

update-initramfs -u -k all
update-grub
