//! Homes: what nobody gives away by standing in it.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// One line of /etc/passwd: user id and home.
struct Entry {
    uid: u32,
    home: PathBuf,
}

fn entries() -> Vec<Entry> {
    let text = fs::read("/etc/passwd").unwrap_or_default();
    let entry = |line: &[u8]| {
        let mut fields = line.split(|b| *b == b':').skip(2);
        let uid = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        let home = fields.nth(2)?;
        let home = PathBuf::from(std::ffi::OsStr::from_bytes(home));
        (home.is_absolute() && home.components().count() > 1).then_some(Entry { uid, home })
    };
    text.split(|b| *b == b'\n').filter_map(entry).collect()
}

fn of_environment() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute() && home.components().count() > 1)
}

fn of_caller(entries: &[Entry]) -> Option<PathBuf> {
    let uid = rustix::process::getuid().as_raw();
    entries.iter().find(|entry| entry.uid == uid).map(|entry| entry.home.clone())
}

/// The caller's home: $HOME, or what the passwd database says.
pub fn own() -> Option<PathBuf> {
    of_environment().or_else(|| of_caller(&entries()))
}

/// Directories that hold more than one user or program keeps together.
const NEVER: [&str; 8] = ["/home", "/root", "/var", "/run", "/var/lib", "/var/cache", "/var/spool", "/var/log"];
/// Those of them that hold homes.
const HOMES: [&str; 2] = ["/home", "/root"];

/// Why `dir`, where somebody stands, is not given to the sandbox unasked; `None`: it is.
pub fn why_withheld(dir: &Path) -> Option<String> {
    if dir == Path::new("/") {
        return Some("the root of the file system".into());
    }
    let entries = entries();
    let own = [of_environment(), of_caller(&entries)].into_iter().flatten();
    // Where a link leads counts: the current directory is told without links.
    let real = |home: PathBuf| fs::canonicalize(&home).unwrap_or(home);
    let own: Vec<PathBuf> = own.flat_map(|home| [home.clone(), real(home)]).collect();
    if own.iter().any(|home| home == dir) {
        return Some("your home".into());
    }
    if own.iter().any(|home| home.starts_with(dir)) {
        return Some("above your home".into());
    }
    if NEVER.iter().any(|never| Path::new(never) == dir) {
        let homes = HOMES.iter().any(|homes| Path::new(homes) == dir);
        return Some(if homes { "a place of homes" } else { "the system's own" }.into());
    }
    let someones = dir.parent() == Some(Path::new("/home")) || entries.iter().any(|entry| entry.home == dir);
    someones.then(|| "somebody's home".into())
}
