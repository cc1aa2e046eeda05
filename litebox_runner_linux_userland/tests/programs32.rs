//! Debian's i386 programs: the same output and exit status in the sandbox as on the bare host.
//! `scripts/i386-programs.sh` brings them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use litebox_test_support::{Case, NamedTest, Result, compile, find_program, flag, fresh_dir, run_table, scratch, skip};

/// Where the packages are unpacked.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target").join("i386-programs")
}

/// Skips a test that wants a file of the packages which is not there.
fn without(file: &str) -> Option<Result> {
    if root().join(file).exists() {
        return None;
    }
    // `./test` tried to get them.
    if flag("LITEBOX_TEST_WITHOUT_I386") {
        println!("skipped: i386 programs cannot be had here (scripts/i386-programs.sh)");
        return Some(Ok(()));
    }
    Some(skip("no i386 programs on this machine (scripts/i386-programs.sh)"))
}

/// Runs a program of the packages with these arguments, its libraries and tools before the host's.
fn compare(name: &str, program: &str, args: &[&str]) -> Result {
    if let Some(skipped) = without(program) {
        return skipped;
    }
    let root = root().display().to_string();
    let libraries = format!("{root}/lib/i386-linux-gnu:{root}/usr/lib/i386-linux-gnu");
    let words = [
        // Programs of 64 bits pass over libraries that are none of theirs.
        format!("LD_LIBRARY_PATH={libraries}"),
        format!("PATH={root}/bin:{root}/usr/bin:/usr/bin:/bin"),
        format!("PYTHONHOME={root}/usr"),
        format!("PERL5LIB={root}/usr/lib/i386-linux-gnu/perl-base"),
        format!("LUA_PATH={root}/usr/share/luajit-2.1.0-beta3/?.lua"),
        format!("GIT_EXEC_PATH={root}/usr/lib/git-core"),
        format!("GIT_TEMPLATE_DIR={root}/usr/share/git-core/templates"),
        format!("NARROW={root}/bin/bash"),
        "WIDE=/bin/bash".to_owned(),
        format!("{root}/{program}"),
    ];
    let case = Case::new(name, "/usr/bin/env").args(words).args(args);
    case.options(["-v", &format!("{root}:{root}:ro")]).timeout(100).compare()
}

macro_rules! text {
    ($file:literal) => {
        include_str!(concat!("programs32/", $file))
    };
}

fn bash_constructs() -> Result {
    compare("bash32_constructs", "bin/bash", &["-c", text!("constructs.sh")])
}

fn programs_of_both_widths() -> Result {
    compare("programs_of_both_widths", "bin/bash", &["-c", text!("both.sh")])
}

fn python_library() -> Result {
    compare("python32_library", "usr/bin/python3.11", &["-B", "-c", text!("library.py")])
}

fn perl_words() -> Result {
    compare("perl32_words", "usr/bin/perl", &["-e", text!("words.pl")])
}

fn luajit_loops() -> Result {
    compare("luajit32_loops", "usr/bin/luajit", &["-e", text!("loops.lua")])
}

fn git_repository() -> Result {
    compare("git32_repository", "bin/bash", &["-c", text!("repository.sh")])
}

fn archives() -> Result {
    compare("archives32", "bin/bash", &["-c", text!("archives.sh")])
}

fn sqlite_tables() -> Result {
    compare("sqlite32_tables", "bin/bash", &["-c", text!("tables.sh")])
}

fn busybox_applets() -> Result {
    compare("busybox32_applets", "bin/busybox", &["sh", "-c", text!("applets.sh")])
}

/// The server, its client and its benchmark, over the loopback device.
fn redis() -> Result {
    if let Some(skipped) = without("usr/bin/redis-server") {
        return skipped;
    }
    let script =
        concat!(include_str!("programs/net/prelude.sh"), text!("python.sh"), include_str!("programs/net/redis.sh"));
    compare("redis32", "bin/bash", &["-c", script])
}

/// Guests that are linked with musl for i386, which makes its calls in ways of its own.
fn musl_guests() -> Result {
    const GUESTS: [(&str, &str, &[&str]); 2] = [
        ("static", "-static", &["eventfd", "signalfd", "sysv_ipc", "truncate_mapped"]),
        ("dynamic", "-pie", &["tcp", "wait"]),
    ];
    if let Some(skipped) = without("usr/lib/i386-linux-musl/libc.a") {
        return skipped;
    }
    if let Some(missing) = compile::Variant::M32.missing() {
        return skip(&missing);
    }
    let place = fresh_dir("musl32")?;
    for (how, kind, guests) in GUESTS {
        for guest in guests {
            let source = compile::sources().join(format!("{guest}.c"));
            let script = text!("musl.sh");
            let made = Command::new("sh")
                .args(["-c", script, "sh"])
                .args([root(), source, place.join(format!("{guest}-{how}"))])
                .arg(kind)
                .output()?;
            if !made.status.success() {
                return Err(format!("{guest}: {}", String::from_utf8_lossy(&made.stderr)).into());
            }
        }
    }
    let (place, root) = (place.display().to_string(), root().display().to_string());
    let script = format!("for guest in {place}/*; do echo \"${{guest##*/}}\"; $guest; echo $?; done");
    let volumes = ["-v", &format!("{place}:{place}:ro"), "-v", &format!("{root}:{root}:ro")];
    Case::new("musl32_guests", "/bin/sh").args(["-c", &script]).options(volumes).timeout(100).compare()
}

/// A program of Go for 386: it makes its calls itself, and schedules its own threads.
fn go_program() -> Result {
    let Some(go) = find_program(&["/usr/bin/go", "/usr/local/go/bin/go"]) else { return skip("no go on this machine") };
    let place = fresh_dir("go32")?;
    fs::write(place.join("it.go"), text!("it.go"))?;
    let mut build = Command::new(go);
    // The parts of Go's own library are compiled once.
    build.args(["build", "-o", "it", "it.go"]).current_dir(&place).env("GOCACHE", scratch().join("go32-cache"));
    build.env("HOME", &place).envs([
        ("GOARCH", "386"),
        ("CGO_ENABLED", "0"),
        ("GO111MODULE", "off"),
        ("GOTOOLCHAIN", "local"),
    ]);
    let made = build.output()?;
    if !made.status.success() {
        return Err(String::from_utf8_lossy(&made.stderr).into_owned().into());
    }
    let place = place.display().to_string();
    let case = Case::new("go32_program", format!("{place}/it")).options(["-v", &format!("{place}:{place}:ro")]);
    case.timeout(100).compare()
}

/// A compiler of 64 bits makes programs of 32, and both are run where they were made.
fn gcc_m32() -> Result {
    if let Some(missing) = compile::Variant::M32.missing() {
        return skip(&missing);
    }
    let script = concat!("cd ", "\"$(mktemp -d)\"\n", include_str!("programs32/compiles.sh"));
    Case::new("gcc_m32", "/bin/sh").args(["-c", script]).timeout(100).compare()
}

fn main() {
    let table: &[NamedTest] = &[
        ("bash_constructs", bash_constructs),
        ("programs_of_both_widths", programs_of_both_widths),
        ("python_library", python_library),
        ("perl_words", perl_words),
        ("luajit_loops", luajit_loops),
        ("git_repository", git_repository),
        ("archives", archives),
        ("sqlite_tables", sqlite_tables),
        ("busybox_applets", busybox_applets),
        ("redis", redis),
        ("musl_guests", musl_guests),
        ("go_program", go_program),
        ("gcc_m32", gcc_m32),
    ];
    run_table(table)
}
