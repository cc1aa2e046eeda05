//! Volumes that others change while the sandbox looks at them: what it remembers is never of before.
//!
//! One program acts on the host, and the same in two processes of a sandbox, on one tree. Each does what it is told and
//! says so; after each change one in the sandbox looks, and sees what the host sees. `LITEBOX_VOLUME_TRIES` says how
//! often, `LITEBOX_VOLUME_SEED` what.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use litebox_test_support::compile::{self, Variant};
use litebox_test_support::{Result, fresh_dir, litebox, skip};

/// A program that does what it is told.
struct Actor {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Actor {
    fn start(mut command: Command) -> std::io::Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn()?;
        let (orders, answers) = (child.stdin.take(), child.stdout.take());
        let missing = || std::io::Error::other("no pipe");
        Ok(Self { child, orders: orders.ok_or_else(missing)?, answers: BufReader::new(answers.ok_or_else(missing)?) })
    }
    fn does(&mut self, process: usize, order: &str) -> std::io::Result<String> {
        writeln!(self.orders, "{process} {order}")?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        if answer.is_empty() { Err(std::io::Error::other("the actor has ended")) } else { Ok(answer) }
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Numbers that look random (xorshift).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }
    fn path(&mut self) -> String {
        const DIRECTORIES: [&str; 6] = ["", "d1/", "d2/", "d1/e/", "d1/e/f/", "d2/e/"];
        const NAMES: [&str; 7] = ["a", "b", "c", "d1", "d2", "e", "f"];
        format!("{}{}", DIRECTORIES[self.roll(DIRECTORIES.len())], NAMES[self.roll(NAMES.len())])
    }
    fn change(&mut self) -> String {
        let (a, b, n) = (self.path(), self.path(), self.roll(1000));
        match self.roll(24) {
            0..=2 => format!("create {a} new{n}"),
            3 => format!("put {a} put{n}"),
            4 | 5 => format!("append {a} more{n}"),
            6 => format!("truncate {a} {n}"),
            7 => format!("chmod {a} {}", [600, 644, 755, 640][n % 4]),
            8 => format!("touch {a} {}", 1_000_000_000 + n),
            9 => format!("setxattr {a} {n}"),
            10..=12 => format!("rename {a} {b}"),
            13 => format!("exchange {a} {b}"),
            14 => format!("link {a} {b}"),
            15 => format!("symlink {a} to{n}"),
            16..=18 => format!("mkdir {a}"),
            19 => format!("rmdir {a}"),
            20 => format!("unlink {a}"),
            21 => format!("hold {a}"),
            22 => format!("write_held held{n}"),
            _ => format!("chmod_held {}", [600, 644, 755][n % 3]),
        }
    }
    fn look(&mut self) -> String {
        let path = self.path();
        match self.roll(8) {
            0 => format!("list {}", path.rsplit_once('/').map_or(".", |(dir, _)| dir)),
            1 => format!("list {path}"),
            _ => format!("look {path}"),
        }
    }
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn in_sandbox(actor: &Path, dir: &Path) -> Command {
    let mut command = litebox();
    let at = |path: &Path, inside: &str, how: &str| format!("{}:{inside}:{how}", path.display());
    command.args(["run", "-w", "/box", "-v", &at(dir, "/box", "rw")]);
    command.args(["-v", &at(actor.parent().unwrap_or(actor), "/guests", "ro"), "--"]);
    command.arg(Path::new("/guests").join(actor.file_name().unwrap_or_default()));
    command
}

/// Changes and looks, compared after each.
fn never_of_before(name: &str, foreign: bool, tries: u64) -> Result {
    if !compile::have(Variant::Static.compiler()) {
        return skip("no compiler on this machine");
    }
    let actor = {
        // Tests of one process compile it to one place.
        static COMPILING: Mutex<()> = Mutex::new(());
        let _turn = COMPILING.lock().unwrap_or_else(PoisonError::into_inner);
        compile::guest("volume_actor.c", Variant::Static, &[])?
    };
    let dir = fresh_dir(name)?;
    let mut on_host = Command::new(&actor);
    on_host.current_dir(&dir);
    let (mut host, mut sandbox) = (Actor::start(on_host)?, Actor::start(in_sandbox(&actor, &dir))?);
    let seed = number("LITEBOX_VOLUME_SEED", 0x9e37_79b9_7f4a_7c15);
    let mut dice = Dice(seed);
    let mut last = VecDeque::new();
    for turn in 0..tries {
        // Looks at nothing new make it look in memory alone, and looks at everything bring all names at once.
        match dice.roll(24) {
            0 | 1 => drop(sandbox.does(dice.roll(2), "stare .")?),
            2 => drop(sandbox.does(dice.roll(2), "walk .")?),
            _ => {}
        }
        let change = dice.change();
        let who = dice.roll(if foreign { 4 } else { 2 });
        let came = if who >= 2 { host.does(who - 2, &change)? } else { sandbox.does(who, &change)? };
        last.push_back(format!("{} {who}: {change}: {}", if who >= 2 { "host" } else { "sandbox" }, came.trim_end()));
        for _ in 0..dice.roll(4) {
            let (look, who) = (dice.look(), dice.roll(2));
            let (seen, is) = (sandbox.does(who, &look)?, host.does(0, &look)?);
            last.push_back(format!("sandbox {who}: {look}: {}", seen.trim_end()));
            if seen != is {
                let steps: Vec<String> = last.into();
                return Err(format!("seed {seed}, turn {turn}: {}\nin truth {is}", steps.join("\n")).into());
            }
        }
        while last.len() > 60 {
            last.pop_front();
        }
    }
    Ok(())
}

fn changes_of_others_are_seen() -> Result {
    never_of_before("volumes-foreign", true, number("LITEBOX_VOLUME_TRIES", 3000))
}

fn own_changes_are_seen() -> Result {
    never_of_before("volumes-own", false, number("LITEBOX_VOLUME_TRIES", 3000))
}

fn main() {
    litebox_test_support::run_table(&[
        ("changes_of_others_are_seen", changes_of_others_are_seen),
        ("own_changes_are_seen", own_changes_are_seen),
    ]);
}
