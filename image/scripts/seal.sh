#!/bin/bash
# Removes the build's access and everything that must differ between VMs, then powers off. Runs as root, as Packer's shutdown
# command: once that is gone, nobody can log in. The last line on the console proves that all of it was done.
set -euo pipefail
exec < /dev/null > /dev/console 2>&1
# Behind the login prompt, which has no line of its own.
echo
trap 'echo "gha: seal failed at line $LINENO: $BASH_COMMAND"; systemctl --no-block poweroff' ERR

if [[ -e /etc/cloud ]]; then
  rm -f /etc/sudoers.d/90-cloud-init-users
  # --force: its SSH session is still open.
  userdel --force --remove build
  # The VM needs no datasource. What cloud-init configured for the build's own network card goes too.
  cloud-init clean --logs
  touch /etc/cloud/cloud-init.disabled
  rm -f /etc/netplan/50-cloud-init.yaml
fi
rm -f /var/lib/systemd/network/*
# The files as they were before the last change.
rm -f /etc/{passwd,shadow,group,gshadow,subuid,subgid}-

echo runner > /etc/hostname
printf '127.0.0.1 localhost\n127.0.1.1 runner\n::1 localhost ip6-localhost ip6-loopback\n' > /etc/hosts
rm -f /etc/ssh/ssh_host_*
: > /etc/machine-id
# Stopped first: it would write a new seed at power-off.
systemctl stop systemd-random-seed.service
rm -f /var/lib/systemd/random-seed

journalctl --relinquish-var
# Ubuntu's second log, which would record the power-off.
if systemctl --quiet is-active rsyslog.service; then systemctl stop syslog.socket rsyslog.service; fi
rm -rf /var/log/journal/* /tmp/* /var/tmp/* /root/.cache /root/.ssh
find /var/log -type f -exec truncate --size 0 {} +
# The power-off would be recorded in it, if it were there; a boot makes it again.
rm -f /var/log/wtmp
fstrim /

echo "gha: sealed"
systemctl --no-block poweroff
