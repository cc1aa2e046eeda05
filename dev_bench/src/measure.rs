//! Prepares programs and data, and runs commands on a side.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::Failure;
use crate::side::{self, Peers, Places, Side};
use crate::suite::{Benchmark, RowKind, WorkDir};

/// The programs, the data, and where they are.
pub struct Bench {
    litebox: PathBuf,
    /// Rounds of each benchmark.
    pub rounds: usize,
    /// Files in the trees of volumes.
    files: usize,
    /// What is measured.
    pub sides: Vec<Side>,
    places: Places,
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn compile(programs: &Path, name: &str, flags: &[&str], output: &str) -> Result<(), Failure> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("guests").join(name).with_extension("c");
    let mut command = Command::new("gcc");
    command.args(["-O2", "-pthread", "-D_GNU_SOURCE", "-o"]).arg(programs.join(output)).arg(source).args(flags);
    if command.status()?.success() { Ok(()) } else { Err(format!("{name}.c does not compile").into()) }
}

/// Whether there is a C library for 32-bit programs here.
fn compiles_32bit() -> bool {
    Path::new("/usr/lib32/libc.so").exists()
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

/// A C file of a thousand lines.
fn thousand_lines() -> String {
    let mut text = String::from("#include <stdio.h>\n");
    for i in 0..142 {
        let _ = write!(
            text,
            "static int f{i}(int a, int b) {{\n    int sum = 0;\n    for (int i = a; i < b; i++)\n        \
             sum += i * {i};\n    return sum;\n}}\nint g{i}(int a) {{ return f{i}(a, a + {i}); }}\n"
        );
    }
    text
}

fn inserts() -> String {
    let mut text = String::from("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, value REAL);\n");
    for batch in 0..50 {
        text.push_str("BEGIN;\n");
        for row in 0..1000 {
            let id = batch * 1000 + row;
            let _ = writeln!(text, "INSERT INTO t VALUES({id}, 'name {id}', {row}.5);");
        }
        text.push_str("COMMIT;\n");
    }
    text
}

/// So many files in one directory.
fn files(at: &Path, count: usize) -> Result<(), Failure> {
    fs::create_dir_all(at)?;
    for file in 0..count {
        fs::write(at.join(format!("file{file}")), format!("{file}\n"))?;
    }
    Ok(())
}

/// So many files, a hundred in each directory, as an archive.
fn archive(at: &Path, count: usize) -> Result<(), Failure> {
    let tree = at.with_extension("made");
    for dir in 0..count.div_ceil(100) {
        files(&tree.join(format!("dir{dir}")), 100)?;
    }
    let status = Command::new("tar").arg("-cf").arg(at).arg("-C").arg(&tree).arg(".").status()?;
    fs::remove_dir_all(&tree)?;
    if status.success() { Ok(()) } else { Err("tar failed".into()) }
}

/// Files of one of [`packages`].
const FILES_OF_PACKAGE: usize = 10;

/// So many packages as npm lays them out: a few small files in directories of their own, and links to programs.
fn packages(at: &Path, count: usize) -> Result<(), Failure> {
    let programs = at.join("node_modules/.bin");
    fs::create_dir_all(&programs)?;
    for package in 0..count {
        let name = if package % 4 == 0 {
            format!("@scope{}/package{package}", package % 20)
        } else {
            format!("package{package}")
        };
        let dir = at.join("node_modules").join(&name);
        for (part, count, bytes) in [("", 3, 1500), ("lib", 4, 4000), ("dist/esm", 2, 9000)] {
            fs::create_dir_all(dir.join(part))?;
            for file in 0..count {
                fs::write(dir.join(part).join(format!("file{file}.js")), vec![b'x'; bytes])?;
            }
        }
        std::os::unix::fs::symlink(format!("../{name}/file0.js"), programs.join(format!("program{package}")))?;
    }
    Ok(())
}

/// A repository with so many directories of a hundred files.
fn repository(at: &Path, directories: usize) -> Result<(), Failure> {
    for dir in 0..directories {
        files(&at.join(format!("dir{dir}")), 100)?;
    }
    let git = |args: &[&str]| -> Result<(), Failure> {
        let mut command = Command::new("git");
        command.arg("-C").arg(at).args(["-c", "user.name=bench", "-c", "user.email=bench@localhost"]).args(args);
        if command.stdout(Stdio::null()).status()?.success() { Ok(()) } else { Err("git failed".into()) }
    };
    git(&["init", "-q"])?;
    git(&["add", "."])?;
    git(&["commit", "-q", "-m", "all"])
}

impl Bench {
    /// Compiles the guests and makes the data.
    pub fn prepare(litebox: PathBuf, rounds: usize, files: usize, peers: Peers) -> Result<Self, Failure> {
        let name = format!("litebox-bench-{}", std::process::id());
        let disk = Path::new("/var/tmp").join(&name);
        let memory = Path::new("/dev/shm").join(&name);
        let places = Places {
            programs: disk.with_extension("programs"),
            volume: disk.with_extension("volume"),
            overlaid: disk.with_extension("overlaid"),
            i386: Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target").join("i386-programs"),
            disk,
            memory,
        };
        let bench = Self { litebox, rounds, files, sides: Side::with_peers(peers), places };
        let places = &bench.places;
        for dir in [&places.programs, &places.disk, &places.volume, &places.memory, &places.overlaid] {
            fs::create_dir_all(dir)?;
        }
        for name in ["hello", "calls", "scale", "net", "volume"] {
            compile(&places.programs, name, &[], name)?;
            compile(&places.programs, name, &["-static"], &format!("{name}-static"))?;
        }
        if compiles_32bit() {
            compile(&places.programs, "calls", &["-m32"], "calls-32")?;
        }
        Ok(bench)
    }

    /// What this machine lacks to measure it.
    pub fn lacks(&self, benchmark: &Benchmark) -> Option<&'static str> {
        match benchmark.kind {
            RowKind::Call32 if !compiles_32bit() => Some("no C library for 32-bit programs (gcc-multilib)"),
            RowKind::Whole32(_) if !self.places.i386.is_dir() => Some("no i386 programs (scripts/i386-programs.sh)"),
            _ => None,
        }
    }

    /// Makes what a benchmark reads, when it is not there yet.
    pub fn provide(&self, benchmark: &Benchmark) -> Result<(), Failure> {
        type Make<'m> = &'m dyn Fn(&Path) -> Result<(), Failure>;
        let made = |path: PathBuf, make: Make<'_>| if path.exists() { Ok(()) } else { make(&path) };
        let once = |name: &str, make: Make<'_>| made(self.places.disk.join(name), make);
        let on_volume = |name: &str, make: Make<'_>| made(self.places.volume.join(name), make);
        match benchmark.name {
            "sha256sum_256m" => once("large", &|path| Ok(fs::write(path, vec![0x5a; 256 << 20])?)),
            "gcc_1000_lines" => once("lines.c", &|path| Ok(fs::write(path, thousand_lines())?)),
            "sqlite_50k_inserts" => once("inserts.sql", &|path| Ok(fs::write(path, inserts())?)),
            "git_status_10k_files" => once("repository", &|path| repository(path, 100)),
            "rw_git_status" | "rw_git_commit" => on_volume("repository", &|path| repository(path, self.files / 100)),
            "rw_readdir" => on_volume("many", &|path| files(path, 10_000)),
            "rw_untar" | "rw_remove" => on_volume("tree.tar", &|path| archive(path, self.files * 3 / 2)),
            "rw_copy" => on_volume("packages", &|path| packages(path, self.files / FILES_OF_PACKAGE)),
            _ => Ok(()),
        }
    }

    /// The command for a 32-bit program, which finds its libraries by its interpreter.
    fn words32(&self, args: &[&str]) -> Vec<String> {
        let root = self.places.i386.display().to_string();
        let libraries = format!("{root}/lib/i386-linux-gnu:{root}/usr/lib/i386-linux-gnu");
        let interpreter = ["/lib/ld-linux.so.2", "--library-path", &libraries].map(str::to_owned);
        interpreter.into_iter().chain(args.iter().map(|word| word.replace('%', &root))).collect()
    }

    fn words(&self, args: &[&str]) -> Vec<String> {
        let word = |word: &&str| match word.strip_prefix('@') {
            Some(program) => self.program(program).display().to_string(),
            None => (*word).to_string(),
        };
        args.iter().map(word).collect()
    }

    /// Where a guest program is.
    pub fn program(&self, name: &str) -> PathBuf {
        self.places.programs.join(name)
    }

    /// The command that runs `args` on a side; `options` are those of `litebox run`.
    pub fn command(&self, side: Side, options: &[String], place: WorkDir, args: &[&str]) -> Command {
        let volume = &self.places.volume;
        let cwd = match place {
            WorkDir::Memory => self.places.memory_of(side),
            WorkDir::Disk => &self.places.disk,
            WorkDir::Volume => volume,
        };
        let mut options = options.to_vec();
        if place == WorkDir::Volume {
            options.extend(["-v".to_string(), format!("{0}:{0}:rw", volume.display())]);
        }
        side::command(side, &self.litebox, &self.places, &options, cwd, &self.words(args))
    }

    /// Runs a command to its end: milliseconds of wall time, and what it printed.
    pub fn run(&self, side: Side, place: WorkDir, args: &[&str]) -> Result<(f64, String), Failure> {
        self.run_with(side, &[], place, args)
    }

    /// The same with options of `litebox run`.
    pub fn run_with(
        &self,
        side: Side,
        options: &[String],
        place: WorkDir,
        args: &[&str],
    ) -> Result<(f64, String), Failure> {
        let mut command = self.command(side, options, place, args);
        command.stdin(Stdio::null());
        let begin = Instant::now();
        let output = command.output()?;
        let milliseconds = begin.elapsed().as_secs_f64() * 1e3;
        if !output.status.success() {
            let why = String::from_utf8_lossy(&output.stderr);
            let line = why.lines().next().unwrap_or_default();
            return Err(format!("{} on {}: {}: {line}", args.join(" "), side.name(), output.status).into());
        }
        Ok((milliseconds, String::from_utf8_lossy(&output.stdout).into_owned()))
    }

    /// One figure of a benchmark on a side.
    pub fn figure(&self, benchmark: &Benchmark, side: Side, linked_statically: bool) -> Result<f64, Failure> {
        let printed = |text: String| text.trim().parse::<f64>().map_err(|_| format!("no figure but {text:?}").into());
        let _ = fs::remove_file(self.places.disk.join("new.db"));
        match benchmark.kind {
            RowKind::Call => {
                let program = if linked_statically { "@calls-static" } else { "@calls" };
                let name = benchmark.name.trim_start_matches("cow_");
                printed(self.run(side, benchmark.place, &[program, name])?.1)
            }
            RowKind::Call32 => {
                let name = benchmark.name.trim_end_matches("_32");
                printed(self.run(side, benchmark.place, &["@calls-32", name])?.1)
            }
            RowKind::OnVolume => {
                let name = benchmark.name.trim_start_matches("rw_");
                printed(self.run(side, benchmark.place, &["@volume", name])?.1)
            }
            RowKind::Whole(args) => Ok(self.run(side, benchmark.place, args)?.0),
            RowKind::Whole32(args) => {
                let words = self.words32(args);
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                Ok(self.run(side, benchmark.place, &words)?.0)
            }
            RowKind::Printed(args) => printed(self.run(side, benchmark.place, args)?.1),
            RowKind::Leaving(what) => printed(self.leaving(side, what)?),
            RowKind::Coming { server, client, .. } => printed(self.coming(side, server, client)?),
            RowKind::Resident => self.resident(side),
        }
    }

    fn resident(&self, side: Side) -> Result<f64, Failure> {
        let mut command = self.command(side, &[], WorkDir::Memory, &["@hello", "wait"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        let output = child.stdout.take().ok_or("no stdout")?;
        BufReader::new(output).read_line(&mut line)?;
        let memory = tree_memory(child.id());
        // Closing its stdin ends the program.
        drop(child.stdin.take());
        child.wait()?;
        if line.starts_with("hello") { Ok(memory? / 1024.0) } else { Err("hello did not start".into()) }
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let places = &self.places;
        for dir in [&places.programs, &places.disk, &places.volume, &places.memory, &places.overlaid] {
            drop(fs::remove_dir_all(dir));
        }
    }
}
