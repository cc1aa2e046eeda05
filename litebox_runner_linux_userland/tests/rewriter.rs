//! Call sites that trapped once do not trap again: what `--stats` says about it.

use std::collections::BTreeMap;
use std::time::Duration;

use litebox_test_support::compile::{self, Variant};
use litebox_test_support::{GUEST_DIR, NamedTest, ProgramResult, Result, program_result, skip};

/// The figures that `--stats` prints, by name.
fn figures(outcome: &ProgramResult) -> BTreeMap<String, u64> {
    let line = |line: &str| {
        let line = line.strip_prefix("litebox: ")?;
        let digits = line.find(|c: char| c.is_ascii_digit())?;
        let (name, rest) = line.split_at(digits);
        let number = rest.split(|c: char| !c.is_ascii_digit()).next()?;
        Some((name.trim().to_owned(), number.parse().ok()?))
    };
    outcome.err().lines().filter_map(line).collect()
}

fn run(options: &[&str], command: &[&str]) -> std::result::Result<(ProgramResult, BTreeMap<String, u64>), String> {
    let mut litebox = litebox_test_support::litebox();
    litebox.args(["run", "--stats"]).args(options).arg("--").args(command);
    let outcome = program_result::run(litebox, b"", Duration::from_secs(60)).map_err(|error| error.to_string())?;
    if outcome.status != 0 {
        return Err(format!("{command:?}\n{outcome}"));
    }
    let figures = figures(&outcome);
    Ok((outcome, figures))
}

fn figure(figures: &BTreeMap<String, u64>, name: &str) -> u64 {
    figures.get(name).copied().unwrap_or(u64::MAX)
}

/// A site traps a few times: a large program that runs again hardly traps any more (measured: 2.4 % of the calls of
/// four runs).
fn few_calls_trap() -> Result {
    let four_times = "import json,sqlite3,os,sys; left=int(sys.argv[1]); \
                      left and os.execv('/usr/bin/python3', ['python3', '-c', sys.argv[2], str(left - 1), sys.argv[2]])";
    // The memory of files is as long as asked for, also where that is no whole number of pages.
    let program = ["/usr/bin/python3", "-c", four_times, "3", four_times];
    let (outcome, figures) = run(&["--disk", "100000000001"], &program)?;
    let (calls, traps) = (figure(&figures, "guest calls"), figure(&figures, "traps"));
    if calls == u64::MAX || traps == 0 || traps * 100 >= calls * 3 {
        return Err(format!("{traps} of {calls} calls trapped\n{outcome}").into());
    }
    Ok(())
}

/// Every call traps where that is asked for.
fn all_calls_trap() -> Result {
    let (outcome, figures) = run(&["--interception-backend", "trap"], &["/bin/true"])?;
    let (calls, traps) = (figure(&figures, "guest calls"), figure(&figures, "traps"));
    if calls != traps || figure(&figures, "patched sites") != 0 {
        return Err(format!("{traps} of {calls} calls trapped\n{outcome}").into());
    }
    Ok(())
}

/// The sites of all shapes are patched, but for those that cannot be.
fn sites_are_patched() -> Result {
    let binary = compile::guest("syscall_sites.c", Variant::Static, &["-pthread".into()])?;
    let dir = binary.parent().unwrap_or(&binary).display().to_string();
    let name = binary.file_name().unwrap_or_default().to_string_lossy();
    let volume = format!("{dir}:{GUEST_DIR}:ro");
    let program = format!("{GUEST_DIR}/{name}");
    let (outcome, figures) = run(&["--interception-backend", "rewriter", "-v", &volume], &[&program])?;
    if figure(&figures, "patched sites") < 50
        || figure(&figures, "refused sites") == 0
        || outcome.out().contains("WRONG")
    {
        return Err(outcome.to_string().into());
    }
    Ok(())
}

/// Those of `int $0x80` as well, and what is started often shares its patched code.
fn sites_of_32_bits_are_patched() -> Result {
    if let Some(why) = Variant::M32.missing() {
        return skip(&why);
    }
    let binary = compile::guest("int80_sites.c", Variant::M32, &[])?;
    let dir = binary.parent().unwrap_or(&binary).display().to_string();
    let name = binary.file_name().unwrap_or_default().to_string_lossy();
    let volume = format!("{dir}:{GUEST_DIR}:ro");
    let program = format!("{GUEST_DIR}/{name}");
    let (outcome, once) = run(&["-v", &volume], &[&program])?;
    let often = format!("for i in {{1..10}}; do {program} > /dev/null; done");
    let (_, ten_times) = run(&["-v", &volume], &["/bin/bash", "-c", &often])?;
    // Three kinds of sites cannot be patched, and the program gives its patches up in its last part.
    if figure(&once, "patched sites") < 20 || figure(&ten_times, "shared code") < 3 {
        return Err(format!("{ten_times:?}\n{outcome}").into());
    }
    Ok(())
}

/// A program that is executed again is not sent to the processor for what `cpuid` answers: the sites of its start are
/// patched.
fn cpuids_are_answered() -> Result {
    cpuids_of(Variant::Static)
}

fn cpuids_of_32_bits_are_answered() -> Result {
    if let Some(why) = Variant::M32.missing() {
        return skip(&why);
    }
    cpuids_of(Variant::M32)
}

fn cpuids_of(variant: Variant) -> Result {
    let binary = compile::guest("cpuid.c", variant, &[])?;
    let dir = binary.parent().unwrap_or(&binary).display().to_string();
    let name = binary.file_name().unwrap_or_default().to_string_lossy();
    let volume = format!("{dir}:{GUEST_DIR}:ro");
    let program = format!("{GUEST_DIR}/{name}");
    let patched = |round: &str| -> std::result::Result<u64, Box<dyn std::error::Error>> {
        let (_, figures) = run(&["-v", &volume], &[&program, round])?;
        Ok(figure(&figures, "patched sites"))
    };
    // The last round executes nothing, the one before it the program once more, and that one again.
    let (once, twice, thrice) = (patched("3")?, patched("2")?, patched("1")?);
    let (second, third) = (twice.saturating_sub(once), thrice.saturating_sub(twice));
    // The second execution of a 64-bit program has sites of calls to patch besides.
    let some = |more: u64| more >= once + 6;
    if !some(third) || variant == Variant::Static && !some(second) {
        return Err(format!("{once} sites patched, {second} in the second execution, {third} in the third").into());
    }
    Ok(())
}

/// Programs that are started again and again share their patched code, and a process that is forked often shares its
/// own.
fn code_is_shared() -> Result {
    let shared = |options: &[&str], script: &str| -> std::result::Result<u64, String> {
        let (_, figures) = run(options, &["/bin/bash", "-c", script])?;
        Ok(figure(&figures, "shared code"))
    };
    let (twice, often) = (shared(&[], "/bin/true; /bin/true")?, shared(&[], "for i in {1..20}; do /bin/true; done")?);
    let forked = shared(&[], "for i in {1..20}; do (:); done")?;
    let trapping = shared(&["--interception-backend", "trap"], "for i in {1..20}; do /bin/true; done")?;
    // The C library and its loader, in most of the children.
    if twice != 0 || often < 2 * 15 || forked == 0 || trapping != 0 {
        return Err(format!("code shared {twice}, {often}, {forked} and {trapping} times").into());
    }
    Ok(())
}

const TESTS: &[NamedTest] = &[
    ("few_calls_trap", few_calls_trap),
    ("all_calls_trap", all_calls_trap),
    ("sites_are_patched", sites_are_patched),
    ("sites_of_32_bits_are_patched", sites_of_32_bits_are_patched),
    ("cpuids_are_answered", cpuids_are_answered),
    ("cpuids_of_32_bits_are_answered", cpuids_of_32_bits_are_answered),
    ("code_is_shared", code_is_shared),
];

fn main() {
    litebox_test_support::run_table(TESTS);
}
