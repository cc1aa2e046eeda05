//! What the processes of a sandbox were doing that did not end in time: for each thread its state and, where its stack
//! can be read, the functions of the kernel whose return addresses are on it. A hang that happens once in a thousand
//! runs is not to happen in vain.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// Threads that are told of at most.
const MOST_THREADS: usize = 24;
/// Functions of one stack.
const MOST_FUNCTIONS: usize = 14;
/// Between two looks at what rests.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);
/// Bytes of a stack that are looked through.
const DEPTH: usize = 6 << 10;

/// A line for each thread of the descendants of `pid`.
pub fn describe(pid: u32) -> String {
    let mut report = String::new();
    let symbols = Symbols::of(pid);
    let threads =
        descendants(pid).into_iter().flat_map(|pid| entries(&format!("/proc/{pid}/task")).map(move |tid| (pid, tid)));
    for (pid, tid) in threads.take(MOST_THREADS) {
        let text = |name: &str| fs::read_to_string(format!("/proc/{pid}/task/{tid}/{name}")).unwrap_or_default();
        let state = text("stat").rsplit(") ").next().and_then(|rest| rest.split(' ').next().map(str::to_owned));
        let call = text("syscall");
        let stack = stack_pointer(&call).map(|sp| symbols.on_stack(pid, sp)).unwrap_or_default();
        let call: Vec<&str> = call.split_whitespace().take(3).collect();
        // Writing to a string does not fail.
        let _ = writeln!(
            report,
            "{pid} {tid} {} call {} | {}",
            state.unwrap_or_default(),
            call.join(" "),
            stack.join(" < ")
        );
    }
    report
}

/// The numbers that are names in a folder of /proc.
fn entries(folder: &str) -> impl Iterator<Item = u32> + use<> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten();
    names.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// `pid` and all processes below it.
pub fn descendants(pid: u32) -> Vec<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for child in entries("/proc") {
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        let parent = stat.rsplit(") ").next().and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
        children.entry(parent.unwrap_or(0)).or_default().push(child);
    }
    let mut found = vec![pid];
    let mut at = 0;
    while let Some(parent) = found.get(at) {
        found.extend(children.remove(parent).unwrap_or_default());
        at += 1;
    }
    found
}

/// How often each thread of `pid` and of its descendants was put to sleep or taken from a processor; `None` when one of
/// them runs, or waits for a disk.
fn at_rest(pid: u32) -> Option<BTreeMap<(u32, u32), String>> {
    let mut switches = BTreeMap::new();
    for pid in descendants(pid) {
        for tid in entries(&format!("/proc/{pid}/task")) {
            // One that has gone meanwhile is missing the next time.
            let status = fs::read_to_string(format!("/proc/{pid}/task/{tid}/status")).unwrap_or_default();
            let line = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
            if line("State:").starts_with(['R', 'D']) {
                return None;
            }
            let count = [line("voluntary_ctxt_switches:"), line("nonvoluntary_ctxt_switches:")].join(" ");
            switches.insert((pid, tid), count);
        }
    }
    Some(switches)
}

/// Waits until nothing more comes of what was done: `pid` and its descendants, all their threads, are asleep or
/// stopped, and none of them ran between two looks. `false`: not in time.
pub fn await_rest(pid: u32, patience: Duration) -> bool {
    let until = Instant::now() + patience;
    let mut before = None;
    while Instant::now() < until {
        let now = at_rest(pid);
        if now.is_some() && now == before {
            return true;
        }
        before = now;
        thread::sleep(BETWEEN_LOOKS);
    }
    false
}

/// The last but one word of /proc/PID/syscall.
fn stack_pointer(call: &str) -> Option<u64> {
    let word = call.split_whitespace().rev().nth(1)?;
    u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}

/// The functions of the program that `litebox` is, by their place in the file.
struct Symbols(BTreeMap<u64, String>);

impl Symbols {
    fn of(pid: u32) -> Self {
        let output = Command::new("nm").args(["-C", "--defined-only"]).arg(format!("/proc/{pid}/exe")).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let symbol = |line: &str| {
            let (at, rest) = line.split_once(' ')?;
            let (kind, name) = rest.split_once(' ')?;
            if !matches!(kind, "t" | "T") {
                return None;
            }
            Some((u64::from_str_radix(at, 16).ok()?, short(name)))
        };
        Self(text.lines().filter_map(symbol).collect())
    }

    /// The functions whose addresses lie on a stack, innermost first.
    fn on_stack(&self, pid: u32, sp: u64) -> Vec<String> {
        let Some((start, code)) = image(pid) else { return Vec::new() };
        let mut bytes = vec![0u8; DEPTH];
        let got = File::open(format!("/proc/{pid}/mem")).and_then(|memory| memory.read_at(&mut bytes, sp)).unwrap_or(0);
        let words = bytes.get(..got).unwrap_or_default().chunks_exact(8);
        let addresses =
            words.filter_map(|word| word.try_into().ok().map(u64::from_le_bytes)).filter(|at| code.contains(at));
        let mut names: Vec<String> =
            addresses.filter_map(|at| self.0.range(..at - start).next_back().map(|(_, name)| name.clone())).collect();
        names.dedup();
        names.truncate(MOST_FUNCTIONS);
        names
    }
}

/// Where the program of a process begins, and where its code lies.
fn image(pid: u32) -> Option<(u64, std::ops::Range<u64>)> {
    let exe = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let range = |line: &str| {
        let (start, end) = line.split(' ').next()?.split_once('-')?;
        Some((u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?))
    };
    let own = || {
        maps.lines().filter(|line| line.ends_with(exe.to_str().unwrap_or_default()) && Path::new(&exe).is_absolute())
    };
    let start = own().filter_map(range).map(|(start, _)| start).min()?;
    let code = own().filter(|line| line.contains("r-xp")).find_map(range)?;
    Some((start, code.0..code.1))
}

/// A name without what generics and impls add to it.
fn short(name: &str) -> String {
    let name = name.split("::h").next().unwrap_or(name);
    let mut plain = String::new();
    let mut depth = 0;
    for letter in name.chars() {
        match letter {
            '<' => depth += 1,
            '>' => depth -= 1,
            _ if depth == 0 => plain.push(letter),
            _ => {}
        }
    }
    let parts: Vec<&str> = plain.rsplit("::").take(2).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join("::")
}
