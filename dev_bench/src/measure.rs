//! What is measured, and how.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::report::Row;

/// Why there are no figures.
pub type Failure = Box<dyn std::error::Error>;

/// The programs and where they run.
pub struct Bench {
    litebox: PathBuf,
    rounds: usize,
    dir: PathBuf,
}

/// One run: seconds, and what it printed.
struct Run {
    seconds: f64,
    stdout: String,
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn compile(dir: &Path, name: &str) -> Result<(), Failure> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests").join(name).with_extension("c");
    let mut command = Command::new("gcc");
    command.args(["-O2", "-static", "-pthread", "-D_GNU_SOURCE", "-o"]).arg(dir.join(name)).arg(source);
    if command.status()?.success() { Ok(()) } else { Err(format!("{name} does not compile").into()) }
}

/// KiB of a process and its descendants; what they share counts once (proportional set size).
fn tree_memory(top: u32) -> Result<f64, Failure> {
    let mut total = 0.0;
    let mut waiting = vec![top];
    while let Some(pid) = waiting.pop() {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).ok_or("no Pss")?;
        total += line.split_whitespace().next().unwrap_or("0").parse::<f64>()?;
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        waiting.extend(children.split_whitespace().filter_map(|word| word.parse::<u32>().ok()));
    }
    Ok(total)
}

impl Bench {
    /// Compiles the guests and makes the data.
    pub fn prepare(litebox: PathBuf, rounds: usize) -> Result<Self, Failure> {
        let dir = std::env::temp_dir().join(format!("litebox-bench-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        let bench = Self { litebox, rounds, dir };
        compile(&bench.dir, "hello")?;
        compile(&bench.dir, "calls")?;
        fs::write(bench.dir.join("large"), vec![0x5a; 256 << 20])?;
        Ok(bench)
    }

    fn timed(&self, mut command: Command) -> Result<Run, Failure> {
        command.current_dir(&self.dir).stdin(Stdio::null()).stderr(Stdio::inherit());
        let begin = Instant::now();
        let output = command.output()?;
        let seconds = begin.elapsed().as_secs_f64();
        if !output.status.success() || output.stdout.is_empty() {
            return Err(format!("{command:?}: {}, {} bytes of output", output.status, output.stdout.len()).into());
        }
        Ok(Run { seconds, stdout: String::from_utf8_lossy(&output.stdout).into_owned() })
    }

    fn on_host(&self, args: &[&str]) -> Result<Run, Failure> {
        let (program, rest) = args.split_first().ok_or("no program")?;
        let mut command = Command::new(program);
        command.args(rest);
        self.timed(command)
    }

    fn in_sandbox(&self, args: &[&str]) -> Result<Run, Failure> {
        let mut command = Command::new(&self.litebox);
        command.args(["run", "-v"]).arg(format!("{}:/bench:cow", self.dir.display()));
        command.args(["-w", "/bench", "--"]).args(args);
        self.timed(command)
    }

    /// Alternating rounds; the first of each side warms the caches and is left out.
    fn both(&self, rounds: usize, args: &[&str]) -> Result<(Vec<Run>, Vec<Run>), Failure> {
        let (mut host, mut sandbox) = (Vec::new(), Vec::new());
        for round in 0..=rounds {
            let pair = (self.on_host(args)?, self.in_sandbox(args)?);
            if round > 0 {
                host.push(pair.0);
                sandbox.push(pair.1);
            }
        }
        Ok((host, sandbox))
    }

    /// Start and end of a static program, and the memory it takes.
    pub fn hello(&self) -> Result<Vec<Row>, Failure> {
        let (host, sandbox) = self.both(self.rounds * 10, &["./hello"])?;
        let time = |runs: &[Run]| median(runs.iter().map(|run| run.seconds * 1e3).collect());
        let (host_time, sandbox_time) = (time(&host), time(&sandbox));
        let (host_memory, sandbox_memory) = self.resident()?;
        Ok(vec![
            Row {
                name: "hello".into(),
                unit: "ms",
                host: host_time,
                sandbox: sandbox_time,
                promise: Some(("at most 3 ms more", sandbox_time - host_time <= 3.0)),
            },
            Row {
                name: "hello_resident".into(),
                unit: "MiB",
                host: host_memory,
                sandbox: sandbox_memory,
                promise: Some(("at most 8 MiB more", sandbox_memory - host_memory <= 8.0)),
            },
        ])
    }

    /// MiB of memory of a program that waits, with all processes of its sandbox.
    fn resident(&self) -> Result<(f64, f64), Failure> {
        let mut command = Command::new(&self.litebox);
        command.args(["run", "-v"]).arg(format!("{}:/bench:cow", self.dir.display())).args(["-w", "/bench", "--"]);
        command.args(["./hello", "wait"]);
        let mut host = Command::new("./hello");
        host.arg("wait");
        Ok((self.resident_of(host)?, self.resident_of(command)?))
    }

    fn resident_of(&self, mut command: Command) -> Result<f64, Failure> {
        command.current_dir(&self.dir).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut line = String::new();
        let output = child.stdout.take().ok_or("no stdout")?;
        BufReader::new(output).read_line(&mut line)?;
        let memory = tree_memory(child.id());
        // Closing its stdin ends the program.
        drop(child.stdin.take());
        child.wait()?;
        if line.starts_with("hello") { Ok(memory? / 1024.0) } else { Err("hello did not start".into()) }
    }

    fn compute(&self, name: &str, args: &[&str]) -> Result<Vec<Row>, Failure> {
        let (host, sandbox) = self.both(self.rounds, args)?;
        let time = |runs: &[Run]| median(runs.iter().map(|run| run.seconds * 1e3).collect());
        let (host, sandbox) = (time(&host), time(&sandbox));
        let promise = Some(("within 2 %", sandbox <= host * 1.02));
        Ok(vec![Row { name: name.into(), unit: "ms", host, sandbox, promise }])
    }

    /// Hashing 256 MB.
    pub fn sha256sum(&self) -> Result<Vec<Row>, Failure> {
        self.compute("sha256sum_256mb", &["/usr/bin/sha256sum", "large"])
    }

    /// A loop of an interpreter.
    pub fn python_loop(&self) -> Result<Vec<Row>, Failure> {
        self.compute(
            "python_loop",
            &["/usr/bin/python3", "-c", "s = 0\nfor i in range(20_000_000): s += i * i\nprint(s)"],
        )
    }

    /// System calls one by one, timed by the program itself.
    pub fn calls(&self) -> Result<Vec<Row>, Failure> {
        let (host, sandbox) = self.both(self.rounds, &["./calls"])?;
        let figure = |run: &Run, name: &str| {
            let line = run.stdout.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.and_then(|word| word.parse::<f64>().ok())
        };
        let all = |runs: &[Run], name: &str| median(runs.iter().filter_map(|run| figure(run, name)).collect());
        let names = host.first().map(|run| run.stdout.clone()).unwrap_or_default();
        let names = names.lines().filter_map(|line| line.split(' ').next());
        Ok(names
            .map(|name| Row {
                name: name.into(),
                unit: "ns",
                host: all(&host, name),
                sandbox: all(&sandbox, name),
                promise: None,
            })
            .collect())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.dir));
    }
}
