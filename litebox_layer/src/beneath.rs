//! Files beneath one directory, whatever paths say: no symbolic link is followed, nothing leads out.

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// A directory, and the one in it that was used last.
pub struct Beneath {
    root: OwnedFd,
    last: Option<(Vec<u8>, OwnedFd)>,
}

/// An error at a path.
pub fn at(path: &[u8], error: impl Into<io::Error>) -> io::Error {
    let error = error.into();
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default().to_lowercase();
    io::Error::new(error.kind(), format!("{}: {text}", String::from_utf8_lossy(path)))
}

impl Beneath {
    /// What lies beneath `root`.
    pub fn new(root: OwnedFd) -> Self {
        Self { root, last: None }
    }

    /// The directory at `path`; `make`: made where it is missing.
    pub fn directory(&mut self, path: &[u8], make: bool) -> io::Result<BorrowedFd<'_>> {
        if path.is_empty() {
            return Ok(self.root.as_fd());
        }
        if self.last.as_ref().is_none_or(|(last, _)| last != path) {
            let mut dir = rustix::io::fcntl_dupfd_cloexec(&self.root, 0)?;
            for name in path.split(|byte| *byte == b'/') {
                dir = Self::step(&dir, name, make).map_err(|error| at(path, error))?;
            }
            self.last = Some((path.to_vec(), dir));
        }
        self.last.as_ref().map(|(_, dir)| dir.as_fd()).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn step(dir: &OwnedFd, name: &[u8], make: bool) -> io::Result<OwnedFd> {
        match rustix::fs::openat(dir, name, DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) if make => {
                rustix::fs::mkdirat(dir, name, Mode::from_raw_mode(0o755))?;
                Ok(rustix::fs::openat(dir, name, DIRECTORY, Mode::empty())?)
            }
            // Which of both the host says of a link depends on the kernel.
            Err(Errno::LOOP | Errno::NOTDIR) => {
                Err(io::Error::new(ErrorKind::NotADirectory, "it is no directory, and links are not followed"))
            }
            opened => Ok(opened?),
        }
    }

    /// Forgets what was used last: it may be gone.
    pub fn forget(&mut self) {
        self.last = None;
    }
}

/// What a name of a directory is; `None`: nothing.
pub fn kind_of(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<Option<FileType>> {
    match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes a name and all that lies in it.
pub fn remove_all(dir: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    match kind_of(dir, name)? {
        None => return Ok(()),
        Some(FileType::Directory) => {}
        Some(_) => return Ok(rustix::fs::unlinkat(dir, name, AtFlags::empty())?),
    }
    // Directories with those in them that are still there, each in the one before: not by recursion, trees can be deep.
    let mut open = vec![Emptied::new(dir, name)?];
    while let Some(last) = open.last_mut() {
        if let Some(child) = last.directories.pop() {
            let child = Emptied::new(last.fd.as_fd(), &child)?;
            open.push(child);
            continue;
        }
        let Some(Emptied { name, .. }) = open.pop() else { break };
        let above = open.last().map_or(dir, |above| above.fd.as_fd());
        rustix::fs::unlinkat(above, &*name, AtFlags::REMOVEDIR)?;
    }
    Ok(())
}

/// A directory that holds nothing but directories any more.
struct Emptied {
    name: Vec<u8>,
    fd: OwnedFd,
    directories: Vec<Vec<u8>>,
}

impl Emptied {
    /// Removes everything else from the directory `name` in `above`.
    fn new(above: BorrowedFd<'_>, name: &[u8]) -> io::Result<Self> {
        let fd = rustix::fs::openat(above, name, DIRECTORY, Mode::empty())?;
        let mut directories = Vec::new();
        for name in names(fd.as_fd())? {
            if kind_of(fd.as_fd(), &name)? == Some(FileType::Directory) {
                directories.push(name);
            } else {
                rustix::fs::unlinkat(&fd, &*name, AtFlags::empty())?;
            }
        }
        Ok(Self { name: name.to_vec(), fd, directories })
    }
}

/// The names in a directory.
pub fn names(dir: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(name);
        }
    }
    Ok(names)
}
