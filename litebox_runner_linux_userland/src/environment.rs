//! The environment of the program: PATH, HOME, TERM, LANG, and what the user names.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use crate::mounts::{self, tools::Tools};
use crate::options::Options;

/// Where programs are looked for, and the guest's PATH.
const SEARCH_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables, each with its value.
type Variables = Vec<(Vec<u8>, Vec<u8>)>;

/// The whole environment, each as `K=V`.
pub fn environment(options: &Options, tools: &Tools) -> Result<Vec<Vec<u8>>, String> {
    let inherited = |name: &str, default: &str| std::env::var_os(name).unwrap_or_else(|| default.into()).into_vec();
    let mut all: Variables = vec![
        (b"PATH".to_vec(), path(tools)),
        (b"HOME".to_vec(), mounts::HOME.into()),
        (b"TERM".to_vec(), inherited("TERM", "dumb")),
        (b"LANG".to_vec(), inherited("LANG", "C.UTF-8")),
    ];
    all.extend(tools.variables.iter().cloned());
    for file in &options.process.env_file {
        read_file(&mut all, file)?;
    }
    for item in &options.process.env {
        check_meant(item, options.debug.traces())?;
        set(&mut all, item).map_err(|why| format!("-e {}: {why}", item.to_string_lossy()))?;
    }
    Ok(all.into_iter().map(|(key, value)| [key, value].join(&b'=')).collect())
}

/// Variables to be put over those of a program that runs: those of the files, then those named. Each is `K=V`.
pub fn changes(named: &[OsString], files: &[std::path::PathBuf]) -> Result<Vec<Vec<u8>>, String> {
    let mut all = Variables::new();
    for file in files {
        read_file(&mut all, file)?;
    }
    for item in named {
        set(&mut all, item).map_err(|why| format!("-e {}: {why}", item.to_string_lossy()))?;
    }
    Ok(all.into_iter().map(|(key, value)| [key, value].join(&b'=')).collect())
}

/// PATH, with the programs of toolchains first.
fn path(tools: &Tools) -> Vec<u8> {
    let own = tools.programs.iter().map(|dir| dir.as_os_str().as_bytes());
    own.chain([SEARCH_PATH.as_bytes()]).collect::<Vec<_>>().join(&b':')
}

/// Whether a variable is among those that the user names.
pub fn is_given(options: &Options, name: &str) -> bool {
    let named = |item: &OsString| item.as_bytes().split(|b| *b == b'=').next() == Some(name.as_bytes());
    options.process.env.iter().any(named) || !options.process.env_file.is_empty()
}

/// Where programs are looked for: PATH as the guest has it.
pub fn search_path(environment: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let path = environment.iter().find_map(|item| item.strip_prefix(b"PATH=")).unwrap_or(SEARCH_PATH.as_bytes());
    path.split(|&b| b == b':').map(|dir| if dir.is_empty() { b".".to_vec() } else { dir.to_vec() }).collect()
}

/// `K=V`, or `K` for the caller's value; a variable that the caller has not is none.
fn set(all: &mut Variables, item: &OsStr) -> Result<(), &'static str> {
    let bytes = item.as_bytes();
    let equals = bytes.iter().position(|&b| b == b'=');
    let (key, value) = match equals.map(|at| bytes.split_at(at)) {
        Some(([], _)) => return Err("no name before the ="),
        Some((key, value)) => (key.to_vec(), value.get(1..).unwrap_or_default().to_vec()),
        None if bytes.is_empty() => return Err("no name"),
        None => match std::env::var_os(item) {
            Some(value) => (bytes.to_vec(), value.into_vec()),
            None => return Ok(()),
        },
    };
    if key.iter().any(u8::is_ascii_whitespace) {
        return Err("a name has no spaces");
    }
    all.retain(|(k, _)| *k != key);
    all.push((key, value));
    Ok(())
}

/// strace(1)'s own -e beside `--strace` is a mistake.
fn check_meant(item: &OsStr, traced: bool) -> Result<(), String> {
    const QUALIFIERS: [&str; 9] =
        ["trace", "signal", "status", "abbrev", "verbose", "raw", "fault", "inject", "decode-fds"];
    let shown = item.to_string_lossy();
    let Some((key, _)) = shown.split_once('=') else { return Ok(()) };
    if traced && QUALIFIERS.contains(&key) {
        return Err(format!("-e {shown}: -e sets an environment variable; --strace=CALLS names calls"));
    }
    Ok(())
}

/// `--env-file`: a variable a line, as `docker run` reads it: nothing is quoted, and what is behind the = is the value.
fn read_file(all: &mut Variables, file: &Path) -> Result<(), String> {
    let failed = |why: String| format!("--env-file {}: {why}", file.display());
    let text = std::fs::read(file).map_err(|e| failed(e.to_string()))?;
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    for (number, line) in (1..).zip(text.split(|b| *b == b'\n')) {
        let line = line.strip_suffix(b"\r").unwrap_or(line).trim_ascii_start();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        if line.contains(&0) {
            return Err(failed(format!("line {number}: a zero byte")));
        }
        set(all, OsStr::from_bytes(line)).map_err(|why| failed(format!("line {number}: {why}")))?;
    }
    Ok(())
}
