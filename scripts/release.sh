#!/usr/bin/env bash
# Builds a release and packages it (scripts/package.sh).
#   scripts/release.sh [DIRECTORY]      default: target/release-archive
set -euo pipefail
cd "$(dirname "$0")/.."

cargo build --release --locked -p litebox_runner_linux_userland
scripts/package.sh target/x86_64-unknown-linux-gnu/release/litebox "${1:-target/release-archive}"
