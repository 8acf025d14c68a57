#!/bin/bash
# Makes the initrd anew, as /etc/initramfs-tools now says.
set -euo pipefail

update-initramfs -u -k all
