#!/bin/bash
# Copies files/ into place, enables the units, and switches off everything that would run beside a job.
set -euo pipefail

cp --recursive --no-preserve=mode,ownership "$PAYLOAD/files/." /
chmod 0755 /usr/lib/runner-image/{grow-root,start-runner,end-runner,boot-report,check-contents,checks/*,hygiene} /etc/initramfs-tools/hooks/runner-image

# --root: only the links are made; nothing is started or reloaded in the build VM.
systemctl --root=/ enable gha-grow-root.service gha-host-keys.service gha-runner.service gha-contents.service gha-late-devices.service \
  systemd-networkd.service systemd-networkd-wait-online.service

# A VM lives for one job and is built anew instead of being maintained: no updates or clean-ups in the background.
rm -f /etc/systemd/system/*.wants/{*.timer,e2scrub_reap.service,cron.service}
# Nor a record of the boot, for a menu that nobody sees.
rm -f /etc/systemd/system/*.wants/grub-common.service
# What packages want in their own folder comes back with each of them: there is one at least, systemd-tmpfiles-clean.timer.
mapfile -t timers < <(find /usr/lib/systemd/system -path '*.wants/*.timer' -printf '%f\n' | sort -u)
systemctl --root=/ mask "${timers[@]}"
# Nor a login prompt that nobody has a password for.
systemctl --root=/ mask getty@.service serial-getty@.service
# SSH starts when somebody comes, as on Ubuntu.
systemctl --root=/ disable ssh.service
systemctl --root=/ enable ssh.socket
# Nor what every boot would start for nothing, all in the same seconds: settings of udev and the network from the kernel's command line
# or a credential, and control file systems whose modules are loaded, and which are mounted, by whoever uses them;
systemctl --root=/ mask systemd-udev-load-credentials.service systemd-network-generator.service modprobe@drm.service \
  sys-kernel-config.mount modprobe@configfs.service sys-fs-fuse-connections.mount modprobe@fuse.service
# nor what is kept for a next boot, which there is not: journal (it stays in memory), machine-id, random seed, leases, crash records.
systemctl --root=/ mask systemd-journal-flush.service systemd-machine-id-commit.service systemd-random-seed.service \
  systemd-networkd-persistent-storage.service systemd-pstore.service modprobe@efi_pstore.service
# Nor what looks at every start for disks, settings and terminals that a VM of this image does not have, to make units of them.
mkdir -p /etc/systemd/system-generators
for generator in bless-boot cryptsetup getty gpt-auto hibernate-resume integritysetup rc-local ssh system-update tpm2 veritysetup; do
  ln -s /dev/null /etc/systemd/system-generators/systemd-$generator-generator
done
