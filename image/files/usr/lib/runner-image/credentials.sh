# shellcheck shell=bash
# Reading the credentials of gha-runner.service (to be sourced, by root).

# The strings of the SMBIOS tables of type 11, one a line. A table is a header, whose length is its second byte, and then
# strings that end in NUL.
smbios_strings() {
  [[ -d /sys/firmware/dmi/entries ]] || modprobe --quiet dmi-sysfs || true
  local table
  for table in /sys/firmware/dmi/entries/11-*/raw; do
    if [[ -r $table ]]; then
      tail -c "+$(($(od -An -tu1 -j1 -N1 "$table") + 1))" "$table" | tr '\0' '\n'
    fi
  done
}

# credential <name>: its value, or nothing. systemd 252 reads the first 4,096 bytes of the SMBIOS tables and silently drops
# the rest, so the tables are read as well, and the longer value is the whole one.
credential() {
  local file=${CREDENTIALS_DIRECTORY:-/nonexistent}/$1 value='' string
  if [[ -e $file ]]; then value=$(tr -d '\0' < "$file"); fi
  string=$(smbios_strings | sed -n "s/^io\.systemd\.credential:$1=//p")
  if ((${#string} > ${#value})); then value=$string; fi
  printf '%s\n' "$value"
}

# Present, if only with an empty value.
has_credential() {
  [[ -e ${CREDENTIALS_DIRECTORY:-/nonexistent}/$1 || -n $(smbios_strings | sed -n "/^io\.systemd\.credential:$1=/p") ]]
}

# What of the input's first line is a URL, or base64. With path= and QEMU before 10, bytes that are no part of a credential
# may follow it.
url_part() {
  LC_ALL=C sed -n "1s|^\([]A-Za-z0-9._~:/?#@!\$&'()*+,;=%[-]*\).*|\1|p"
}
base64_part() {
  LC_ALL=C sed -n '1s|^\([A-Za-z0-9+/_=-]*\).*|\1|p'
}
