#!/usr/bin/env python3
"""Builds what docs/writing-syscalls.md shows: a row of the table, a handler, a guest.

They go into a copy of the sources below target/guide. The row takes the place of the one that says Missing.
"""
import pathlib
import re
import shutil
import subprocess
import sys

TOP = pathlib.Path(__file__).resolve().parent.parent
COPY = TOP / "target/guide/tree"
PAGE = TOP / "docs/writing-syscalls.md"


def shown():
    """The example of the page: row, path and text of the handler, path and text of the guest."""
    text = PAGE.read_text(encoding="utf-8")
    text = text[text.index("## One from start to end"):]
    row = re.search(r"```text\n(.*?)\n```", text, re.S)
    parts = re.findall(r"`([^`\s]+\.(?:rs|c))`[^`]*?:\n\n```(?:rust|c)\n(.*?)```", text, re.S)
    if row is None or len(parts) != 2:
        sys.exit(f"{PAGE}: no row, handler and guest are shown")
    return row.group(1), parts


def copy_sources():
    shutil.rmtree(COPY, ignore_errors=True)
    names = subprocess.run(["git", "ls-files", "-z"], cwd=TOP, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (TOP / name).is_file():
            (COPY / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(TOP / name, COPY / name)


def put(row, handler, guest):
    name = row.split()[1]
    table = COPY / "litebox_common_linux/src/table.rs"
    lines, changed = [], 0
    for line in table.read_text(encoding="utf-8").split("\n"):
        if re.match(rf"\s*Missing\s+{name}\s", line):
            line, changed = "    " + row, changed + 1
        lines.append(line)
    if changed != 1:
        sys.exit(f"{table}: {name} is not missing, so the page shows nothing that could be built")
    table.write_text("\n".join(lines), encoding="utf-8")
    for path, text in (handler, guest):
        (COPY / path).write_text(text, encoding="utf-8")
    # A module is named by the file of its folder.
    path = COPY / handler[0]
    family = path.parent.with_suffix(".rs")
    text = family.read_text(encoding="utf-8")
    family.write_text(re.sub(r"^mod ", f"mod {path.stem};\nmod ", text, count=1, flags=re.M), encoding="utf-8")


def main():
    row, (handler, guest) = shown()
    copy_sources()
    put(row, handler, guest)
    include = COPY / pathlib.Path(guest[0]).parent
    subprocess.run(["gcc", "-Wall", "-Werror", "-D_GNU_SOURCE", "-fsyntax-only", "-I", include, COPY / guest[0]], check=True)
    command = ["cargo", "check", "-p", "litebox_shim_linux", "--target-dir", TOP / "target/guide/target"]
    subprocess.run(command, cwd=COPY, check=True)


if __name__ == "__main__":
    main()
