//! Figures of all benchmarks: measured, printed, written down.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use crate::Link;
use crate::measure::{Bench, median};
use crate::side::Side;
use crate::suite::{self, Benchmark, Goal};

/// One benchmark on all sides.
#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    /// The benchmark.
    pub name: String,
    /// Unit of its figures.
    pub unit: String,
    /// At most so many times the host's figure was promised, or so much above it.
    pub goal_ratio: Option<f64>,
    /// The same, as a difference.
    pub goal_over: Option<f64>,
    /// At most so much was promised, whatever the host's figure is.
    #[serde(default)]
    pub goal_most: Option<f64>,
    /// Medians of the rounds.
    pub medians: BTreeMap<Side, f64>,
    /// Why a side has no figure.
    pub failures: BTreeMap<Side, String>,
}

impl Row {
    /// A side's figure against the host's.
    pub fn ratio(&self, side: Side) -> Option<f64> {
        Some(self.medians.get(&side)? / self.medians.get(&Side::Host)?)
    }
    /// Whether the promise is kept; `None` without figures.
    pub fn kept(&self) -> Option<bool> {
        let (own, host) = (self.medians.get(&Side::Litebox)?, self.medians.get(&Side::Host)?);
        match (self.goal_ratio, self.goal_over, self.goal_most) {
            (Some(ratio), ..) => Some(own / host <= ratio),
            (None, Some(over), _) => Some(own - host <= over),
            (None, None, most) => most.map(|most| *own <= most),
        }
    }
    fn goal(&self) -> String {
        match (self.goal_ratio, self.goal_over, self.goal_most) {
            (Some(ratio), ..) => format!("{ratio}"),
            (None, Some(over), _) => format!("host + {over} {}", self.unit),
            (None, None, Some(most)) => format!("{most} {}", self.unit),
            (None, None, None) => "-".into(),
        }
    }
    fn verdict(&self) -> &'static str {
        match self.kept() {
            Some(true) => "met",
            Some(false) => "missed",
            None => "no figure",
        }
    }
    fn measure(bench: &Bench, benchmark: &Benchmark, sides: &[Side], linked_statically: bool) -> Self {
        let mut values: BTreeMap<Side, Vec<f64>> = BTreeMap::new();
        let mut failures = BTreeMap::new();
        if let Err(failure) = bench.provide(benchmark) {
            failures.insert(Side::Host, failure.to_string());
        }
        // The first round warms caches on all sides and does not count.
        for round in 0..=bench.rounds {
            for side in sides {
                if round > side.rounds(bench.rounds)
                    || failures.contains_key(side)
                    || failures.contains_key(&Side::Host)
                {
                    continue;
                }
                match bench.figure(benchmark, *side, linked_statically) {
                    Ok(value) if round > 0 => values.entry(*side).or_default().push(value),
                    Ok(_) => {}
                    Err(failure) => drop(failures.insert(*side, failure.to_string())),
                }
            }
        }
        let medians = values.into_iter().filter(|(side, _)| !failures.contains_key(side));
        let (goal_ratio, goal_over, goal_most) = match benchmark.goal {
            Goal::Ratio(ratio) => (Some(ratio), None, None),
            Goal::Over(over) => (None, Some(over), None),
            Goal::Most(most) => (None, None, Some(most)),
        };
        Self {
            name: format!("{}{}", benchmark.name, if linked_statically { " (static)" } else { "" }),
            unit: benchmark.unit().into(),
            goal_ratio,
            goal_over,
            goal_most,
            medians: medians.filter_map(|(side, all)| Some((side, median(all)?))).collect(),
            failures,
        }
    }
    fn print(&self, sides: &[Side]) {
        let mut line = format!("{:<28}", self.name);
        for side in sides {
            let _ = match (self.medians.get(side), self.ratio(*side)) {
                (Some(value), _) if *side == Side::Host => write!(line, "{value:>12.1} {:<4}", self.unit),
                (Some(value), Some(ratio)) => write!(line, "{value:>12.1} {ratio:>6.2}x"),
                _ => write!(line, "{:>12} {:>7}", "failed", ""),
            };
        }
        println!("{line}  goal {:<16} {}", self.goal(), self.verdict());
        for (side, why) in &self.failures {
            println!("    {}: {why}", side.name());
        }
    }
}

/// All rows.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    /// The processor and how many of it.
    pub machine: String,
    /// The host's kernel.
    pub kernel: String,
    /// Rounds behind each median.
    pub rounds: usize,
    /// What was measured.
    pub sides: Vec<Side>,
    /// The figures.
    pub rows: Vec<Row>,
}

fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
    let count = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{count} x {}", model.unwrap_or("unknown processor").trim())
}

impl Report {
    /// Measures every benchmark that `only` names (all, when it names none), printing each row as it is known.
    pub fn measure(bench: &Bench, only: &[String], link: Link) -> Self {
        let sides = &bench.sides;
        let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let mut report = Self {
            machine: machine(),
            kernel: kernel.trim().into(),
            rounds: bench.rounds,
            sides: sides.clone(),
            rows: Vec::new(),
        };
        for benchmark in suite::ALL {
            if !only.is_empty() && !only.iter().any(|part| benchmark.name.contains(part.as_str())) {
                continue;
            }
            if let Some(missing) = bench.lacks(benchmark) {
                println!("{:<28}skipped: {missing}", benchmark.name);
                continue;
            }
            let links: &[bool] = match (link, benchmark.kind) {
                (Link::Static, suite::RowKind::Call) => &[true],
                (Link::Both, suite::RowKind::Call) => &[false, true],
                _ => &[false],
            };
            for linked_statically in links {
                let row = Row::measure(bench, benchmark, sides, *linked_statically);
                row.print(sides);
                report.rows.push(row);
            }
        }
        report
    }

    /// The table for people.
    pub fn markdown(&self) -> String {
        let mut out = format!("{}, Linux {}, medians of {} rounds\n\n", self.machine, self.kernel, self.rounds);
        let others: Vec<_> = self.sides.iter().copied().filter(|side| *side != Side::Host).collect();
        let columns = |cell: &dyn Fn(Side) -> String| others.iter().map(|side| cell(*side)).collect::<String>();
        let heads = columns(&|side| format!(" {0} | {0} / host |", side.name()));
        let _ = writeln!(out, "| benchmark | host |{heads} goal | |");
        let _ = writeln!(out, "|---|---:|{}---|---|", columns(&|_| "---:|---:|".into()));
        for row in &self.rows {
            let value = |side: Side| row.medians.get(&side).map_or("-".into(), |v| format!("{v:.1} {}", row.unit));
            let ratio = |side: Side| row.ratio(side).map_or("-".into(), |r| format!("**{r:.2}**"));
            let cells = columns(&|side| format!(" {} | {} |", value(side), ratio(side)));
            let (name, host, goal, verdict) = (&row.name, value(Side::Host), row.goal(), row.verdict());
            let _ = writeln!(out, "| {name} | {host} |{cells} {goal} | {verdict} |");
        }
        out
    }
}
