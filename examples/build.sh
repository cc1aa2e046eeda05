#!/bin/sh
# Builds a project in a copy-on-write view of its directory and keeps the program alone: the tree stays as it was.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/src" "$work/out"
cat > "$work/src/hello.c" <<'C'
#include <stdio.h>
int main(void) { puts("built inside"); return 0; }
C
cd "$work/src"
litebox run -v "$work/src:/src:cow" -v "$work/out:/out:rw" -w /src -- sh -c 'gcc -o hello hello.c && cp hello /out/'
ls "$work/src"
litebox run -v "$work/out:/out:ro" -- /out/hello
