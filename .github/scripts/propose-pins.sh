#!/usr/bin/env bash
# Opens the pull request with renewed pins, or renews it where it is open.
#   propose-pins.sh <patch> <table>
# It runs beside a token that can write, in a checkout of main, and needs nothing but git and gh. The patch was made by a job that runs
# others' code: it may change pins and nothing else, and is applied to git's index only, so that no file of it is ever here to be run.
set -euo pipefail

patch=$1 table=$2
branch=upkeep/pins

fail() {
  echo "error: $1" >&2
  exit 1
}
suspicious() {
  fail "the patch $1: look at the job that made it"
}

git apply --cached "$patch" || fail "the patch does not fit main: it has moved, and the next run proposes again"
mapfile -d '' -t files < <(git diff --cached --no-renames --name-only -z)
((${#files[@]} > 0)) || fail "the patch changes nothing"
for file in "${files[@]}"; do
  case $file in
    image/inputs.json | image/plugins.pkr.hcl | pins/runner-releases.json) ;;
    *) suspicious "changes $file, which holds no pin" ;;
  esac
done
# Made, deleted, executable, a link: none of it is how a pin is renewed.
[[ -z $(git diff --cached --no-renames --summary) ]] || suspicious "does not only change what is in files"

git -c user.name="$APP" -c user.email="$APP@users.noreply.github.com" commit --quiet --message "Renew the pins"
git config --local credential.helper '!gh auth git-credential'
# Anybody's fork may have a branch of that name.
number=$(gh pr list --head "$branch" --state open --json number,isCrossRepository --jq '.[] | select(.isCrossRepository | not) | .number')
if [[ $number ]]; then
  # A push that renews no pin would only dismiss reviews, and run the checks once more.
  git fetch --quiet --depth=1 origin "$branch"
  if git diff --quiet FETCH_HEAD HEAD -- "${files[@]}"; then
    echo "#$number proposes this already"
    exit
  fi
fi
git push --quiet --force origin "HEAD:refs/heads/$branch"

body=$(
  cat << END
What is newer than what was pinned, verified with its publishers ([operations](../blob/main/docs/operations.md#renewing-the-pins)):

\`\`\`
$(cat "$table")
\`\`\`

It is renewed in place: what is pushed to this branch by hand is lost.
END
)
if [[ $number ]]; then
  gh pr edit "$number" --body "$body"
else
  gh pr create --head "$branch" --base main --title "Renew the pins" --body "$body"
fi
