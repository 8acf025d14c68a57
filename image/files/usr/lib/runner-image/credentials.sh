# shellcheck shell=bash
# Reading the credentials of gha-runner.service (to be sourced, by root). Bash alone does it: on an emulated host each process more takes a
# tenth of a second, and the runner waits for them.
LC_ALL=C # Bytes, and no characters.

# The strings of the SMBIOS tables of type 11. A table is a header of five bytes and then strings that end in NUL.
smbios_strings=()
read_smbios() {
  [[ -d /sys/firmware/dmi/entries ]] || modprobe --quiet dmi-sysfs || true
  local table strings
  for table in /sys/firmware/dmi/entries/11-*/raw; do
    if [[ -r $table ]]; then
      mapfile -d '' strings < "$table"
      smbios_strings+=("${strings[@]}")
    fi
  done
}
read_smbios

# Whether a table has this credential; sets REPLY to its value, of the longest if there are several.
smbios_credential() {
  local mark=io.systemd.credential:$1= string before is_there=1
  REPLY=
  for string in "${smbios_strings[@]}"; do
    before=${string%%"$mark"*}
    # What the header has after its last NUL stands before the first string.
    if [[ $string != *"$mark"* || ${#before} -gt 5 ]]; then continue; fi
    string=${string#"$before$mark"}
    if ((${#string} >= ${#REPLY})); then REPLY=$string; fi
    is_there=0
  done
  return $is_there
}

# credential <name>: sets REPLY to its value, or to nothing. systemd 252 reads the first 4,096 bytes of the SMBIOS tables and silently drops
# the rest, so the tables are read as well, and the longer value is the whole one.
credential() {
  local file=${CREDENTIALS_DIRECTORY:-/nonexistent}/$1 value=''
  if [[ -e $file ]]; then IFS= read -r -d '' value < "$file" || true; fi
  smbios_credential "$1" || true
  if ((${#value} >= ${#REPLY})); then REPLY=$value; fi
}

# Present, if only with an empty value.
has_credential() {
  [[ -e ${CREDENTIALS_DIRECTORY:-/nonexistent}/$1 ]] || smbios_credential "$1"
}

# What a text begins with that is a URL, or base64: sets REPLY. With path= and QEMU before 10, bytes that are no part of a credential may
# follow it.
url_part() {
  local url="^[]A-Za-z0-9._~:/?#@!\$&'()*+,;=%[-]*"
  [[ $1 =~ $url ]]
  REPLY=${BASH_REMATCH[0]}
}
base64_part() {
  [[ $1 =~ ^[A-Za-z0-9+/_=-]* ]]
  REPLY=${BASH_REMATCH[0]}
}

# credential_url <name>: sets REPLY to the URL that it is, or to nothing.
credential_url() {
  credential "$1"
  url_part "$REPLY"
}
