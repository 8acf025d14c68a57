#!/bin/bash
# Stands in for the GitHub Actions runner where that cannot be downloaded or has no GitHub to talk to: run.sh --jitconfig
# <base64 of {"fixture": {"url": "http://..."}}>. Gets one job, a shell script, from <url>/job, runs it, posts its output to
# <url>/result?exit=<status>, and exits with that status.
set -euo pipefail

if [[ ${1:-} != --jitconfig || -z ${2:-} ]]; then
  echo "usage: run.sh --jitconfig <base64 of JSON>" >&2
  exit 64
fi
url=$(base64 --decode <<< "$2" | jq --exit-status --raw-output .fixture.url)

request() {
  curl --fail --silent --show-error --max-time 60 --retry 10 --retry-delay 1 --retry-max-time 60 --retry-connrefused "$@"
}

job=$(mktemp)
output=$(mktemp)
request --output "$job" "$url/job"
status=0
bash "$job" > "$output" 2>&1 || status=$?
request --output /dev/null --data-binary "@$output" "$url/result?exit=$status"
exit "$status"
