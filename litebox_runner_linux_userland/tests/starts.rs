//! What a program asks for at its start is kept for its next one.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use litebox_test_support::{Failed, ProgramResult, Result, fresh_dir, litebox, program_result};

const LIMIT: Duration = Duration::from_secs(30);
/// Asks for a shell, its libraries, and two names, one of which is not there.
const SCRIPT: &str = "cat /etc/passwd; ls /etc/there-is-none 2>/dev/null; echo $?";

fn command(cache: &Path, options: &[&str]) -> Command {
    let mut command = litebox();
    command.env("XDG_CACHE_HOME", cache).arg("run").args(options).args(["--", "/bin/sh", "-c", SCRIPT]);
    command
}

fn start(cache: &Path, options: &[&str]) -> std::result::Result<ProgramResult, Failed> {
    let result = program_result::run(command(cache, options), b"", LIMIT)?;
    if result.status == 0 && result.err().is_empty() {
        Ok(result)
    } else {
        Err(format!("{options:?}: {result}").into())
    }
}

/// The files of the cache.
fn kept(cache: &Path) -> std::result::Result<Vec<PathBuf>, Failed> {
    match fs::read_dir(cache.join("litebox/starts")) {
        Ok(entries) => Ok(entries.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<_>>()?),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e.into()),
    }
}

fn only(cache: &Path) -> std::result::Result<PathBuf, Failed> {
    let mut files = kept(cache)?;
    match (files.pop(), files.is_empty()) {
        (Some(file), true) => Ok(file),
        other => Err(format!("not one file: {other:?}").into()),
    }
}

/// What was foreseen is not asked again: else the file would be written anew.
fn what_was_foreseen_is_not_asked() -> Result {
    let cache = fresh_dir("starts-foreseen")?;
    let first = start(&cache, &[])?;
    let file = only(&cache)?;
    let (inode, content) = (fs::metadata(&file)?.ino(), fs::read(&file)?);
    for _ in 0..3 {
        let again = start(&cache, &[])?;
        assert_eq!(again.out(), first.out());
    }
    let now = fs::metadata(only(&cache)?)?;
    assert_eq!((now.ino(), now.mode() & 0o777), (inode, 0o600));
    // One that foresees something else is replaced.
    fs::write(&file, content.get(..content.len() / 2).unwrap_or_default())?;
    start(&cache, &[])?;
    assert_ne!(fs::metadata(&file)?.ino(), inode);
    assert!(fs::read(&file)?.len() > content.len() / 2);
    Ok(())
}

/// Whatever lies there: the program finds what it finds without.
fn broken_and_hostile_files() -> Result {
    let cache = fresh_dir("starts-hostile")?;
    let truth = start(&cache, &[])?;
    let file = only(&cache)?;
    let good = fs::read(&file)?;
    let mut files = vec![Vec::new(), vec![0xff; 1 << 20], good[..good.len() - 1].to_vec(), [&good[..], &good].concat()];
    // Every field of a request, and its path, says something else somewhere.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..24 {
        let mut changed = good.clone();
        for _ in 0..4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (state >> 33) as usize % changed.len();
            changed[at] ^= 1 << ((state >> 20) % 8);
        }
        files.push(changed);
    }
    for bytes in files {
        fs::write(&file, &bytes)?;
        let result = start(&cache, &[])?;
        if result.out() != truth.out() {
            return Err(format!("{:?}: {}", bytes.get(..200), result.out()).into());
        }
    }
    // What is no file is not waited at, and not followed.
    fs::remove_file(&file)?;
    assert!(Command::new("mkfifo").arg(&file).status()?.success());
    assert_eq!(start(&cache, &[])?.out(), truth.out());
    fs::remove_file(&file)?;
    std::os::unix::fs::symlink("/dev/zero", &file)?;
    assert_eq!(start(&cache, &[])?.out(), truth.out());
    fs::remove_file(&file)?;
    fs::create_dir(&file)?;
    assert_eq!(start(&cache, &[])?.out(), truth.out());
    fs::remove_dir(&file)?;
    let none = cache.join("none");
    fs::write(&none, "")?;
    assert_eq!(start(&none, &[])?.out(), truth.out());
    Ok(())
}

/// What one start may see, the next one may not.
fn rights_are_those_of_this_start() -> Result {
    let cache = fresh_dir("starts-rights")?;
    assert!(start(&cache, &[])?.out().starts_with("root:"));
    start(&cache, &[])?;
    let file = only(&cache)?;
    let hidden = program_result::run(command(&cache, &["--hide", "/etc/passwd"]), b"", LIMIT)?;
    assert!(hidden.err().contains("No such file"), "{hidden}");
    assert!(!hidden.out().contains("root:"), "{hidden}");
    // And again what it may.
    assert!(start(&cache, &[])?.out().starts_with("root:"));
    assert_eq!(only(&cache)?, file);
    Ok(())
}

/// Several at once leave one file that is whole, and nothing else.
fn several_at_once() -> Result {
    let cache = fresh_dir("starts-at-once")?;
    let children: Vec<_> = (0..4).map(|_| command(&cache, &[]).spawn()).collect::<std::io::Result<_>>()?;
    for child in children {
        assert!(child.wait_with_output()?.status.success());
    }
    let inode = fs::metadata(only(&cache)?)?.ino();
    start(&cache, &[])?;
    assert_eq!(fs::metadata(only(&cache)?)?.ino(), inode);
    Ok(())
}

/// Nothing is kept where nobody wants it, or has a place for it.
fn nothing_is_kept_unasked() -> Result {
    let cache = fresh_dir("starts-none")?;
    start(&cache, &["--no-start-cache"])?;
    assert!(kept(&cache)?.is_empty());
    let mut homeless = command(Path::new("relative"), &[]);
    homeless.env_remove("HOME").current_dir(&cache);
    assert_eq!(program_result::run(homeless, b"", LIMIT)?.status, 0);
    assert!(kept(&cache.join("relative"))?.is_empty());
    Ok(())
}

/// As many as are of use, not more.
fn old_ones_are_forgotten() -> Result {
    let cache = fresh_dir("starts-many")?;
    start(&cache, &[])?;
    let (file, starts) = (only(&cache)?, cache.join("litebox/starts"));
    fs::remove_file(&file)?;
    for n in 0..300 {
        OpenOptions::new().write(true).create_new(true).open(starts.join(format!("old{n}")))?.write_all(b"x")?;
    }
    start(&cache, &[])?;
    assert_eq!(kept(&cache)?.len(), 128);
    assert!(file.exists());
    Ok(())
}

fn main() {
    litebox_test_support::run_table(&[
        ("what_was_foreseen_is_not_asked", what_was_foreseen_is_not_asked),
        ("broken_and_hostile_files", broken_and_hostile_files),
        ("rights_are_those_of_this_start", rights_are_those_of_this_start),
        ("several_at_once", several_at_once),
        ("nothing_is_kept_unasked", nothing_is_kept_unasked),
        ("old_ones_are_forgotten", old_ones_are_forgotten),
    ]);
}
