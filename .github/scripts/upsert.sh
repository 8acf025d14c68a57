#!/usr/bin/env bash
# Keeps ONE comment of ours on a pull request, or ONE open issue of ours, by editing it in place. The text comes on stdin.
#   upsert.sh comment <pull request number>
#   upsert.sh issue <title>        an empty text closes it
# It runs in jobs whose token can write, so it needs nothing but gh and jq: no package of ours is loaded beside that token.
set -euo pipefail

kind=$1
repo=repos/$GITHUB_REPOSITORY
# Others may quote the marker: only what the workflows' own account wrote, beginning with it, is ours.
marker="<!-- runner-images: $kind -->"
body=$(cat)

# ours <list>: the number or id of our comment or issue among those; nothing where there is none.
ours() {
  gh api --paginate "$1" |
    jq --slurp --raw-output --arg marker "$marker" \
      '[.[][] | select(.user.login == "github-actions[bot]" and .pull_request == null and (.body // "" | startswith($marker)))
        | .number // .id] | first // empty'
}
# send <method> <resource> <jq's filter: the marked text -> the request>
send() {
  printf '%s\n\n%s\n' "$marker" "$body" | jq --raw-input --slurp "$3" | gh api --method "$1" "$2" --input - > /dev/null
}

case $kind in
  comment)
    pull=$2
    id=$(ours "$repo/issues/$pull/comments?per_page=100")
    if [[ $id ]]; then
      send PATCH "$repo/issues/comments/$id" '{body: .}'
    else
      send POST "$repo/issues/$pull/comments" '{body: .}'
    fi
    ;;
  issue)
    export TITLE=$2
    number=$(ours "$repo/issues?state=open&per_page=100")
    if [[ $body && $number ]]; then
      send PATCH "$repo/issues/$number" '{title: env.TITLE, body: .}'
    elif [[ $body ]]; then
      send POST "$repo/issues" '{title: env.TITLE, body: .}'
    elif [[ $number ]]; then
      body="All is well again." send PATCH "$repo/issues/$number" '{body: ., state: "closed", state_reason: "completed"}'
    fi
    ;;
  *)
    echo "error: upsert.sh keeps a comment or an issue, not a '$kind'" >&2
    exit 2
    ;;
esac
