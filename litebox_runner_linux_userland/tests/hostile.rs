//! The boundary: a guest that owns its whole process, our code included, reaches nothing outside.
//!
//! `litebox run --test-hostile` tells the guest where the host-call gadget is; `guests/hostile.c` jumps to it. What may be
//! called is read from the table of `docs/security.md`, so that the page cannot promise less than the filter allows.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::compile::{self, Variant};
use common::{Entry, Outcome, Result, is_root, outcome, skip};
use libtest_mimic::Failed;

/// How a sandbox is started.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Plain,
    WithoutNamespaces,
    OrdinaryUser,
}

const REFUSED_STATUS: i32 = 159;
const LAST_NUMBER: u32 = 600;

/// Ends with the test, however it ends.
struct Canary(Child);

impl Drop for Canary {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What a sandbox needs, where an ordinary user may read it, and what must stay as it is.
struct Scene {
    dir: PathBuf,
    process: Canary,
}

impl Scene {
    fn set(name: &str) -> std::result::Result<Self, Failed> {
        use std::os::unix::fs::PermissionsExt;
        let dir = Path::new("/var/tmp").join(format!("litebox-hostile-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir)?;
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755))?;
        fs::copy(env!("CARGO_BIN_EXE_litebox"), dir.join("litebox"))?;
        fs::create_dir(dir.join("guests"))?;
        fs::copy(compile::guest("hostile.c", Variant::Static, &[])?, dir.join("guests/hostile"))?;
        fs::write(dir.join("canary"), "alive")?;
        let process = Canary(Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn()?);
        Ok(Self { dir, process })
    }

    fn run(&self, way: Way, args: &[&str]) -> std::io::Result<Outcome> {
        let program = self.dir.join("litebox");
        let mut command = if way == Way::OrdinaryUser {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]).arg(program);
            command
        } else {
            Command::new(program)
        };
        command.args(["run", "--test-hostile", "--timeout", "10s"]);
        if way == Way::WithoutNamespaces {
            command.arg("--test-no-namespaces");
        }
        command.arg("-v").arg(format!("{}:/guests:ro", self.dir.join("guests").display()));
        command.args(["-w", "/", "--", "/guests/hostile"]).args(args).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        outcome::run(command, b"", Duration::from_secs(20))
    }

    /// The file and the process outside are as they were.
    fn untouched(&mut self) -> Result {
        if fs::read(self.dir.join("canary"))? != b"alive" || self.process.0.try_wait()?.is_some() {
            return Err("the sandbox reached something outside".into());
        }
        Ok(())
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.dir));
    }
}

/// The numbers in the first column of the table of allowed calls: `| 0 | read | ...`.
fn allowed() -> std::result::Result<BTreeSet<u32>, Failed> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/security.md");
    let text = fs::read_to_string(page)?;
    let first = |line: &str| line.strip_prefix('|')?.split('|').next()?.trim().parse().ok();
    let numbers: BTreeSet<u32> = text.lines().filter_map(first).collect();
    if numbers.is_empty() || numbers.len() > 40 {
        return Err(format!("{} allowed calls in docs/security.md: expected 1 to 40", numbers.len()).into());
    }
    Ok(numbers)
}

/// What is wrong with the end of a sandbox whose guest made a refused call.
fn not_refused(outcome: &Outcome, number: u32) -> Option<String> {
    let (out, err) = (outcome.out(), outcome.err());
    let lines: Vec<&str> = err.lines().collect();
    let clear = lines.len() == 1 && lines.iter().all(|line| line.starts_with("litebox: refused host call"));
    let named = lines.iter().any(|line| line.contains(&format!("({number},")));
    if outcome.status == REFUSED_STATUS && clear && named && out == "ready\n" {
        return None;
    }
    Some(format!("call {number}: status {}, stdout {out:?}, stderr {err:?}", outcome.status))
}

fn refused_calls(name: &str, mode: &str, way: Way, numbers: impl Iterator<Item = u32>) -> Result {
    let mut scene = Scene::set(name)?;
    let mut wrong = Vec::new();
    for number in numbers {
        let outcome = scene.run(way, &[mode, &number.to_string()])?;
        wrong.extend(not_refused(&outcome, number));
        if wrong.len() >= 10 {
            break;
        }
    }
    scene.untouched()?;
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

fn every_number(name: &str, way: Way) -> Result {
    if common::host_only() {
        return Ok(());
    }
    if way == Way::OrdinaryUser && !is_root() {
        return skip("not root: the other tests run as an ordinary user");
    }
    let allowed = allowed()?;
    refused_calls(name, "64", way, (0..=LAST_NUMBER).filter(|number| !allowed.contains(number)))
}

fn refused_calls_plain() -> Result {
    every_number("plain", Way::Plain)
}

fn refused_calls_without_namespaces() -> Result {
    every_number("no-namespaces", Way::WithoutNamespaces)
}

fn refused_calls_as_ordinary_user() -> Result {
    every_number("user", Way::OrdinaryUser)
}

/// No number is allowed through the entries of other architectures.
fn i386_entry() -> Result {
    if common::host_only() { Ok(()) } else { refused_calls("i386", "i386", Way::Plain, 0..=LAST_NUMBER) }
}

fn x32_entry() -> Result {
    if common::host_only() { Ok(()) } else { refused_calls("x32", "x32", Way::Plain, 0..=LAST_NUMBER) }
}

/// Allowed calls with arguments that the filter must refuse.
const REFUSED_ATTACKS: &[&str] =
    &["clone-newuser", "clone-newns", "clone-newpid", "tiocsti", "tiocsti-wide", "prctl-dumpable", "prctl-ptracer"];
/// What a hostile program may do to itself: it may die of it, and that is all.
const HARMLESS_ATTACKS: &[&str] = &[
    "read-descriptors",
    "map-over-kernel",
    "unmap-kernel",
    "wide-number",
    "fake-frame",
    "trap-flag",
    "direction-flag",
    "alignment-check",
    "mxcsr",
    "gs",
    "stack",
];

fn attacks() -> Result {
    if common::host_only() {
        return Ok(());
    }
    let mut scene = Scene::set("attacks")?;
    let mut wrong = Vec::new();
    for way in [Way::Plain, Way::WithoutNamespaces, Way::OrdinaryUser] {
        if way == Way::OrdinaryUser && !is_root() {
            continue;
        }
        for name in REFUSED_ATTACKS {
            let outcome = scene.run(way, &["attack", name])?;
            if outcome.status != REFUSED_STATUS || !outcome.err().starts_with("litebox: refused host call") {
                wrong.push(format!("{name}: {outcome}"));
            }
        }
        for name in HARMLESS_ATTACKS {
            let outcome = scene.run(way, &["attack", name])?;
            let reached = outcome.out().contains("descriptor ") || outcome.timed_out || outcome.status == 124;
            if reached || !outcome.out().starts_with("ready\n") {
                wrong.push(format!("{name}: {outcome}"));
            }
        }
    }
    scene.untouched()?;
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

const TESTS: &[Entry] = &[
    ("refused_calls_plain", refused_calls_plain),
    ("refused_calls_without_namespaces", refused_calls_without_namespaces),
    ("refused_calls_as_ordinary_user", refused_calls_as_ordinary_user),
    ("i386_entry", i386_entry),
    ("x32_entry", x32_entry),
    ("attacks", attacks),
];

fn main() {
    common::run_table(TESTS);
}
