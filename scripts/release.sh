#!/usr/bin/env bash
# Builds a release archive: the stripped executable, its manual page and completions, licences, README, and a checksum.
#   scripts/release.sh [DIRECTORY]      default: target/release-archive
set -euo pipefail
cd "$(dirname "$0")/.."

out=${1:-target/release-archive}
target=x86_64-unknown-linux-gnu
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
name=litebox-$version-$target

cargo build --release --locked -p litebox_runner_linux_userland
rm -rf "${out:?}/$name"
mkdir -p "$out/$name/completions"
strip -o "$out/$name/litebox" "target/$target/release/litebox"
"$out/$name/litebox" man > "$out/$name/litebox.1"
for shell in bash zsh fish; do
    "$out/$name/litebox" completions "$shell" > "$out/$name/completions/litebox.$shell"
done
cp README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE "$out/$name/"

# The same input gives the same archive: names sorted, no times, no owners.
stamp=$(git log -1 --format=%ct)
tar --sort=name --mtime="@$stamp" --owner=0 --group=0 --numeric-owner -C "$out" -cf - "$name" | gzip -n -9 > "$out/$name.tar.gz"
(cd "$out" && sha256sum "$name.tar.gz" > "$name.tar.gz.sha256")
ls -l "$out/$name.tar.gz"
