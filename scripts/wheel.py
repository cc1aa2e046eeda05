#!/usr/bin/env python3
"""Makes a wheel that installs an executable: scripts/wheel.py EXECUTABLE VERSION DIRECTORY

The format is the Binary distribution format of the Python packaging guide. Nothing in it is Python.
"""

import base64
import hashlib
import os
import sys
import time
import zipfile

TAG = "py3-none-manylinux_2_17_x86_64"
EXECUTABLE, FILE = 0o100755, 0o100644


def digest(data):
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def metadata(version):
    with open("README.md", encoding="utf-8") as readme:
        return f"""Metadata-Version: 2.1
Name: litebox
Version: {version}
Summary: Runs Linux programs in a sandbox
License: MIT OR Apache-2.0
Description-Content-Type: text/markdown

{readme.read()}"""


def main():
    executable, version, directory = sys.argv[1:]
    info = f"litebox-{version}.dist-info"
    with open(executable, "rb") as file:
        program = file.read()
    members = [
        (f"litebox-{version}.data/scripts/litebox", EXECUTABLE, program),
        (f"{info}/METADATA", FILE, metadata(version).encode()),
        (f"{info}/WHEEL", FILE, f"Wheel-Version: 1.0\nGenerator: litebox\nRoot-Is-Purelib: false\nTag: {TAG}\n".encode()),
    ]
    for name in ("LICENSE-MIT", "LICENSE-APACHE"):
        with open(name, "rb") as file:
            members.append((f"{info}/{name}", FILE, file.read()))
    record = "".join(f"{name},{digest(data)},{len(data)}\n" for name, _, data in members)
    members.append((f"{info}/RECORD", FILE, (record + f"{info}/RECORD,,\n").encode()))
    made = time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time())))[:6]
    with zipfile.ZipFile(os.path.join(directory, f"litebox-{version}-{TAG}.whl"), "w") as wheel:
        for name, mode, data in members:
            member = zipfile.ZipInfo(name, made)
            member.external_attr = mode << 16
            wheel.writestr(member, data, zipfile.ZIP_DEFLATED, 9)


main()
