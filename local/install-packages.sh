#!/bin/sh
# Installs the named packages with apt, as root; "optional:<name>" only where this release has it.
# None of them may start a service: Debian's nginx would serve port 80, now and at every boot.
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

policy=/usr/sbin/policy-rc.d
marker='# Written by runner-images for the time of an installation.'
had_nginx=$(command -v nginx || true)

# One left behind by a killed run is ours to remove; anyone else's stays, and already decides.
if [ -e "$policy" ] && grep -qF "$marker" "$policy"; then rm -f "$policy"; fi
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  trap 'exit 143' INT TERM HUP
  printf '#!/bin/sh\n%s\nexit 101\n' "$marker" >"$policy"
  chmod 755 "$policy"
fi

# A third-party source that cannot be reached must not stop what the others offer.
apt-get update -q || echo "apt-get update failed for some sources, going on"
for name; do
  shift
  case $name in
  optional:*)
    name=${name#optional:}
    apt-cache policy "$name" | grep -q 'Candidate: [^(]' || continue
    ;;
  esac
  set -- "$@" "$name"
done
apt-get install -y -q --no-install-recommends "$@"

if [ -z "$had_nginx" ] && command -v nginx >/dev/null && command -v systemctl >/dev/null; then
  systemctl disable nginx.service || true
fi
