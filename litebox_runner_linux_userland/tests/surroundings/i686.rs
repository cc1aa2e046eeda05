//! What must stay true of executables, whatever built them: the one for i686 does what the one for x86-64 does, and
//! that one's supervisor starts without functions that nobody has resolved.

use std::ops::Range;
use std::path::Path;
use std::process::Command;

use libtest_mimic::Failed;
use litebox_test_support::compile::{self, Variant};
use litebox_test_support::{ProgramResult, Result, program_result, skip};

use super::{LIMIT, plain};

/// Scripts that start `$L`, and what each prints behind `status N`.
const SCRIPTS: &[(&str, &str)] = &[
    (
        "$L run -w / -- sh -c 'echo out; echo \"$0\" \"$@\"; exit 7' a 'b  c' ''; echo status $?",
        "out\na b  c \nstatus 7\n",
    ),
    ("$L run -w / -v $GUESTS:/guests -- /guests/hello; echo status $?", "hello, 0 arguments\nstatus 7\n"),
    (
        "$L run -w / -v $GUESTS:/guests -- sh -c '/guests/hello; uname -m'; echo status $?",
        "hello, 0 arguments\nx86_64\nstatus 0\n",
    ),
    ("echo in | X=1 $L run -w / -e X -- sh -c 'cat; echo $X'; echo status $?", "in\n1\nstatus 0\n"),
    ("$L run -w / -- sh -c 'kill -9 $$'; echo status $?", "status 137\n"),
    (
        "$L run -w / -- nosuchprogram 2>&1; echo status $?",
        "litebox: cannot run nosuchprogram: no such program\nstatus 127\n",
    ),
    ("$L run --nosuchoption 2>/dev/null; echo status $?", "status 125\n"),
    // What the C library and Rust do at their start, and what memory takes, changes nothing that is handed on.
    ("$L run -w / -- sh -c '[ -e /proc/self/fd/0 ]; echo $?' <&-; echo status $?", "1\nstatus 0\n"),
    ("ulimit -S -f 8; $L run -w / -- sh -c 'ulimit -S -f'; echo status $?", "8\nstatus 0\n"),
    ("$L run -w / -- sh -c 'grep SigIgn /proc/self/status'; echo status $?", "SigIgn:\t0000000000000000\nstatus 0\n"),
    (
        "trap '' PIPE; $L run -w / -- sh -c 'grep SigIgn /proc/self/status'; echo status $?",
        "SigIgn:\t0000000000001000\nstatus 0\n",
    ),
];

fn run(program: &Path, guests: &Path, script: &str) -> std::io::Result<ProgramResult> {
    let mut command = Command::new("sh");
    command.args(["-c", script]).env("L", program).env("GUESTS", guests);
    plain(&mut command);
    program_result::run(command, b"", LIMIT)
}

/// It runs programs of both kinds, and hands on all that it was started with.
pub fn i686_executable() -> Result {
    let Some(program) = std::env::var_os("LITEBOX_I686") else {
        // It is built by another compiler than the tests: `.ci/run` knows whether there is one.
        println!("skipped: LITEBOX_I686 does not name an executable built for i686");
        return Ok(());
    };
    if let Some(why) = Variant::M32Dynamic.missing() {
        return skip(&why);
    }
    let hello = compile::guest("hello.c", Variant::M32Dynamic, &[])?;
    let guests = hello.parent().ok_or("no directory")?;
    let mut wrong = Vec::new();
    for (script, expected) in SCRIPTS {
        for program in [Path::new(&program), Path::new(env!("CARGO_BIN_EXE_litebox"))] {
            let outcome = run(program, guests, script)?;
            if outcome.out() != *expected || !outcome.stderr.is_empty() {
                wrong.push(format!("{script} by {}\nexpected\n{expected}{outcome}", program.display()));
            }
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

fn said_by(program: &str, words: &[&str]) -> std::result::Result<String, Failed> {
    let output = Command::new(program).args(words).arg(env!("CARGO_BIN_EXE_litebox")).output()?;
    if !output.status.success() {
        return Err(format!("{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn hex(word: Option<&str>) -> Option<u64> {
    u64::from_str_radix(word?.trim_start_matches("0x"), 16).ok()
}

/// The places from which functions with several versions (`STT_GNU_IFUNC`) are called.
fn of_several_versions() -> std::result::Result<Range<u64>, Failed> {
    let sections = said_by("readelf", &["-SW"])?;
    let found = sections.lines().find_map(|line| {
        let mut words = line.split_once("] ")?.1.split_whitespace();
        (words.next()? == ".iplt").then_some(())?;
        let (start, len) = (hex(words.nth(1))?, hex(words.nth(1))?);
        Some(start..start + len)
    });
    found.ok_or_else(|| "no .iplt".into())
}

/// Such a function of the C library is called through a place that the library fills in at its start, which the
/// supervisor has none of. Whether the standard library uses one differs from compiler to compiler.
pub fn start_without_resolved_functions() -> Result {
    let several = of_several_versions()?;
    let (mut functions, mut calls) = (0, 0);
    for line in said_by("nm", &["-CS", "--defined-only"])?.lines() {
        let mut words = line.splitn(4, ' ');
        let (Some(start), Some(len), Some(_), Some(name)) =
            (hex(words.next()), hex(words.next()), words.next(), words.next())
        else {
            continue;
        };
        if !name.starts_with("litebox_platform_linux_userland::process::start::") || len == 0 {
            continue;
        }
        let range = [format!("--start-address={start}"), format!("--stop-address={}", start + len)];
        let code = said_by("objdump", &["-d", "--no-show-raw-insn", &range[0], &range[1]])?;
        functions += usize::from(code.contains("\tret") || code.contains("\tud2"));
        for line in code.lines() {
            let Some((_, call)) = line.split_once("\tcall ") else { continue };
            calls += 1;
            if hex(call.split_whitespace().next()).is_some_and(|target| several.contains(&target)) {
                return Err(format!("{name} calls a function that nobody has resolved: {line}").into());
            }
        }
    }
    // A table of symbols that names others would let everything pass.
    if functions == 0 || calls == 0 { Err("the start is not found in the executable".into()) } else { Ok(()) }
}
