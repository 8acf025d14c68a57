#!/bin/bash
# Makes initrd and boot loader settings anew, from what files/ has put into /etc/initramfs-tools and /etc/default/grub.d.
set -euo pipefail

update-initramfs -u -k all
update-grub
