#!/usr/bin/env python3
"""Runs entries of an installed Linux Test Project in the sandbox, on the bare host, or on both, and prints the counts.

    ltp.py --ltp /opt/ltp --litebox target/release/litebox syscalls-ipc pty sched
    ltp.py --compare --out result.txt 'futex_.*' 'kill.*'
    ltp.py --open-posix ltp/testcases/open_posix_testsuite --compare mq_open '(timer|clock)_.*'

A name is a file of LTP's runtest directory or a regular expression for the tags in them. With --compare what does not pass in the
sandbox is run on the bare host too, and what passes there is listed. Tests that change the machine never run on the bare host.
With --open-posix the names are those of that suite's interfaces, "all", or regular expressions for tests such as "mq_open_8-1".
See docs/ltp.md.
"""

import argparse
import collections
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import tempfile

FILES = ["syscalls", "syscalls-ipc", "pty", "sched", "nptl", "mm", "math", "fs", "io", "dio"]
# They set clocks, names or mounts, load modules, or stop or flood the machine.
CHANGES_THE_MACHINE = re.compile(
    r"clock_settime|clock_adjtime|settimeofday|adjtimex|stime|leapsec|reboot|swap|sethostname|setdomainname|mount|delete_module"
    r"|init_module|finit_module|acct|quotactl|fork13|futex_wake04|msgstress|hackbench|oom|pivot_root|chroot|fs_bind|kexec|syslog"
)
OURS = {0: "pass", 124: "time-out", 70: "kernel", 159: "refused"}
VERDICTS = {32: "not configured", **OURS}
POSIX_VERDICTS = {2: "unresolved", 4: "unsupported", 5: "untested", **OURS}


def entries(ltp):
    """Tag and command of every entry, by file."""
    found = collections.OrderedDict()
    for name in FILES:
        path = ltp / "runtest" / name
        if not path.exists():
            continue
        for line in path.read_text().splitlines():
            parts = line.split(None, 1)
            if len(parts) == 2 and not line.startswith("#"):
                found.setdefault(name, []).append((parts[0], parts[1].strip()))
    return found


def posix_entries(suite):
    """The same of the Open POSIX Test Suite, by interface."""
    found = collections.OrderedDict(all=[])
    for path in sorted((suite / "conformance").rglob("*.run-test")):
        interface, test = path.parent.name, path.name.removesuffix(".run-test")
        # Some send signals to their process group, which must not be that of the first process.
        entry = (test, f"cd {path.parent} && setsid -w ./{path.name}")
        found["all"].append(entry)
        found.setdefault(interface, []).append(entry)
    return found


def chosen(known, names):
    """The entries that `names` mean, each once, with the file they are in."""
    seen, result = set(), []
    for name in names:
        for file, tests in known.items():
            for tag, command in tests:
                if tag not in seen and (file == name or name not in known and re.fullmatch(name, tag)):
                    seen.add(tag)
                    result.append((file, tag, command))
    return result


def sandboxed(options, command):
    variables = {"LTPROOT": options.ltp, "TMPDIR": "/tmp", "LTP_COLORIZE_OUTPUT": "0", "LTP_TIMEOUT_MUL": "0.5"}
    config = options.ltp / "config"
    if config.exists():
        variables["KCONFIG_PATH"] = config
    variables["PATH"] = f"{options.ltp}/testcases/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    tests = f"{options.open_posix}:{options.open_posix}:cow" if options.open_posix else f"{options.ltp}:{options.ltp}:ro"
    line = [options.litebox, "run", "--timeout", f"{options.timeout}s", "-v", tests, "-w", "/tmp"]
    for name, value in variables.items():
        line += ["-e", f"{name}={value}"]
    return line + ["--", "sh", "-c", command], None


def bare(options, command):
    path = f"{options.ltp}/testcases/bin:{os.environ['PATH']}"
    environment = dict(os.environ, LTPROOT=str(options.ltp), LTP_COLORIZE_OUTPUT="0", PATH=path)
    return ["timeout", str(options.timeout), "sh", "-c", command], environment


def run(options, how, command):
    """Verdict and output of one entry."""
    line, environment = how(options, command)
    with tempfile.TemporaryDirectory() as place:
        try:
            done = subprocess.run(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  timeout=options.timeout + 15, cwd=place, env=environment, check=False)
        except subprocess.TimeoutExpired as late:
            return "time-out", (late.stdout or b"").decode(errors="replace")
    verdicts = POSIX_VERDICTS if options.open_posix else VERDICTS
    return verdicts.get(done.returncode, "fail"), done.stdout.decode(errors="replace")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ltp", type=pathlib.Path, default=pathlib.Path("/opt/ltp"))
    parser.add_argument("--open-posix", type=lambda path: pathlib.Path(path).resolve(), help="a built Open POSIX Test Suite to run instead")
    parser.add_argument("--litebox", default="litebox")
    parser.add_argument("--timeout", type=int, default=30, help="seconds for one entry")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--host", action="store_true", help="on the bare host only")
    parser.add_argument("--compare", action="store_true", help="what does not pass, on the bare host too")
    parser.add_argument("--out", type=pathlib.Path, help="verdicts, and the output of what did not pass")
    parser.add_argument("names", nargs="+")
    options = parser.parse_args()
    known = posix_entries(options.open_posix) if options.open_posix else entries(options.ltp)
    tests = chosen(known, options.names)
    if not tests:
        sys.exit("no test has such a name")

    def both(test):
        _, tag, command = test
        harmless = not CHANGES_THE_MACHINE.search(tag)
        if options.host:
            return run(options, bare, command) if harmless else ("skipped", ""), None
        here = run(options, sandboxed, command)
        again = options.compare and here[0] != "pass" and harmless
        return here, run(options, bare, command)[0] if again else None

    counts, differing = collections.defaultdict(collections.Counter), []
    out = options.out.open("w") if options.out else None
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for (file, tag, _), ((verdict, output), host) in zip(tests, pool.map(both, tests)):
            counts[file][verdict] += 1
            if host == "pass":
                differing.append((tag, verdict))
            if out:
                out.write(f"=== {verdict}: {tag}" + (f" (bare host: {host})" if host else "") + "\n")
                out.write("" if verdict == "pass" else output[-3000:] + "\n")
                out.flush()
    for file, of_file in counts.items():
        print(f"{file}: " + ", ".join(f"{number} {verdict}" for verdict, number in sorted(of_file.items())))
    for tag, verdict in differing:
        print(f"passes on the bare host only: {tag} ({verdict})")


if __name__ == "__main__":
    main()
