//! The directory of a sandbox with a name: `$XDG_RUNTIME_DIR/litebox/NAME`, else below /run for root, else
//! `/tmp/litebox-UID/NAME`. It is the user's alone. The broker holds a lock on it as long as it lives, so that nobody
//! takes one that was killed for one that runs.
//!
//! - `lock`: what is locked.
//! - `control`: the socket ([`super::connection`]); gone with the broker.
//! - `config.json`: what was started ([`super::record`]).
//! - `log`, `log.1`: what it wrote ([`super::log`]), with `-d`.
//! - `end.json`: how it ended, with `-d`.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// The socket's name.
pub const SOCKET: &str = "control";
const LOCK: &str = "lock";
const CONFIG: &str = "config.json";
const END: &str = "end.json";
/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;

/// Where the directories of this user are. It need not exist.
fn root() -> PathBuf {
    let own = rustix::process::geteuid();
    let given = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    // Another user's, whose name somebody kept (su, sudo), is nobody's of ours.
    let is_ours = |dir: &PathBuf| dir.is_absolute() && fs::metadata(dir).is_ok_and(|meta| meta.uid() == own.as_raw());
    if let Some(dir) = given.filter(is_ours) {
        return dir.join("litebox");
    }
    if own.is_root() && rustix::fs::access("/run", rustix::fs::Access::WRITE_OK).is_ok() {
        return "/run/litebox".into();
    }
    format!("/tmp/litebox-{}", own.as_raw()).into()
}

/// The same, made if it is not there. Nobody else may have a say in it.
fn safe_root() -> Result<PathBuf, String> {
    let dir = root();
    let failed = |e: io::Error| format!("{}: {e}", dir.display());
    match DirBuilder::new().mode(0o700).create(&dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(failed(e)),
        _ => check(&dir)?,
    }
    Ok(dir)
}

/// Refuses a directory that is not the user's alone.
fn check(dir: &Path) -> Result<(), String> {
    let meta = fs::symlink_metadata(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let own = rustix::process::geteuid().as_raw();
    if !meta.is_dir() || meta.uid() != own || meta.mode() & 0o077 != 0 {
        return Err(format!("{} is not a directory of yours alone (mode 0700): remove it", dir.display()));
    }
    Ok(())
}

/// Whether `name` may be one: letters, digits, `_`, `.` and `-`, the first a letter or digit; 64 at most.
pub fn is_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
}

/// What a directory says of its sandbox.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Its broker runs.
    Running,
    /// It ended, and said how.
    Ended,
    /// Its broker was killed, or the machine stopped.
    Stale,
}

/// The directory of a sandbox.
pub struct Directory {
    pub name: String,
    path: PathBuf,
    fd: OwnedFd,
    /// Held by who may change it.
    lock: Option<File>,
}

/// A lock of the whole file, which belongs to the open file (fcntl_locking(2)).
fn whole_file() -> libc::flock {
    // SAFETY: plain data; zeros mean the whole file.
    let zeroed: libc::flock = unsafe { std::mem::zeroed() };
    libc::flock { l_type: libc::F_WRLCK as libc::c_short, l_whence: libc::SEEK_SET as libc::c_short, ..zeroed }
}

/// Takes the lock, if nobody has it.
fn take_lock(file: &File) -> bool {
    let lock = whole_file();
    // SAFETY: the host reads one struct.
    unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const lock) == 0 }
}

/// Whether somebody has it.
fn is_locked(file: BorrowedFd<'_>) -> bool {
    let mut lock = whole_file();
    // SAFETY: the host reads and writes one struct.
    let asked = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
    asked == 0 && lock.l_type != libc::F_UNLCK as libc::c_short
}

impl Directory {
    /// The one of this name; an error says that there is none.
    pub fn open(name: &str) -> Result<Self, String> {
        let none = || format!("there is no sandbox {name} (see litebox ps -a)");
        if !is_name(name) {
            return Err(none());
        }
        let root = root();
        if check(&root).is_err() {
            return Err(none());
        }
        let path = root.join(name);
        Self::at(name, path).map_err(|_| none())
    }

    /// The one of this name where `$XDG_RUNTIME_DIR` is this directory of the user's; `None`: there is none.
    pub fn below(runtime: &Path, name: &str) -> Option<Self> {
        let root = runtime.join("litebox");
        check(&root).ok()?;
        Self::at(name, root.join(name)).ok()
    }

    fn at(name: &str, path: PathBuf) -> Result<Self, Errno> {
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&path, flags, Mode::empty())?;
        Ok(Self { name: name.into(), path, fd, lock: None })
    }

    /// Makes one and takes hold of it: the sandbox of this process.
    pub fn create(name: &str) -> Result<Self, String> {
        let path = safe_root()?.join(name);
        let failed = |e: &dyn std::fmt::Display| format!("--name {name}: {}: {e}", path.display());
        // Somebody else may remove what was left, or make it, meanwhile.
        for _ in 0..16 {
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) => return Err(failed(&e)),
            }
            let Ok(mut dir) = Self::at(name, path.clone()) else { continue };
            if !dir.take().map_err(|e| failed(&e))? {
                return Err(format!("--name {name}: a sandbox of this name runs already (see litebox ps)"));
            }
            if !dir.is_there() {
                continue;
            }
            if dir.has_results() {
                return Err(format!("--name {name}: a sandbox of this name has ended (litebox rm {name} forgets it)"));
            }
            dir.clear().map_err(|e| failed(&e))?;
            return Ok(dir);
        }
        Err(failed(&"somebody else makes and removes it"))
    }

    /// Takes hold of it. `false`: somebody else has it.
    fn take(&mut self) -> io::Result<bool> {
        let mut options = OpenOptions::new();
        let file = options.create(true).truncate(false).write(true).mode(0o600).open(self.path.join(LOCK))?;
        let taken = take_lock(&file);
        self.lock = Some(file).filter(|_| taken);
        Ok(taken)
    }

    /// Whether its path still leads to it.
    fn is_there(&self) -> bool {
        let same = |a: &rustix::fs::Stat, b: &rustix::fs::Stat| (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino);
        match (rustix::fs::fstat(&self.fd), rustix::fs::lstat(&self.path)) {
            (Ok(own), Ok(there)) => same(&own, &there),
            _ => false,
        }
    }

    /// Whether something is in it that somebody may still want.
    fn has_results(&self) -> bool {
        self.path.join(super::log::FILE).exists() || self.path.join(END).exists()
    }

    /// All of this user's, by name. What was left of those that were killed, and has nothing to show, is removed.
    pub fn all() -> Vec<Self> {
        let root = root();
        let Ok(entries) = (if check(&root).is_ok() { fs::read_dir(&root) } else { return Vec::new() }) else {
            return Vec::new();
        };
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).filter(|name| is_name(name));
        let mut names: Vec<String> = names.collect();
        names.sort();
        let mut all: Vec<Self> = names.iter().filter_map(|name| Self::at(name, root.join(name)).ok()).collect();
        all.retain_mut(|dir| {
            let idle = dir.state() == State::Stale && !dir.has_results();
            !(idle && dir.remove_idle().is_ok_and(|removed| removed))
        });
        all
    }

    /// What became of its sandbox.
    pub fn state(&self) -> State {
        match self.open_file(LOCK) {
            Ok(file) if is_locked(file.as_fd()) => State::Running,
            _ if self.path.join(END).exists() => State::Ended,
            _ => State::Stale,
        }
    }

    /// Its path, for files in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// A way to the socket that is short enough for an address, whatever the directory is called.
    fn socket_address(&self) -> Result<SocketAddrUnix, Errno> {
        SocketAddrUnix::new(format!("/proc/self/fd/{}/{SOCKET}", self.fd.as_raw_fd()))
            .and_then(|address| if Path::new("/proc/self/fd").exists() { Ok(address) } else { Err(Errno::NOENT) })
            .or_else(|_| SocketAddrUnix::new(self.path.join(SOCKET)))
    }

    /// The socket that the broker serves.
    pub fn listen(&self) -> Result<OwnedFd, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        rustix::net::bind(&socket, &self.socket_address()?)?;
        rustix::net::listen(&socket, BACKLOG)?;
        Ok(socket)
    }

    /// A connection to the broker.
    pub fn connect(&self) -> Result<OwnedFd, Errno> {
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        rustix::net::connect(&socket, &self.socket_address()?)?;
        Ok(socket)
    }

    /// Writes a file whole or not at all.
    fn write(&self, name: &str, text: &str) -> io::Result<()> {
        let new = self.path.join(format!("{name}.new"));
        fs::write(&new, text)?;
        fs::rename(new, self.path.join(name))
    }

    /// Says what was started.
    pub fn write_config(&self, text: &str) -> io::Result<()> {
        self.write(CONFIG, text)
    }

    /// What was started.
    pub fn read_config(&self) -> io::Result<String> {
        fs::read_to_string(self.path.join(CONFIG))
    }

    /// Says how it ended.
    pub fn write_end(&self, text: &str) -> io::Result<()> {
        let _ = fs::remove_file(self.path.join(SOCKET));
        self.write(END, text)
    }

    /// How it ended.
    pub fn read_end(&self) -> io::Result<String> {
        fs::read_to_string(self.path.join(END))
    }

    /// The files in it go, but for the lock.
    fn clear(&self) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_name() != LOCK {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// It goes, with everything in it. To be called by who has it.
    pub fn remove(&self) -> io::Result<()> {
        self.clear()?;
        fs::remove_file(self.path.join(LOCK))?;
        fs::remove_dir(&self.path)
    }

    /// As [`Directory::remove`], of a sandbox that does not run. `false`: it does.
    pub fn remove_idle(&mut self) -> io::Result<bool> {
        Ok(self.take()? && self.is_there() && self.remove().map(|()| true)?)
    }

    /// A file of it, opened for reading.
    pub fn open_file(&self, name: &str) -> io::Result<File> {
        File::open(self.path.join(name))
    }
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names_are_those_of_docker() {
        assert!(["web", "a", "7up", "my_db-1.2"].into_iter().all(is_name));
        let long = "x".repeat(65);
        assert!(["", "-a", ".", "..", "a/b", "a b", "\u{e4}", long.as_str()].into_iter().all(|name| !is_name(name)));
    }
}
