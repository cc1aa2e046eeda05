//! What a user names of the host and of memory: `-v`, `--mount` and `--tmpfs`, as they type it.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use litebox_broker::Access;

use super::home;
use crate::limits::parse_size;

/// From where relative paths are meant.
#[derive(Clone, Debug)]
pub struct Bases {
    /// On the host.
    pub host: PathBuf,
    /// In the sandbox.
    pub sandbox: PathBuf,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A file or directory of the host; made when it is missing, if that is wanted.
    Host { path: PathBuf, create: bool },
    /// A directory that LiteBox keeps under this name.
    Kept(String),
    /// An empty file system in memory; permissions of its root, and most bytes (0: no limit).
    Memory { permissions: u32, size: u64 },
}

/// Something to be mounted in the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The option and its value, as typed.
    pub typed: String,
    pub what: What,
    pub to: PathBuf,
    pub access: Access,
    /// Nothing in it is executed.
    pub no_exec: bool,
    /// Devices in it are not opened.
    pub no_dev: bool,
}

fn path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

/// Words behind the places of a volume.
#[derive(Clone, Copy, Default)]
struct Words {
    access: Option<Access>,
    create: bool,
    no_exec: bool,
    no_dev: bool,
}

impl Words {
    /// The volume that they say this of.
    fn volume(self, typed: String, what: What, to: PathBuf) -> Volume {
        let Self { access, no_exec, no_dev, .. } = self;
        Volume { typed, what, to, access: access.unwrap_or(Access::ReadWrite), no_exec, no_dev }
    }
    /// Takes a list of words separated by commas; `false`: it holds something else.
    fn take(&mut self, list: &[u8]) -> bool {
        let mut next = *self;
        for word in list.split(|b| *b == b',') {
            match word {
                b"ro" | b"readonly" => next.access = Some(Access::ReadOnly),
                b"rw" => next.access = Some(Access::ReadWrite),
                b"cow" => next.access = Some(Access::CopyOnWrite),
                b"create" => next.create = true,
                b"noexec" => next.no_exec = true,
                b"nodev" => next.no_dev = true,
                b"dev" => next.no_dev = false,
                b"exec" => next.no_exec = false,
                // What `docker run` takes for its labels, caches and propagation: there is nothing of that here.
                b"z" | b"Z" | b"U" | b"cached" | b"delegated" | b"consistent" | b"default" | b"nocopy" | b"nosuid"
                | b"private" | b"rprivate" | b"shared" | b"rshared" | b"slave" | b"rslave" => {}
                _ => return false,
            }
        }
        *self = next;
        true
    }
}

/// `-v SRC[:DST][:ro|rw|cow|create]`.
pub fn parse_volume(text: &OsStr, bases: &Bases) -> Result<Volume, String> {
    let typed = format!("-v {}", text.to_string_lossy());
    let mut parts: Vec<&[u8]> = text.as_bytes().split(|&b| b == b':').collect();
    let mut words = Words::default();
    while parts.len() > 1 && parts.last().is_some_and(|last| words.take(last)) {
        parts.pop();
    }
    let (from, to) = match parts.as_slice() {
        [from] => (*from, *from),
        [from, to] => (*from, *to),
        [_, _, word, ..] => {
            let word = String::from_utf8_lossy(word);
            return Err(format!("{typed}: {word} is none of ro, rw, cow and create (SRC[:DST][:ro|rw|cow|create])"));
        }
        [] => (b"".as_slice(), b"".as_slice()),
    };
    if from.is_empty() {
        return Err(format!("{typed}: no directory or file of the host is named"));
    }
    if to.is_empty() {
        return Err(format!("{typed}: no place in the sandbox is named"));
    }
    let what = source(from, bases, words.create);
    let to = match (&what, parts.len()) {
        // Its own place on the host.
        (What::Host { path, .. }, 1) => destination(&typed, path, &bases.host)?,
        _ => destination(&typed, &path(to), &bases.sandbox)?,
    };
    Ok(words.volume(typed, what, to))
}

/// What a source means. A bare name that is neither a file here nor to be made here is that of a kept volume.
fn source(from: &[u8], bases: &Bases, create: bool) -> What {
    let here = bases.host.join(path(from));
    let bare = !from.contains(&b'/') && from != b"." && from != b".." && is_volume_name(from);
    match std::str::from_utf8(from) {
        Ok(name) if bare && !create && here.symlink_metadata().is_err() => What::Kept(name.to_string()),
        _ => What::Host { path: on_host(from, bases), create },
    }
}

/// A path of the host, absolute. `~/` is what a shell makes of it, where no shell did.
pub fn on_host(from: &[u8], bases: &Bases) -> PathBuf {
    let tilde = from.strip_prefix(b"~/").or_else(|| (from == b"~").then_some(b"".as_slice()));
    let home = tilde.filter(|_| bases.host.join("~").symlink_metadata().is_err()).and_then(|rest| {
        let home = home::own()?;
        Some(home.join(path(rest)))
    });
    std::path::absolute(home.unwrap_or_else(|| bases.host.join(path(from)))).unwrap_or_else(|_| path(from))
}

/// What `docker volume create` takes as a name.
fn is_volume_name(name: &[u8]) -> bool {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"_.-".contains(b);
    name.len() > 1 && name.len() <= 128 && name.first().is_some_and(u8::is_ascii_alphanumeric) && name.iter().all(plain)
}

/// A place in the sandbox: absolute, and free of `.` and `..`.
pub fn destination(typed: &str, place: &Path, base: &Path) -> Result<PathBuf, String> {
    let relative = !place.is_absolute();
    let mut plain = PathBuf::from("/");
    for component in base.join(place).components() {
        match component {
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            Component::Normal(name) => plain.push(name),
            Component::ParentDir if relative => {
                plain.pop();
            }
            Component::ParentDir => {
                return Err(format!("{typed}: the place in the sandbox must not contain .."));
            }
        }
    }
    Ok(plain)
}

/// Permissions of a file system in memory, but for those that are asked for.
const MEMORY_PERMISSIONS: u32 = 0o1777;

fn parse_mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| mode & !0o7777 == 0)
        .ok_or_else(|| format!("{text} is no mode such as 1777"))
}

/// `--tmpfs DST[:ro,noexec,size=SIZE,mode=MODE]`.
pub fn parse_tmpfs(text: &OsStr, bases: &Bases) -> Result<Volume, String> {
    let typed = format!("--tmpfs {}", text.to_string_lossy());
    let bytes = text.as_bytes();
    let (place, options) = match bytes.iter().position(|b| *b == b':') {
        Some(at) => (bytes.get(..at).unwrap_or_default(), bytes.get(at + 1..).unwrap_or_default()),
        None => (bytes, b"".as_slice()),
    };
    if place.is_empty() {
        return Err(format!("{typed}: no place in the sandbox is named"));
    }
    let (mut permissions, mut size, mut words) = (MEMORY_PERMISSIONS, 0, Words::default());
    for option in options.split(|b| *b == b',').filter(|option| !option.is_empty()) {
        let shown = String::from_utf8_lossy(option);
        let set = match shown.split_once('=') {
            Some(("size", value)) => parse_size(value).map(|bytes| size = bytes),
            Some(("mode", value)) => parse_mode(value).map(|mode| permissions = mode),
            // They belong to root there, and to whom `chown` gives them.
            Some(("uid" | "gid" | "nr_inodes", _)) => Err(format!("{shown} cannot be chosen")),
            _ if words.take(option) && words.access != Some(Access::CopyOnWrite) && !words.create => Ok(()),
            _ => Err(format!("{shown} is none of ro, rw, noexec, size=SIZE and mode=MODE")),
        };
        set.map_err(|why| format!("{typed}: {why}"))?;
    }
    let to = destination(&typed, &path(place), &bases.sandbox)?;
    Ok(words.volume(typed, What::Memory { permissions, size }, to))
}

/// `--mount type=bind|volume|tmpfs,src=SRC,dst=DST,...`, as `docker run` has it.
pub fn parse_mount(text: &OsStr, bases: &Bases) -> Result<Volume, String> {
    let typed = format!("--mount {}", text.to_string_lossy());
    let wrong = |why: String| format!("{typed}: {why}");
    let (mut kind, mut from, mut to) = ("volume".to_string(), None, None);
    let (mut permissions, mut size, mut words) = (MEMORY_PERMISSIONS, 0, Words::default());
    for pair in text.as_bytes().split(|b| *b == b',') {
        let at = pair.iter().position(|b| *b == b'=');
        let (key, value) = match at {
            Some(at) => (pair.get(..at).unwrap_or_default(), Some(pair.get(at + 1..).unwrap_or_default())),
            None => (pair, None),
        };
        let shown = String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
        match (key, value) {
            (b"type", Some(_)) => kind = shown,
            (b"src" | b"source", Some(value)) => from = Some(value),
            (b"dst" | b"destination" | b"target", Some(value)) => to = Some(value),
            (b"ro" | b"readonly", _) => match shown.as_str() {
                "" | "true" | "1" => words.access = Some(Access::ReadOnly),
                "false" | "0" => words.access = None,
                _ => return Err(wrong(format!("{shown} is neither true nor false"))),
            },
            (b"rw" | b"cow" | b"create" | b"noexec" | b"nodev", None) => {
                words.take(key);
            }
            (b"tmpfs-size" | b"size", Some(_)) => size = parse_size(&shown).map_err(wrong)?,
            (b"tmpfs-mode" | b"mode", Some(_)) => permissions = parse_mode(&shown).map_err(wrong)?,
            (b"consistency" | b"bind-propagation" | b"bind-recursive" | b"bind-nonrecursive" | b"volume-nocopy", _) => {
            }
            _ => return Err(wrong(format!("{} is no key of a mount", String::from_utf8_lossy(key)))),
        }
    }
    let to =
        to.filter(|to| !to.is_empty()).ok_or_else(|| wrong("dst=, the place in the sandbox, is missing".into()))?;
    let to = destination(&typed, &path(to), &bases.sandbox)?;
    let memory = What::Memory { permissions, size };
    let what = match (kind.as_str(), from) {
        ("bind", Some(from)) if !from.is_empty() => What::Host { path: on_host(from, bases), create: words.create },
        ("bind", _) => return Err(wrong("src=, the file or directory of the host, is missing".into())),
        // A volume without a name lives as long as its container: in memory.
        ("tmpfs", None) | ("volume", None | Some(b"")) => memory,
        ("tmpfs", Some(_)) => return Err(wrong("a tmpfs has no source".into())),
        ("volume", Some(from)) => match std::str::from_utf8(from) {
            Ok(name) if is_volume_name(from) => What::Kept(name.to_string()),
            _ => return Err(wrong("src= of a volume is a name; a directory is type=bind".into())),
        },
        _ => return Err(wrong(format!("type={kind} is none of bind, volume and tmpfs"))),
    };
    Ok(words.volume(typed, what, to))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::path::{Path, PathBuf};

    use litebox_broker::Access::{CopyOnWrite, ReadOnly, ReadWrite};

    use super::{Bases, Volume, What, parse_mount, parse_tmpfs, parse_volume};

    fn bases() -> Bases {
        Bases { host: "/no/such/place".into(), sandbox: "/w".into() }
    }

    fn host(path: &str, create: bool) -> What {
        What::Host { path: PathBuf::from(path), create }
    }

    #[test]
    fn volumes_are_parsed() {
        let kept = |name: &str| What::Kept(name.into());
        let good = [
            ("/a", host("/a", false), "/a", ReadWrite),
            ("/a:ro", host("/a", false), "/a", ReadOnly),
            ("/a:/b", host("/a", false), "/b", ReadWrite),
            ("/a:/b//c/.:cow", host("/a", false), "/b/c", CopyOnWrite),
            ("./rel:dst:create", host("/no/such/place/./rel", true), "/w/dst", ReadWrite),
            (".:.:rw", host("/no/such/place/.", false), "/w", ReadWrite),
            (".:..:ro", host("/no/such/place/.", false), "/", ReadOnly),
            ("/a:/b:ro,z", host("/a", false), "/b", ReadOnly),
            ("/a:/b:Z:create", host("/a", true), "/b", ReadWrite),
            ("pgdata:/data", kept("pgdata"), "/data", ReadWrite),
            ("x/y:/data", host("/no/such/place/x/y", false), "/data", ReadWrite),
        ];
        for (text, what, to, access) in good {
            let parsed = parse_volume(OsStr::new(text), &bases()).map(|v| (v.what, v.to, v.access));
            let what = match what {
                What::Host { path, create } => {
                    What::Host { path: std::path::absolute(path).unwrap_or_default(), create }
                }
                other => other,
            };
            assert_eq!(parsed, Ok((what, PathBuf::from(to), access)), "{text}");
        }
        for bad in ["", ":/b", "/a:", "/a:/b:/c", "/a:/b:sideways", "/a:/b/../c"] {
            let error = parse_volume(OsStr::new(bad), &bases()).map(|_| ());
            assert!(error.is_err_and(|line| line.starts_with(&format!("-v {bad}"))), "{bad}");
        }
    }

    #[test]
    fn mounts_are_parsed() {
        let parsed = |text: &str| parse_mount(OsStr::new(text), &bases()).map(|v| (v.what, v.to, v.access));
        let good = [
            ("type=bind,src=/a,dst=/b", host("/a", false), "/b", ReadWrite),
            ("type=bind,source=/a,target=/b,readonly", host("/a", false), "/b", ReadOnly),
            ("type=bind,source=/a,destination=/b,ro=true", host("/a", false), "/b", ReadOnly),
            ("source=vol,target=/data", What::Kept("vol".into()), "/data", ReadWrite),
            ("type=volume,dst=/x", What::Memory { permissions: 0o1777, size: 0 }, "/x", ReadWrite),
            (
                "type=tmpfs,dst=/t,tmpfs-size=64m,tmpfs-mode=700",
                What::Memory { permissions: 0o700, size: 64 << 20 },
                "/t",
                ReadWrite,
            ),
        ];
        for (text, what, to, access) in good {
            assert_eq!(parsed(text), Ok((what, PathBuf::from(to), access)), "{text}");
        }
        for bad in [
            "",
            "type=bind,dst=/b",
            "type=bind,src=/a",
            "type=npipe,src=a,dst=/b",
            "type=bind,src=/a,dst=/b,size=x",
            "x=y",
        ] {
            assert!(parsed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn file_systems_in_memory_are_parsed() {
        let parsed = |text: &str| parse_tmpfs(OsStr::new(text), &bases());
        let expected = Volume {
            typed: "--tmpfs /t:ro,noexec,nosuid,size=1k,mode=750".into(),
            what: What::Memory { permissions: 0o750, size: 1024 },
            to: "/t".into(),
            access: ReadOnly,
            no_exec: true,
            no_dev: false,
        };
        assert_eq!(parsed("/t:ro,noexec,nosuid,size=1k,mode=750"), Ok(expected));
        assert!(parsed("/t").is_ok() && parsed("t").is_ok_and(|v| v.to == Path::new("/w/t")));
        assert!(["", ":ro", "/t:size=x", "/t:mode=9", "/t:cow", "/t:uid=1"].iter().all(|bad| parsed(bad).is_err()));
    }
}
