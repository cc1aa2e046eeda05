//! What the documentation says of the sources is true: every lock is in `docs/locks.md`, lines are short enough to be
//! read, layers use those below them.

#[path = "documentation/modules.rs"]
mod modules;
#[path = "documentation/sleeps.rs"]
mod sleeps;

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use litebox_test_support::{NamedTest, Result};

use modules::{Modules, shown};

/// The top of the repository.
const TOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// The crates that run in the sandbox, and share its locks.
const KERNEL: [&str; 3] = ["litebox", "litebox_shim_linux", "litebox_platform_linux_userland"];
/// Longest line of a page or a comment.
const WIDTH: usize = 120;

/// Files below `dir` whose names end so, in order.
fn files(dir: &Path, ending: &str, into: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    found.sort();
    for path in found {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                files(&path, ending, into)?;
            }
        } else if name.ends_with(ending) {
            into.push(path);
        }
    }
    Ok(())
}

fn sources(of: impl IntoIterator<Item = &'static str>) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for name in of {
        files(&Path::new(TOP).join(name).join("src"), ".rs", &mut found)?;
    }
    Ok(found)
}

/// Whether a type holds a lock of its own.
fn is_lock(kind: &str) -> bool {
    !kind.trim_start().starts_with('&') && ["Mutex<", "RwLock<"].iter().any(|lock| kind.contains(lock))
}

/// `pub(crate) name: Kind,` as name and kind.
fn field(line: &str) -> Option<(&str, &str)> {
    let line = line.trim().trim_end_matches(',');
    let line = line.strip_prefix("pub").map_or(line, |rest| {
        let rest = rest.trim_start();
        rest.strip_prefix('(').and_then(|rest| rest.split_once(')')).map_or(rest, |(_, rest)| rest).trim_start()
    });
    let (name, kind) = line.split_once(": ")?;
    name.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_').then_some((name, kind))
}

/// The name of the struct that a line begins, and what follows it.
fn structure(line: &str) -> Option<(&str, &str)> {
    let (before, rest) = line.trim_start().split_once("struct ")?;
    if !before.is_empty() && !before.starts_with("pub") {
        return None;
    }
    let end = rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(rest.len());
    Some(rest.split_at(end))
}

/// The locks of a source as the page names them: `Structure::field`, or `Structure` for one without fields' names.
fn locks(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut inside = None;
    for line in source.lines().take_while(|line| !line.starts_with("mod tests {")) {
        if line.trim_start().starts_with("//") {
            continue;
        }
        if let Some((name, rest)) = structure(line) {
            if rest.starts_with('(') && is_lock(rest) {
                found.push(name.to_owned());
            }
            inside = rest.ends_with('{').then_some(name);
        } else if line.starts_with('}') {
            inside = None;
        } else if let Some((name, (field, kind))) = inside.zip(field(line)) {
            if is_lock(kind) {
                found.push(format!("{name}::{field}"));
            }
        }
    }
    found
}

fn every_lock_is_in_the_page() -> Result {
    let page = fs::read_to_string(Path::new(TOP).join("docs/locks.md"))?;
    let named: BTreeSet<&str> =
        page.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_' && letter != ':').collect();
    let mut missing = Vec::new();
    let mut count = 0;
    for path in sources(KERNEL)? {
        // The locks themselves, and what only tests use.
        if ["sync", "mock.rs", "tests.rs"].iter().any(|part| path.iter().any(|name| name == *part)) {
            continue;
        }
        let all = locks(&fs::read_to_string(&path)?);
        count += all.len();
        let shown = path.strip_prefix(TOP).unwrap_or(&path).display();
        missing
            .extend(all.iter().filter(|name| !named.contains(name.as_str())).map(|name| format!("{name} ({shown})")));
    }
    if count < 100 {
        return Err(
            format!("only {count} locks were found in the sources: this test does not read them any more").into()
        );
    }
    if missing.is_empty() { Ok(()) } else { Err(format!("not in docs/locks.md:\n{}", missing.join("\n")).into()) }
}

/// Whether a line of a page is prose: no row of a table, no code that is shown.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    page.lines().filter(move |line| {
        fenced ^= line.trim_start().starts_with("```");
        !fenced && !line.trim_start().starts_with('|')
    })
}

fn lines_are_short() -> Result {
    let (mut pages, mut sources) = (Vec::new(), Vec::new());
    files(Path::new(TOP), ".md", &mut pages)?;
    for ending in [".rs", ".c", ".h"] {
        files(Path::new(TOP), ending, &mut sources)?;
    }
    let is_long = |line: &&str| line.chars().count() > WIDTH;
    let mut too_long = Vec::new();
    for path in &pages {
        let page = fs::read_to_string(path)?;
        too_long.extend(prose(&page).filter(is_long).map(|line| format!("{}: {line}", path.display())));
    }
    for path in &sources {
        let source = fs::read_to_string(path)?;
        let comments = source.lines().filter(|line| line.trim_start().starts_with("//"));
        too_long.extend(comments.filter(is_long).map(|line| format!("{}: {line}", path.display())));
    }
    if !too_long.is_empty() {
        let lines = too_long.join("\n");
        return Err(format!("more than {WIDTH} characters (scripts/wrap.py FILE wraps them):\n{lines}").into());
    }
    Ok(())
}

/// How many lines the page of the architecture may have: a newcomer reads all of it.
const ARCHITECTURE_LINES: usize = 200;

fn architecture_is_one_read() -> Result {
    let lines = fs::read_to_string(Path::new(TOP).join("docs/architecture.md"))?.lines().count();
    if lines > ARCHITECTURE_LINES {
        return Err(format!("docs/architecture.md has {lines} lines: give a part a page of its own").into());
    }
    Ok(())
}

/// The targets of a page's links, `[text](target)`.
fn links(page: &str) -> impl Iterator<Item = &str> {
    page.split("](").skip(1).filter_map(|rest| rest.split_once(')').map(|(target, _)| target))
}

fn links_lead_somewhere() -> Result {
    let mut pages = Vec::new();
    files(Path::new(TOP), ".md", &mut pages)?;
    let (mut followed, mut broken) = (0, Vec::new());
    for path in &pages {
        let page = fs::read_to_string(path)?;
        let folder = path.parent().unwrap_or(path);
        for target in links(&page).filter(|target| !target.contains("://")) {
            let file = target.split('#').next().unwrap_or(target);
            followed += 1;
            if !file.is_empty() && !folder.join(file).exists() {
                broken.push(format!("{}: {target}", path.display()));
            }
        }
    }
    println!("{followed} links inside the repository");
    if broken.is_empty() { Ok(()) } else { Err(format!("lead nowhere:\n{}", broken.join("\n")).into()) }
}

/// How many files the largest circle of each crate may have, with room for a few more. Who makes one smaller lowers its
/// number.
const CIRCLES: &[(&str, usize)] = &[
    ("litebox_protocol", 0),
    ("litebox_layer", 0),
    ("litebox_common_linux", 20),
    ("litebox_syscall_rewriter", 2),
    ("litebox", 25),
    ("litebox_shim_linux", 60),
    ("litebox_platform_linux_userland", 20),
    ("litebox_broker", 9),
    ("litebox_runner_linux_userland", 22),
];

fn circles_do_not_grow() -> Result {
    let mut report = Vec::new();
    for &(name, most) in CIRCLES {
        let modules = Modules::of(&Path::new(TOP).join(name).join("src"))?;
        let circles = modules.circles();
        let largest = circles.first().map_or(0, Vec::len);
        println!("{name}: {} files, {largest} in the largest circle", modules.count());
        if largest > most {
            report.push(format!("{name}: {largest} files use each other in a circle: {}", circles[0].join(" ")));
        }
    }
    if report.is_empty() { Ok(()) } else { Err(report.join("\n").into()) }
}

/// The layers of the platform: each uses those before it. `entry` and `thread` are one, and `sandbox` sets all up.
const LAYERS: [&[&str]; 5] = [&["host"], &["memory"], &["entry", "thread"], &["process"], &["sandbox"]];
fn layers_of_the_platform_use_those_below() -> Result {
    let modules = Modules::of(&Path::new(TOP).join("litebox_platform_linux_userland/src"))?;
    let layer = |module: &[String]| {
        LAYERS.iter().position(|names| names.iter().any(|name| module.first().is_some_and(|first| first == name)))
    };
    let mut upward = Vec::new();
    for (from, uses) in modules.uses() {
        for to in uses {
            if layer(from).zip(layer(to)).is_some_and(|(from, to)| from < to) {
                upward.push(format!("{} uses {}", shown(from), shown(to)));
            }
        }
    }
    if upward.is_empty() { Ok(()) } else { Err(format!("a higher layer is used:\n{}", upward.join("\n")).into()) }
}

const TESTS: &[NamedTest] = &[
    ("every_lock_is_in_the_page", every_lock_is_in_the_page),
    ("lines_are_short", lines_are_short),
    ("architecture_is_one_read", architecture_is_one_read),
    ("links_lead_somewhere", links_lead_somewhere),
    ("circles_do_not_grow", circles_do_not_grow),
    ("fixed_sleeps_are_reasoned", sleeps::are_reasoned),
    ("layers_of_the_platform_use_those_below", layers_of_the_platform_use_those_below),
];

fn main() {
    litebox_test_support::run_table(TESTS);
}
