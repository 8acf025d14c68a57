#!/usr/bin/env bash
# Lets this job's user map accounts of its own, as the Debian base's build does (mmdebstrap, unshare): Ubuntu's AppArmor has forbidden that
# to unprivileged programs since 23.10. This machine is one job's, and thrown away after it.
# https://ubuntu.com/blog/ubuntu-23-10-restricted-unprivileged-user-namespaces, https://github.com/actions/runner-images/issues/10443
set -euo pipefail
setting=kernel.apparmor_restrict_unprivileged_userns
if [[ -e /proc/sys/${setting//.//} ]]; then sudo sysctl --quiet "$setting=0"; fi
