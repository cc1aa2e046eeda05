#!/usr/bin/env bash
# Finds the oldest compiler that the workspace promises to build with (`rust-version`), with the standard libraries for
# x86-64 and i686; brings it by rustup or, where that has none, from Debian's packages, below target/.
#   RUSTC=$(scripts/oldest-rust.sh) cargo build ...      one line on stderr, and 1, when there is none to be had
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/private-apt.sh

version=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
root=$PWD/target/oldest-rust

by_rustup() {
    command -v rustup >/dev/null || return 1
    local toolchain=$version.0 rustc
    # Prints the place of a toolchain that is there, whatever it lacks.
    complete() {
        rustc=$(rustup which --toolchain "$toolchain" rustc 2>/dev/null) &&
            [ -d "$("$rustc" --print sysroot)/lib/rustlib/i686-unknown-linux-gnu/lib" ]
    }
    complete || timeout 300 rustup toolchain install "$toolchain" --profile minimal --no-self-update \
        --target i686-unknown-linux-gnu >/dev/null 2>&1 || return 1
    complete && echo "$rustc"
}

# Into a root of their own: nothing is installed, and the machine's package lists stay as they are.
by_debian() {
    command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
    if [ ! -x "$root/rustc" ]; then
        rm -rf "$root"
        mkdir -p "$root/debs"
        private_apt "$root/apt"
        local name found llvm packages=()
        for name in rust rust-web; do
            found=$(apt-cache madison "rustc${name#rust}" | awk -v v="$version." 'index($3, v) == 1 { print $3; exit }')
            [ -z "$found" ] || break
        done
        [ -n "$found" ] || return 1
        llvm=$(apt-cache show "libstd-$name-$version=$found" | sed -n 's/^Depends:.*\(libllvm[0-9]*\).*/\1/p' | head -1)
        packages=("rustc${name#rust}:amd64=$found" "$llvm:amd64" libz3-4:amd64)
        for arch in amd64 i386; do
            packages+=("libstd-$name-dev:$arch=$found" "libstd-$name-$version:$arch=$found")
        done
        (cd "$root/debs" && apt-get -qq download "${packages[@]}" 2>/dev/null) || return 1
        for found in "$root"/debs/*.deb; do
            dpkg -x "$found" "$root/root"
        done
        rm -rf "$root/debs" "$root/apt"
        printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s --sysroot %s "$@"\n' \
            "$root/root/usr/lib/x86_64-linux-gnu" "$root/root/usr/bin/rustc" "$root/root/usr" > "$root/rustc"
        chmod +x "$root/rustc"
    fi
    "$root/rustc" --version >/dev/null 2>&1 && echo "$root/rustc"
}

by_rustup || by_debian || {
    echo "no Rust $version with the standard library for i686: neither rustup nor Debian's packages have it here" >&2
    exit 1
}
