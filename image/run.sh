# shellcheck shell=bash
# Running long tools so that nothing stays behind (to be sourced). A tool gets SIGTERM when this script is told to end,
# which waits for its clean-up, and also when this script just dies.
child=

run() {
  local status=0
  setpriv --pdeathsig TERM "$@" &
  child=$!
  wait "$child" || status=$?
  child=
  return "$status"
}

stop() {
  trap '' TERM INT
  if [[ -n $child ]]; then
    kill -TERM "$child" 2> /dev/null || true
    wait "$child" || true
  fi
  exit 143
}
trap stop TERM INT
