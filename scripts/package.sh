#!/usr/bin/env bash
# Packages an executable: an archive, a Debian package, a wheel for PyPI, and a file of their checksums.
#   scripts/package.sh EXECUTABLE DIRECTORY
set -euo pipefail
[ $# -eq 2 ] || { sed -n '2,3p' "$0" >&2; exit 2; }
executable=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
cd "$(dirname "$0")/.."

target=x86_64-unknown-linux-gnu
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
name=litebox-$version-$target
# The same input gives the same packages: names sorted, no owners, one time.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

tree=$work/$name
mkdir -p "$tree/completions"
strip -o "$tree/litebox" "$executable"
"$tree/litebox" man >"$tree/litebox.1"
for shell in bash zsh fish; do
    "$tree/litebox" completions "$shell" >"$tree/completions/litebox.$shell"
done
cp README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE "$tree/"

archive() {
    tar --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -C "$work" -cf - "$name" |
        gzip -n -9 >"$out/$name.tar.gz"
}

debian_package() {
    local root=$work/deb
    local doc=$root/usr/share/doc/litebox
    mkdir -p "$doc" "$root"/usr/{bin,share/man/man1,share/bash-completion/completions} "$root/DEBIAN"
    mkdir -p "$root"/usr/share/{zsh/vendor-completions,fish/vendor_completions.d}
    install -m 755 "$tree/litebox" "$root/usr/bin/litebox"
    ln -s litebox "$root/usr/bin/litebox-oci"
    gzip -n -9 <"$tree/litebox.1" >"$root/usr/share/man/man1/litebox.1.gz"
    install -m 644 "$tree/completions/litebox.bash" "$root/usr/share/bash-completion/completions/litebox"
    install -m 644 "$tree/completions/litebox.zsh" "$root/usr/share/zsh/vendor-completions/_litebox"
    install -m 644 "$tree/completions/litebox.fish" "$root/usr/share/fish/vendor_completions.d/litebox.fish"
    install -m 644 README.md LICENSE-MIT LICENSE-APACHE "$doc/"
    gzip -n -9 <CHANGELOG.md >"$doc/changelog.gz"
    cat >"$root/DEBIAN/control" <<CONTROL
Package: litebox
Version: $version
Architecture: amd64
Maintainer: The LiteBox developers <litebox@localhost>
Installed-Size: $(du -k -s "$root/usr" | cut -f1)
Section: utils
Priority: optional
Description: Runs Linux programs in a sandbox
 Every system call of the program is served by a kernel in the program's own
 process. It needs no root, no KVM and no user namespaces.
CONTROL
    find "$root" -exec touch -h -d "@$SOURCE_DATE_EPOCH" {} +
    dpkg-deb --root-owner-group --build "$root" "$out/litebox_${version}_amd64.deb" >/dev/null
}

archive
scripts/wheel.py "$tree/litebox" "$version" "$out"
made=("$name.tar.gz" "litebox-$version-py3-none-manylinux_2_17_x86_64.whl")
if command -v dpkg-deb >/dev/null; then
    debian_package
    made+=("litebox_${version}_amd64.deb")
else
    echo "$0: no dpkg-deb: no Debian package" >&2
fi
(cd "$out" && sha256sum "${made[@]}" >SHA256SUMS && ls -l "${made[@]}")
