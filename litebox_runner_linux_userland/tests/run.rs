//! Hello worlds of every kind of executable.

#[path = "run/tun.rs"]
mod tun;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use litebox_test_support::compile::{self, Variant};
use litebox_test_support::{Case, NamedTest, Result, skip};

fn hello(name: &str, variant: Variant) -> Result {
    if !compile::have(variant.compiler()) {
        return skip(&format!("no {} on this machine", variant.compiler()));
    }
    let binary = compile::guest("hello.c", variant, &[])?;
    let case = Case::guest(name, &binary).args(["one", "two words", ""]);
    case.expect_stdout("hello, 3 arguments\none\ntwo words\n\n").expect_status(7).compare()
}

fn test_static_exec_with_rewriter() -> Result {
    hello("test_static_exec_with_rewriter", Variant::Static)
}

fn test_static_pie() -> Result {
    hello("test_static_pie", Variant::StaticPie)
}

fn test_dynamic_pie() -> Result {
    hello("test_dynamic_pie", Variant::Dynamic)
}

fn test_dynamic_exec() -> Result {
    hello("test_dynamic_exec", Variant::DynamicExec)
}

fn test_static_musl() -> Result {
    hello("test_static_musl", Variant::Musl)
}

/// What the superuser of a sandbox may set under /proc/sys; on the host nobody tries.
fn settings_of_the_sandbox() -> Result {
    const EXPECTED: &str = "\
vm/max_map_count: 65530
vm/max_map_count: 150
few areas: 1
vm/max_map_count = -1: EINVAL
vm/max_map_count = some: EINVAL
kernel/core_pattern: core
kernel/core_pattern: /tmp/core.%p
kernel/pid_max: 4194304
kernel/pid_max = 300: EINVAL
kernel/pid_max = 4194305: EINVAL
kernel/pid_max: 320
ids wrap: 1
ids run out: 1
somebody else: 1
kernel/shm_next_id: -1
segment 98309
kernel/shm_next_id: -1
taken: segment 98310
set 65543
queue 32777
kernel/msg_next_id = -5: EINVAL
";
    let binary = compile::guest("proc_sys.c", Variant::Static, &[])?;
    let dir = litebox_test_support::fresh_dir("settings")?;
    fs::copy(&binary, dir.join("settings"))?;
    let output = litebox_test_support::litebox().args(["run", "--", "./settings"]).current_dir(&dir).output()?;
    let found = String::from_utf8_lossy(&output.stdout);
    if found != EXPECTED {
        return Err(format!("{} {found}{}", output.status, String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(())
}

/// Standard streams that are files of the user have offsets, which the user's other programs share.
fn streams_that_are_files() -> Result {
    const PROGRAM: &str = "import os, mmap\n\
        print(os.lseek(0, 0, 1), os.read(0, 3), os.lseek(0, -2, 2), os.read(0, 10), os.pread(0, 4, 2), os.lseek(0, 0, 1))\n\
        print(os.lseek(0, 1, 0), mmap.mmap(0, 0, prot=mmap.PROT_READ)[:5], os.preadv(0, [bytearray(2)], 9))\n\
        os.pwrite(2, b'HERE', 2); print(os.lseek(2, 0, 1)); os.lseek(2, 6, 0); os.write(2, b'!'); os.ftruncate(2, 9)\n\
        for call in (lambda: os.lseek(0, -1, 0), lambda: os.pread(0, 1, -1), lambda: os.pread(2, 1, 0), lambda: os.lseek(1, 0, 1)):\n\
        \x20   try: print(call())\n\
        \x20   except OSError as e: print(e.errno)\n";
    let mut found = Vec::new();
    for sandbox in [false, true] {
        let dir = litebox_test_support::fresh_dir(if sandbox { "streams_sandbox" } else { "streams_host" })?;
        fs::write(dir.join("in"), b"0123456789")?;
        fs::write(dir.join("out"), b"..........")?;
        let mut command =
            if sandbox { litebox_test_support::litebox() } else { std::process::Command::new("/usr/bin/env") };
        if sandbox {
            command.args(["run", "--"]);
        }
        command.args(["/usr/bin/python3", "-c", PROGRAM]);
        command.stdin(fs::File::open(dir.join("in"))?).stdout(std::process::Stdio::piped());
        command.stderr(fs::OpenOptions::new().write(true).open(dir.join("out"))?);
        let output = command.output()?;
        found.push((output.stdout, fs::read(dir.join("out"))?, output.status.code()));
    }
    if found.first() != found.last() {
        let text: Vec<_> =
            found.iter().map(|(a, b, _)| [a.escape_ascii().to_string(), b.escape_ascii().to_string()]).collect();
        return Err(format!("host and sandbox: {text:#?}").into());
    }
    Ok(())
}

fn script(dir: &Path, text: &str) -> io::Result<()> {
    let path = dir.join("script");
    fs::write(&path, text)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
}

fn test_script() -> Result {
    let case = Case::new("test_script", "/bin/sh").args(["./script", "a", "b"]);
    case.prepare(|dir| script(dir, "echo \"$0 $# $1 $2\"\nexit 3\n")).expect_status(3).compare()
}

/// `env ./script` executes the script itself, so the kernel reads its first line.
fn test_shebang() -> Result {
    let case = Case::new("test_shebang", "/usr/bin/env").args(["./script", "a", "b"]);
    case.prepare(|dir| script(dir, "#!/bin/sh -e\necho \"$0 $# $1 $2\"\nexit 4\n")).expect_status(4).compare()
}

fn test_shebang_one_argument() -> Result {
    let case = Case::new("test_shebang_one_argument", "/usr/bin/env").args(["./script", "x"]);
    case.prepare(|dir| script(dir, "#!/usr/bin/printf  [%s][%s]  \n")).compare()
}

fn test_shebang_missing_interpreter() -> Result {
    let case = Case::new("test_shebang_missing_interpreter", "/usr/bin/env").args(["./script"]);
    case.prepare(|dir| script(dir, "#!/no/such/interpreter\n")).with_stderr().expect_status(127).compare()
}

const TESTS: &[NamedTest] = &[
    ("test_static_exec_with_rewriter", test_static_exec_with_rewriter),
    ("test_static_pie", test_static_pie),
    ("test_dynamic_pie", test_dynamic_pie),
    ("test_dynamic_exec", test_dynamic_exec),
    ("test_static_musl", test_static_musl),
    ("settings_of_the_sandbox", settings_of_the_sandbox),
    ("streams_that_are_files", streams_that_are_files),
    ("test_script", test_script),
    ("test_shebang", test_shebang),
    ("test_shebang_one_argument", test_shebang_one_argument),
    ("test_shebang_missing_interpreter", test_shebang_missing_interpreter),
    ("test_tun_and_runner_with_iperf3", tun::test_tun_and_runner_with_iperf3),
    ("connections_by_packets", tun::connections_by_packets),
    ("short_packets", tun::short_packets),
    ("servers_behind_a_device", tun::servers_behind_a_device),
    ("the_device_is_made_once", tun::the_device_is_made_once),
];

fn main() {
    litebox_test_support::run_table(TESTS);
}
