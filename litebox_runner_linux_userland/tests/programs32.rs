//! Debian's i386 programs: the same output and exit status in the sandbox as on the bare host.
//! `scripts/i386-programs.sh` brings them.

use std::path::{Path, PathBuf};

use litebox_test_support::{Case, NamedTest, Result, compile, flag, run_table, skip};

/// Where the packages are unpacked.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target").join("i386-programs")
}

/// Runs a program of the packages with these arguments, its libraries and tools before the host's.
fn compare(name: &str, program: &str, args: &[&str]) -> Result {
    let root = root();
    if !root.join(program).exists() {
        // `./test` tried to get them.
        if flag("LITEBOX_TEST_WITHOUT_I386") {
            println!("skipped: i386 programs cannot be had here (scripts/i386-programs.sh)");
            return Ok(());
        }
        return skip("no i386 programs on this machine (scripts/i386-programs.sh)");
    }
    let root = root.display().to_string();
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
        ("gcc_m32", gcc_m32),
    ];
    run_table(table)
}
