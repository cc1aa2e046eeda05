//! Random system calls (`guests/random_calls.c`) on files in memory, copy-on-write and in an `rw` volume. Whatever the
//! guest does to itself, the sandbox goes on: no status of its own (70), no refused host call (159), no process that
//! cannot be killed, no standstill.
//!
//! A short round is part of the suite. `LITEBOX_TEST_CALLS=60` has each of the three run for so many minutes, with
//! another seed each time, from `LITEBOX_TEST_CALLS_SEED` on; what fails is named with its seed, and `random_calls
//! SEED ...` makes the same calls again.

use std::fs;
use std::time::{Duration, Instant};

use litebox_test_support::compile::{self, Variant};
use litebox_test_support::{NamedTest, Result, litebox, program_result};

const VARIABLE: &str = "LITEBOX_TEST_CALLS";
/// One round may take so long; each worker is killed after a second and a half.
const PATIENCE: Duration = Duration::from_secs(150);
const SEED_VARIABLE: &str = "LITEBOX_TEST_CALLS_SEED";

/// How much is to be done: rounds until this moment, each of so many processes and calls of a thread.
struct Amount {
    until: Instant,
    workers: &'static str,
    calls: &'static str,
}

fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn amount() -> Amount {
    match number_of(VARIABLE) {
        Some(minutes) => {
            Amount { until: Instant::now() + Duration::from_secs(minutes * 60), workers: "30", calls: "20000" }
        }
        None => Amount { until: Instant::now(), workers: "3", calls: "400" },
    }
}

/// Rounds in a sandbox whose working directory is what these options make of `{}`.
fn rounds(name: &str, options: &[&str]) -> Result {
    let guest = compile::guest("random_calls.c", Variant::Static, &["-pthread".into()])?;
    let guests = format!("{}:/guests:ro", guest.parent().ok_or("no directory of guests")?.display());
    let Amount { until, workers, calls } = amount();
    let first = number_of(SEED_VARIABLE).unwrap_or(1);
    let mut seed = first;
    loop {
        let dir = litebox_test_support::fresh_dir(&format!("random_calls_{name}"))?;
        let options: Vec<String> = options.iter().map(|word| word.replace("{}", &dir.display().to_string())).collect();
        let number = seed.to_string();
        let mut command = litebox();
        command.arg("run").args(&options).args(["-v", &guests, "-w", "/volume", "--timeout", "120s", "--"]);
        command.args(["/guests/random_calls", &number, workers, calls, "4"]);
        let outcome = program_result::run(command, b"", PATIENCE)?;
        if outcome.status != 0 {
            return Err(format!("seed {seed}\n{outcome}").into());
        }
        fs::remove_dir_all(dir)?;
        seed += 1;
        if Instant::now() >= until {
            println!("{} rounds", seed - first);
            return Ok(());
        }
    }
}

fn in_memory() -> Result {
    rounds("memory", &["--tmpfs", "/volume"])
}

fn copy_on_write() -> Result {
    rounds("cow", &["-v", "{}:/volume:cow"])
}

fn in_a_volume() -> Result {
    rounds("rw", &["-v", "{}:/volume:rw"])
}

const TESTS: &[NamedTest] = &[("in_memory", in_memory), ("copy_on_write", copy_on_write), ("in_a_volume", in_a_volume)];

fn main() {
    litebox_test_support::run_table(TESTS);
}
