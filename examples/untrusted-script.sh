#!/bin/sh
# Runs a script that nobody has read: bounded in time and memory, with a directory of its own for what it may keep.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/out"
cat > "$work/job.py" <<'PYTHON'
import os, pathlib
pathlib.Path("/out/result.txt").write_text("42\n")
pathlib.Path("/out/../scratch.txt").write_text("gone afterwards\n")
print("home:", os.path.exists("/root/.ssh"), "files kept:", os.listdir("/out"))
PYTHON
litebox run --timeout 30s --memory 512M -v "$work/job.py:/work/job.py:ro" -v "$work/out:/out:rw" -- python3 /work/job.py
cat "$work/out/result.txt"
