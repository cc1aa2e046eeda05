#!/usr/bin/env bash
# Brings Debian's i386 programs, which tests run, below target/i386-programs. Nothing is installed, and the machine's
# package lists and architectures stay as they are. One line on stderr, and 1, when they are not to be had.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/private-apt.sh

root=$PWD/target/i386-programs
packages=(
    bash coreutils busybox-static perl-base python3.11-minimal libpython3.11-minimal libpython3.11-stdlib sqlite3 git
    xz-utils gzip tar luajit libluajit-5.1-2 libtinfo6 libselinux1 libacl1 libattr1 libgmp10 libpcre2-8-0 libcrypt1
    libssl3 zlib1g libbz2-1.0 liblzma5 libreadline8 libffi8 libexpat1 libncursesw6 libuuid1 libsqlite3-0 libgcc-s1
    redis-server redis-tools lua-cjson lua-bitop libhiredis0.14 libjemalloc2 liblzf1 liblua5.1-0 libsystemd0 libatomic1
    libstdc++6 liblz4-1 libzstd1 libcap2 libgcrypt20 libgpg-error0 musl musl-dev
)

give_up() {
    rm -rf "$root" "$root.new"
    echo "no i386 programs: $1" >&2
    exit 1
}

# What was brought by an older version of this script is brought anew.
list=$root/packages.txt
[ "$(cat "$list" 2>/dev/null)" != "${packages[*]}" ] || exit 0
command -v apt-get >/dev/null && command -v dpkg >/dev/null || give_up "they come from Debian's packages"
# Their interpreter and C library are those that gcc -m32 has.
[ -e /lib/ld-linux.so.2 ] || give_up "gcc-multilib is not installed"
new=$root.new
rm -rf "$new"
mkdir -p "$new/debs"
private_apt "$new/apt"
(cd "$new/debs" && timeout 120 apt-get -qq download "${packages[@]/%/:i386}" libluajit-5.1-common 2>/dev/null) ||
    give_up "the packages cannot be downloaded"
for deb in "$new"/debs/*.deb; do
    dpkg -x "$deb" "$new"
done
rm -rf "$new/apt" "$new/debs" "$new/usr/share/doc" "$new/usr/share/locale"
"$new/bin/busybox" true || give_up "this machine runs none"
echo "${packages[*]}" >"$new/packages.txt"
rm -rf "$root"
mv "$new" "$root"
