/*
 * What may be setuid, setgid or world-writable in an image, and why: whatever is not listed here is a finding. It covers Debian 12 and 13,
 * Ubuntu 24.04, and what image/ installs on them. A path may be a glob (https://github.com/micromatch/picomatch).
 */

/** A permission that lets one user act as another, or change what belongs to another. */
export type Permission = "setuid" | "setgid" | "world-writable";

export interface Allowed {
  permission: Permission;
  paths: string[];
  because: string;
}

export const allowedFiles: Allowed[] = [
  {
    permission: "setuid",
    paths: ["/usr/bin/su", "/usr/bin/sudo"],
    because: "become another user, by sudoers: jobs may sudo",
  },
  {
    permission: "setuid",
    paths: ["/usr/bin/{chfn,chsh,gpasswd,newgrp,passwd}"],
    because: "package passwd: users change their own entry in files of root",
  },
  {
    permission: "setuid",
    paths: ["/usr/bin/{mount,umount}", "/usr/sbin/mount.nfs"],
    because: "users mount what fstab lets them",
  },
  {
    permission: "setuid",
    paths: ["/usr/bin/{fusermount,fusermount3,ntfs-3g}"],
    because: "users mount file systems of their own in user space (FUSE)",
  },
  {
    permission: "setuid",
    paths: ["/usr/bin/{newuidmap,newgidmap}"],
    because: "package uidmap: user namespaces of rootless containers, by subuid and subgid",
  },
  {
    permission: "setuid",
    paths: ["/usr/lib/dbus-1.0/dbus-daemon-launch-helper"],
    because: "the system bus starts services as their own users; only the bus may run it",
  },
  {
    permission: "setuid",
    paths: ["/usr/lib/openssh/ssh-keysign"],
    because: "host-based authentication reads the host key; switched off unless ssh_config enables it",
  },
  {
    permission: "setuid",
    paths: ["/usr/bin/pkexec", "/usr/{lib,libexec}/{,polkit-1/}polkit-agent-helper-1"],
    because: "polkit asks for the password of an account; none has one",
  },
  {
    permission: "setuid",
    paths: ["/usr/lib/snapd/snap-confine"],
    because: "Ubuntu: sets up the sandbox of a snap, then drops root",
  },
  {
    permission: "setgid",
    paths: ["/usr/bin/{chage,expiry}", "/usr/sbin/{unix_chkpwd,pam_extrausers_chk}"],
    because: "read a user's own entry in /etc/shadow, as group shadow",
  },
  {
    permission: "setgid",
    paths: ["/usr/bin/ssh-agent"],
    because: "a group of its own, so that no other process of the user can read its memory",
  },
  {
    permission: "setgid",
    paths: ["/usr/bin/{crontab,at}"],
    because: "users edit their own table in the spool of cron and at",
  },
  {
    permission: "setgid",
    paths: ["/usr/bin/{wall,write,write.ul,bsd-write}"],
    because: "write to terminals of group tty",
  },
  {
    permission: "setgid",
    paths: ["/usr/lib/*/utempter/utempter"],
    because: "terminal multiplexers record sessions in utmp, as group utmp",
  },
  {
    permission: "setgid",
    paths: ["/usr/bin/{dotlockfile,plocate,locate,mlocate}"],
    because: "lock mailboxes and search the index of names, each as a group of its own",
  },
  {
    permission: "world-writable",
    paths: ["/tmp", "/var/tmp", "/tmp/.{X11,ICE,XIM,font}-unix", "/run/lock", "/var/crash"],
    because: "shared folders for everybody, sticky: nobody removes what is another's",
  },
  {
    permission: "world-writable",
    paths: ["/{tmp,var/tmp}/systemd-private-*/tmp"],
    because:
      "in a guest that runs: a service's own /tmp (PrivateTmp=), inside a folder that only root enters",
  },
  {
    permission: "world-writable",
    paths: ["/dev/**"],
    because: "devices of the kernel: devtmpfs covers what is on the disk",
  },
  {
    permission: "world-writable",
    paths: ["/var/lib/php/sessions"],
    because: "package php-common: each user's sessions, sticky and unreadable (1733)",
  },
];

/** What is not scanned for secrets although no package owns it, and why. */
export const unscanned: Omit<Allowed, "permission">[] = [
  {
    paths: ["/var/lib/dpkg/info/**"],
    because: "dpkg's own record of what the packages, signed by the distribution, hold",
  },
  {
    paths: ["/**/*.pyc", "/boot/grub/*/*.mod"],
    because: "made by a package's scripts: compiled from, or a copy of, what the package owns",
  },
  {
    paths: ["/gha/{bin,externals}/**"],
    because: "the runner's archive, unpacked as it is, verified by the sha256 in image/inputs.json",
  },
  {
    paths: ["/gha/.rustup/toolchains/*/**", "/usr/local/aws-cli/**"],
    because: "vendors' archives, verified before they were unpacked; their documentation has keys for show",
  },
];
