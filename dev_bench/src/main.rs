//! Side-by-side measurements against the bare host: `dev_bench [--litebox PATH] [--rounds N] [--json FILE]`.
//!
//! Rounds alternate between the bare host and the sandbox, so that a change of the machine's mood hits both; what is
//! reported is the median of the rounds.

mod measure;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use measure::{Bench, Failure};
use report::Row;

struct Options {
    litebox: PathBuf,
    rounds: usize,
    json: Option<PathBuf>,
}

fn parse() -> Result<Options, Failure> {
    let beside = std::env::current_exe()?.with_file_name("litebox");
    let mut options = Options { litebox: beside, rounds: 7, json: None };
    let mut args = std::env::args().skip(1);
    while let Some(option) = args.next() {
        let value = args.next().ok_or_else(|| format!("{option} needs a value"))?;
        match option.as_str() {
            "--litebox" => {
                options.litebox = std::fs::canonicalize(&value).map_err(|error| format!("{value}: {error}"))?;
            }
            "--rounds" => options.rounds = value.parse::<usize>().map_err(|error| format!("--rounds: {error}"))?.max(1),
            "--json" => options.json = Some(value.into()),
            _ => return Err(format!("unknown option {option}").into()),
        }
    }
    if !options.litebox.exists() {
        return Err(format!("no {}: build it with `cargo build --release`", options.litebox.display()).into());
    }
    Ok(options)
}

fn run() -> Result<(), Failure> {
    let options = parse()?;
    let bench = Bench::prepare(options.litebox, options.rounds)?;
    let mut rows = Vec::new();
    for measure in [Bench::hello, Bench::sha256sum, Bench::python_loop, Bench::calls] {
        let found: Vec<Row> = measure(&bench)?;
        for row in &found {
            println!("{row}");
        }
        rows.extend(found);
    }
    if let Some(path) = options.json {
        std::fs::write(path, report::json(&rows))?;
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("dev_bench: {failure}");
            ExitCode::FAILURE
        }
    }
}
