//! `litebox cp`: files from and to a sandbox that runs, as `docker cp` copies them. A tar(1) in the sandbox packs or
//! unpacks what a pipe carries.
//!
//! What comes out of a sandbox is not trusted: nothing is written outside of the destination, owners and set-id bits
//! are not kept.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

use clap::Args;

use super::directory::is_name;
use super::piped::Piped;
use super::{record, status_of};

/// Bits of a mode that are not kept of what comes out: set-user-id, set-group-id.
const NOT_KEPT: u32 = 0o6000;

/// Options of `litebox cp`.
#[derive(Args)]
pub struct Options {
    /// NAME:PATH in a sandbox, a path of this machine, or - for a tar archive on stdin.
    source: PathBuf,
    /// Where to: likewise; - for a tar archive on stdout. An existing directory gets the source as an entry.
    destination: PathBuf,
}

/// `litebox cp`.
pub fn copy(options: &Options) -> u8 {
    status_of(perform(options).map(|()| String::new()).map_err(|why| format!("cp: {why}")))
}

fn perform(options: &Options) -> Result<(), String> {
    match (inside(&options.source), inside(&options.destination)) {
        (Some((name, path)), None) => fetch(&name, &path, &options.destination),
        (None, Some((name, path))) => send(&options.source, &name, &path),
        (Some(_), Some(_)) => Err("from one sandbox to another: copy to this machine first".into()),
        (None, None) => Err("neither source nor destination is in a sandbox (NAME:PATH)".into()),
    }
}

/// The sandbox and the path in it, if that is meant: what is before the colon is no path.
fn inside(path: &Path) -> Option<(String, PathBuf)> {
    let bytes = path.as_os_str().as_bytes();
    let at = bytes.iter().position(|b| *b == b':')?;
    let name = std::str::from_utf8(bytes.get(..at)?).ok().filter(|name| is_name(name))?;
    let rest = std::ffi::OsStr::from_bytes(bytes.get(at + 1..)?);
    // Paths in a sandbox are meant from its root.
    Some((name.into(), Path::new("/").join(rest)))
}

/// Whether a path ends so that its contents are meant, and not itself.
fn means_contents(path: &Path) -> bool {
    path.as_os_str().as_bytes().ends_with(b"/.")
}

/// Directory and name of a path.
fn parts(path: &Path) -> Result<(PathBuf, PathBuf), String> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok((parent.into(), name.into())),
        _ => Err(format!("{}: the root itself has no name (say /.)", path.display())),
    }
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// From the sandbox.
fn fetch(name: &str, source: &Path, destination: &Path) -> Result<(), String> {
    let (dir, entry) = if means_contents(source) { (source.into(), PathBuf::from(".")) } else { parts(source)? };
    let mut tar = Piped::start(name, &[b"tar", b"-C", bytes(&dir), b"-cf", b"-", b"--", bytes(&entry)], false)?;
    let taken = if destination == Path::new("-") {
        io::copy(&mut tar.output, &mut io::stdout()).map(drop).map_err(|e| e.to_string())
    } else {
        unpack(&mut tar.output, &entry, destination)
    };
    // Whoever packs is to see its end, and why it ended says more than what was found.
    let _ = io::copy(&mut tar.output, &mut io::sink());
    tar.finish().map_err(|why| format!("{name}:{}: {why}", source.display())).and(taken)
}

/// Unpacks an archive with one entry of that name and what is in it.
fn unpack(archive: &mut impl Read, entry: &Path, destination: &Path) -> Result<(), String> {
    let failed = |e: io::Error| format!("{}: {e}", destination.display());
    let mut archive = tar::Archive::new(archive);
    archive.set_preserve_permissions(true);
    archive.set_mask(NOT_KEPT);
    archive.set_overwrite(true);
    if entry == Path::new(".") {
        fs::create_dir_all(destination).map_err(failed)?;
        return archive.unpack(destination).map_err(failed);
    }
    if destination.is_dir() {
        return archive.unpack(destination).map_err(failed);
    }
    // Under another name: in a directory beside it first.
    if bytes(destination).ends_with(b"/") {
        return Err(format!("{}: no such directory", destination.display()));
    }
    let parent = destination.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let id = record::new_id().map_err(|e| e.to_string())?;
    let beside = parent.join(format!(".litebox-cp-{}", record::name_of(&id)));
    fs::DirBuilder::new().mode(0o700).create(&beside).map_err(failed)?;
    let unpacked = archive.unpack(&beside).and_then(|()| fs::rename(beside.join(entry), destination));
    let removed = fs::remove_dir_all(&beside);
    unpacked.and(removed).map_err(failed)
}

/// To the sandbox.
fn send(source: &Path, name: &str, destination: &Path) -> Result<(), String> {
    let is_directory = || {
        let test = Piped::start(name, &[b"test", b"-d", bytes(destination)], false)?;
        Ok::<bool, String>(test.finish().is_ok())
    };
    let contents = source == Path::new("-") || means_contents(source);
    let (dir, entry) = if contents || is_directory()? {
        let shown = fs::canonicalize(source).ok();
        let own = shown.as_deref().and_then(Path::file_name).map_or_else(|| PathBuf::from("."), PathBuf::from);
        (destination.to_path_buf(), if contents { PathBuf::from(".") } else { own })
    } else {
        parts(destination)?
    };
    if contents && source != Path::new("-") {
        Piped::start(name, &[b"mkdir", b"-p", b"--", bytes(&dir)], false)?.finish()?;
    }
    let words: [&[u8]; 6] = [b"tar", b"-C", bytes(&dir), b"--no-same-owner", b"-xf", b"-"];
    let mut tar = Piped::start(name, &words, true)?;
    let Some(mut input) = tar.input.take() else { return Err("no pipe".into()) };
    let sent = if source == Path::new("-") {
        io::copy(&mut io::stdin(), &mut input).map(drop)
    } else {
        pack(source, &entry, &mut input)
    };
    drop(input);
    let sent = sent.map_err(|e| format!("{}: {e}", source.display()));
    tar.finish().map_err(|why| format!("{name}:{}: {why}", destination.display())).and(sent)
}

/// Packs a file, or a directory with what is in it, under this name.
fn pack(source: &Path, entry: &Path, into: &mut File) -> io::Result<()> {
    let mut builder = tar::Builder::new(into);
    builder.follow_symlinks(false);
    let entry: PathBuf =
        entry.components().filter(|part| matches!(part, Component::Normal(_) | Component::CurDir)).collect();
    if fs::symlink_metadata(source)?.is_dir() {
        builder.append_dir_all(&entry, source)?;
    } else {
        builder.append_path_with_name(source, &entry)?;
    }
    builder.finish()
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::inside;

    #[test]
    fn a_path_in_a_sandbox_begins_with_its_name() {
        assert_eq!(inside(Path::new("web:/etc/x")), Some(("web".into(), PathBuf::from("/etc/x"))));
        assert_eq!(inside(Path::new("web:tmp")), Some(("web".into(), PathBuf::from("/tmp"))));
        assert!(["./web:x", "/a:b", "x", "-", ":x"].iter().all(|path| inside(Path::new(path)).is_none()));
    }
}
