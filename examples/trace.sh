#!/bin/sh
# Shows which system calls a program makes. The trace goes to a file, the program's output stays clean.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
litebox run --strace-output "$work/trace" -- cat /etc/hostname > "$work/output"
grep -c '^' "$work/output"
grep -o 'openat([^)]*hostname[^)]*)' "$work/trace" | grep -c hostname
