//! Side-by-side measurements against the bare host, and whatever other sandboxes are installed.
//!
//! `dev_bench` measures every benchmark of [`suite`] on all sides in turn, so that what else the machine does hits them
//! alike. It reports medians of the rounds and their ratios to the bare host. `dev_bench scale` prints how the price of
//! a call grows with threads, open files, mapped areas and the size of a directory.

mod chart;
mod compare;
mod measure;
mod outward;
mod report;
mod scale;
mod side;
mod suite;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use measure::Bench;
use report::Report;
use side::Peers;

/// Why there are no figures.
type Failure = Box<dyn std::error::Error>;

/// How the guest benchmarks are linked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Link {
    /// As programs of a distribution are.
    Dynamic,
    /// One file.
    Static,
    /// Each benchmark twice.
    Both,
}

/// Measures the sandbox against the bare host.
#[derive(Parser)]
#[command(name = "dev_bench")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    common: Common,
    /// Only benchmarks whose name contains one of these.
    #[arg(long, value_name = "PART", value_delimiter = ',', global = true)]
    only: Vec<String>,
    /// How the small guest programs are linked.
    #[arg(long, value_enum, default_value = "dynamic")]
    link: Link,
    /// Write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the table as Markdown.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Draw the ratios.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Say what moved since these figures, and fail when a ratio grew by more than the threshold.
    #[arg(long, value_name = "OLD.json")]
    compare: Option<PathBuf>,
    /// By which factor a ratio may grow.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.25)]
    threshold: f64,
}

#[derive(Subcommand)]
enum Command {
    /// How the price of a call grows.
    Scale,
}

#[derive(Args)]
struct Common {
    /// The sandbox; without it, the one built beside this program.
    #[arg(long, value_name = "PATH", global = true)]
    litebox: Option<PathBuf>,
    /// Rounds of each benchmark; one more warms up.
    #[arg(long, value_name = "N", default_value_t = 5, global = true)]
    rounds: usize,
    /// Trees on volumes have 20,000 files and more, instead of a tenth of that.
    #[arg(long, global = true)]
    full: bool,
    /// Which other sandboxes are measured too, where they are on PATH.
    #[arg(long, value_enum, default_value = "none", global = true)]
    peers: Peers,
}

fn litebox(given: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let path = match given {
        Some(path) => path,
        None => std::env::current_exe()?.with_file_name("litebox"),
    };
    std::fs::canonicalize(&path)
        .map_err(|error| format!("{}: {error}; build it with `cargo build --release`", path.display()).into())
}

fn run() -> Result<bool, Failure> {
    let cli = Cli::parse();
    let bench = Bench::prepare(
        litebox(cli.common.litebox)?,
        cli.common.rounds.max(1),
        if cli.common.full { 20_000 } else { 2_000 },
        cli.common.peers,
    )?;
    if let Some(Command::Scale) = cli.command {
        scale::print(&bench, &cli.only);
        return Ok(true);
    }
    let report = Report::measure(&bench, &cli.only, cli.link);
    if let Some(path) = &cli.json {
        std::fs::write(path, serde_json::to_string_pretty(&report)? + "\n")?;
    }
    if let Some(path) = &cli.markdown {
        std::fs::write(path, report.markdown())?;
    }
    if let Some(path) = &cli.svg {
        chart::draw(&report, path)?;
    }
    match &cli.compare {
        Some(old) => compare::print(&serde_json::from_str(&std::fs::read_to_string(old)?)?, &report, cli.threshold),
        None => Ok(true),
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("dev_bench: {failure}");
            ExitCode::FAILURE
        }
    }
}
