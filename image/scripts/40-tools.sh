#!/bin/bash
# Installs the tools that this base has no package of, from the verified downloads in payload/tools/: AWS CLI, and Rust for gha.
set -euo pipefail

aws_cli() {
  local unpacked
  unpacked=$(mktemp -d)
  unzip -q "$1"/awscli-exe-linux-*.zip -d "$unpacked"
  "$unpacked/aws/install"
  rm -rf "$unpacked"
}

# rustup installs from a server's channel. This is a channel of the pinned toolchain alone, in a folder; a job's own
# `rustup update` asks the real server. https://rust-lang.github.io/rustup/dev-guide/ and rust-lang/rust, src/tools/build-manifest.
rust() {
  local channel version target component file sha256
  channel=$(mktemp -d)
  mkdir "$channel/dist"
  cp "$1"/*.tar.xz "$channel/dist"
  file=$(basename "$1"/rustc-*.tar.xz .tar.xz)
  version=$(cut -d - -f 2 <<< "$file")
  target=${file#"rustc-$version-"}
  {
    printf 'manifest-version = "2"\ndate = "%s"\n[profiles]\nminimal = ["rustc", "rust-std", "cargo"]\n' "$(date -u +%F)"
    printf '[pkg.rust]\nversion = "%s"\n[pkg.rust.target.%s]\navailable = true\nurl = ""\nhash = ""\n' "$version" "$target"
    for component in rustc rust-std cargo; do
      printf '[[pkg.rust.target.%s.components]]\npkg = "%s"\ntarget = "%s"\n' "$target" "$component" "$target"
    done
    for component in rustc rust-std cargo; do
      file=$channel/dist/$component-$version-$target.tar.xz
      sha256=$(sha256sum "$file" | cut -d ' ' -f 1)
      printf '[pkg.%s]\nversion = "%s"\n[pkg.%s.target.%s]\navailable = true\n' "$component" "$version" "$component" "$target"
      printf 'url = "file://%s"\nhash = "%s"\nxz_url = "file://%s"\nxz_hash = "%s"\n' "$file" "$sha256" "$file" "$sha256"
    done
  } > "$channel/dist/channel-rust-stable.toml"
  (cd "$channel/dist" && sha256sum channel-rust-stable.toml > channel-rust-stable.toml.sha256)
  chmod -R a+rX "$channel"
  setpriv --reuid gha --regid gha --init-groups --reset-env env RUSTUP_DIST_SERVER="file://$channel" PATH=/usr/bin:/bin \
    rustup toolchain install stable --profile minimal --no-self-update
  setpriv --reuid gha --regid gha --init-groups --reset-env bash -ec "rustup default stable; rustup set profile minimal"
  rm -rf "$channel"
}

while read -r tool; do
  case $tool in
    aws-cli) aws_cli "$PAYLOAD/tools/$tool" ;;
    rust) rust "$PAYLOAD/tools/$tool" ;;
    *)
      echo "gha: error: inputs.json names the tool $tool, which scripts/40-tools.sh does not know how to install"
      exit 1
      ;;
  esac
done < "$PAYLOAD/tools.list"
