//! Bringing a layer onto a directory.
//!
//! Whoever wrote the layer decides what is in it and nothing else: all of it happens beneath the directory
//! ([`crate::beneath`]), no link is followed, devices are not made. Without the superuser's rights files belong to the
//! caller, and lose their set-id bits with their owners. A file is complete before it has its name.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dev, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use crate::beneath::{Beneath, at, kind_of, names, remove_all};
use crate::read::{Item, Kind, Layer};
use crate::{OPAQUE, WHITEOUT, join, split};

/// How a layer is brought onto a directory.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What lies beneath this path in the layer, and nothing else; from there on paths count.
    pub from: Vec<u8>,
    /// What is gone stays named so (`.wh.NAME`): the layer is laid out, not brought onto anything.
    pub keeps_whiteouts: bool,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Files, directories and the like that are there now.
    pub entries: u64,
    /// Names that were taken away.
    pub removed: u64,
    /// Devices and the like that were left out.
    pub left_out: u64,
    /// Entries of other trees.
    pub elsewhere: u64,
    /// Owners and attributes that the host did not set.
    pub lost: u64,
}

/// Brings `layer` onto `root`.
pub fn apply(layer: &mut Layer<'_>, root: OwnedFd, options: &Options) -> io::Result<Done> {
    let mut apply = Apply {
        beneath: Beneath::new(root),
        options,
        done: Done::default(),
        placed: HashSet::new(),
        directories: Vec::new(),
        is_superuser: rustix::process::geteuid().is_root(),
    };
    while let Some(item) = layer.next_item()? {
        let Some(path) = apply.inside(&item.path) else {
            apply.done.elsewhere += 1;
            continue;
        };
        apply.item(layer, &item, &path)?;
    }
    apply.finish()
}

struct Apply<'a> {
    beneath: Beneath,
    options: &'a Options,
    done: Done,
    /// What this layer has put there: no whiteout of its own is about it.
    placed: HashSet<Vec<u8>>,
    /// Directories, whose times and permissions count once everything is in them.
    directories: Vec<(Vec<u8>, (i64, u32), Mode)>,
    is_superuser: bool,
}

impl Apply<'_> {
    /// A path as it counts here; `None`: it lies elsewhere.
    fn inside(&self, path: &[u8]) -> Option<Vec<u8>> {
        if self.options.from.is_empty() {
            return Some(path.to_vec());
        }
        let rest = path.strip_prefix(self.options.from.as_slice())?;
        match rest.strip_prefix(b"/") {
            Some(rest) => Some(rest.to_vec()),
            None => rest.is_empty().then(Vec::new),
        }
    }

    fn item(&mut self, layer: &mut Layer<'_>, item: &Item, path: &[u8]) -> io::Result<()> {
        let (dir, name) = split(path);
        let is_name = |name: &[u8]| !name.is_empty() && name != b"." && name != b".." && !name.contains(&0);
        if path.is_empty() {
            return if item.kind == Kind::Directory { self.directory(item, path) } else { Ok(()) };
        }
        if !path.split(|byte| *byte == b'/').all(is_name) {
            return Err(at(path, io::Error::new(ErrorKind::InvalidData, "a path that leads elsewhere")));
        }
        if !self.options.keeps_whiteouts {
            if name == OPAQUE {
                return self.empty(dir);
            }
            if let Some(gone) = name.strip_prefix(WHITEOUT) {
                return self.remove(dir, gone).map_err(|error| at(path, error));
            }
        }
        match item.kind {
            Kind::Directory => self.directory(item, path)?,
            Kind::Other => {
                self.done.left_out += 1;
                return Ok(());
            }
            Kind::Regular => self.regular(layer, item, path).map_err(|error| at(path, error))?,
            _ => self.special(item, path).map_err(|error| at(path, error))?,
        }
        self.done.entries += 1;
        // What leads there counts as put there, too: an opaque directory keeps it.
        let mut end = path.len();
        while self.placed.insert(path.get(..end).unwrap_or_default().to_vec()) {
            let Some(slash) = path.get(..end).and_then(|path| path.iter().rposition(|byte| *byte == b'/')) else {
                break;
            };
            end = slash;
        }
        Ok(())
    }

    /// A whiteout.
    fn remove(&mut self, dir: &[u8], name: &[u8]) -> io::Result<()> {
        if name.is_empty() || name == b"." || name == b".." {
            return Err(io::Error::new(ErrorKind::InvalidData, "a path that leads elsewhere"));
        }
        if self.placed.contains(&join(dir, name)) {
            return Ok(());
        }
        let dir = match self.beneath.directory(dir, false) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            dir => dir?,
        };
        if kind_of(dir, name)?.is_some() {
            remove_all(dir, name)?;
            self.done.removed += 1;
        }
        self.beneath.forget();
        Ok(())
    }

    /// An opaque directory.
    fn empty(&mut self, dir: &[u8]) -> io::Result<()> {
        let all = match self.beneath.directory(dir, false) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            found => names(found?)?,
        };
        for name in all {
            self.remove(dir, &name).map_err(|error| at(&join(dir, &name), error))?;
        }
        Ok(())
    }

    fn directory(&mut self, item: &Item, path: &[u8]) -> io::Result<()> {
        let (above, name) = split(path);
        if !path.is_empty() {
            let above = self.beneath.directory(above, true)?;
            let known = kind_of(above, name).map_err(|error| at(path, error))?;
            if known != Some(FileType::Directory) {
                if known.is_some() {
                    remove_all(above, name).map_err(|error| at(path, error))?;
                }
                rustix::fs::mkdirat(above, name, Mode::RWXU).map_err(|error| at(path, error))?;
            }
        }
        let fd = self.beneath.directory(path, false)?;
        let fd = rustix::io::fcntl_dupfd_cloexec(fd, 0)?;
        let mode = self.attributes(fd.as_fd(), item);
        rustix::fs::fchmod(&fd, mode | Mode::RWXU).map_err(|error| at(path, error))?;
        self.directories.push((path.to_vec(), item.mtime, mode));
        Ok(())
    }

    fn regular(&mut self, layer: &mut Layer<'_>, item: &Item, path: &[u8]) -> io::Result<()> {
        let (dir, name) = split(path);
        let dir = rustix::io::fcntl_dupfd_cloexec(self.beneath.directory(dir, true)?, 0)?;
        let temporary = Temporary::new(dir)?;
        let how = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&temporary.dir, &*temporary.name, how, Mode::RUSR | Mode::WUSR)?;
        let mut file = File::from(opened);
        match &item.extents {
            None => {
                io::copy(layer, &mut file)?;
            }
            Some(extents) => {
                for (offset, len) in extents {
                    file.seek(SeekFrom::Start(*offset))?;
                    io::copy(&mut layer.by_ref().take(*len), &mut file)?;
                }
                file.set_len(item.size)?;
            }
        }
        let mode = self.attributes(file.as_fd(), item);
        rustix::fs::fchmod(&file, mode)?;
        rustix::fs::futimens(&file, &times(item.mtime))?;
        temporary.take_place_of(name)
    }

    /// What has no bytes.
    fn special(&mut self, item: &Item, path: &[u8]) -> io::Result<()> {
        let (above, name) = split(path);
        let other = if item.kind == Kind::HardLink { Some(self.other_name(item)?) } else { None };
        let dir = rustix::io::fcntl_dupfd_cloexec(self.beneath.directory(above, true)?, 0)?;
        let temporary = Temporary::new(dir)?;
        let (dir, made) = (temporary.dir.as_fd(), temporary.name.as_slice());
        if let Some((other_dir, other_name)) = other {
            // Two names of one file cannot be exchanged by rename(2).
            remove_all(dir, name)?;
            rustix::fs::linkat(other_dir, &*other_name, dir, made, AtFlags::empty())?;
            return temporary.take_place_of(name);
        }
        if item.kind == Kind::Symlink {
            rustix::fs::symlinkat(item.target.as_slice(), dir, made)?;
        } else {
            rustix::fs::mknodat(dir, made, FileType::Fifo, Mode::from_raw_mode(item.mode & 0o777), Dev::from(0u8))?;
        }
        if self.is_superuser {
            let (uid, gid) = owner(item);
            let changed = rustix::fs::chownat(dir, made, uid, gid, AtFlags::SYMLINK_NOFOLLOW);
            self.done.lost += u64::from(changed.is_err());
        }
        if item.kind == Kind::Fifo {
            rustix::fs::chmodat(dir, made, Mode::from_raw_mode(item.mode & 0o777), AtFlags::empty())?;
        }
        rustix::fs::utimensat(dir, made, &times(item.mtime), AtFlags::SYMLINK_NOFOLLOW)?;
        temporary.take_place_of(name)
    }

    /// Where the other name of a hard link is.
    fn other_name(&mut self, item: &Item) -> io::Result<(OwnedFd, Vec<u8>)> {
        let other = self.inside(item.target.strip_prefix(b"/").unwrap_or(&item.target));
        let wrong = || io::Error::new(ErrorKind::InvalidData, "a hard link that leads elsewhere");
        let other = other.filter(|path| crate::is_plain(path)).ok_or_else(wrong)?;
        let (dir, name) = split(&other);
        let dir = rustix::io::fcntl_dupfd_cloexec(self.beneath.directory(dir, false)?, 0)?;
        match kind_of(dir.as_fd(), name)? {
            None => Err(io::Error::new(ErrorKind::NotFound, "the file it is a hard link to is not there")),
            Some(FileType::Directory) => Err(wrong()),
            Some(_) => Ok((dir, name.to_vec())),
        }
    }

    /// Sets owner and extended attributes of what is open; the permissions that it may have.
    fn attributes(&mut self, fd: BorrowedFd<'_>, item: &Item) -> Mode {
        let mut mode = item.mode;
        if self.is_superuser {
            let (uid, gid) = owner(item);
            if rustix::fs::fchown(fd, uid, gid).is_err() {
                self.done.lost += 1;
                mode &= 0o1777;
            }
        } else {
            let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
            self.done.lost += u64::from((uid, gid) != (item.uid, item.gid));
            mode &= 0o1777;
        }
        for (name, value) in &item.xattrs {
            let set = rustix::fs::fsetxattr(fd, name.as_slice(), value, XattrFlags::empty());
            self.done.lost += u64::from(set.is_err());
        }
        Mode::from_raw_mode(mode)
    }

    /// Everything is in its place.
    fn finish(mut self) -> io::Result<Done> {
        // From the deepest on, while each can still be reached.
        for (path, mtime, mode) in std::mem::take(&mut self.directories).into_iter().rev() {
            self.beneath.forget();
            match self.beneath.directory(&path, false) {
                Ok(dir) => {
                    let set = rustix::fs::fchmod(dir, mode).and_then(|()| rustix::fs::futimens(dir, &times(mtime)));
                    set.map_err(|error| at(&path, error))?;
                }
                // A later entry took its place.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(self.done)
    }
}

/// A name for what is being made, taken away again unless it takes its place.
struct Temporary {
    dir: OwnedFd,
    name: Vec<u8>,
}

impl Temporary {
    fn new(dir: OwnedFd) -> io::Result<Self> {
        let mut random = [0u8; 8];
        rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
        Ok(Self { dir, name: format!(".litebox-{:016x}", u64::from_ne_bytes(random)).into_bytes() })
    }

    fn take_place_of(self, name: &[u8]) -> io::Result<()> {
        match rustix::fs::renameat(&self.dir, &*self.name, &self.dir, name) {
            Err(Errno::ISDIR | Errno::EXIST | Errno::NOTEMPTY) => {
                remove_all(self.dir.as_fd(), name)?;
                Ok(rustix::fs::renameat(&self.dir, &*self.name, &self.dir, name)?)
            }
            renamed => Ok(renamed?),
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Mostly it is not there any more.
        let _ = rustix::fs::unlinkat(&self.dir, &*self.name, AtFlags::empty());
    }
}

fn owner(item: &Item) -> (Option<Uid>, Option<Gid>) {
    (Some(Uid::from_raw(item.uid)), Some(Gid::from_raw(item.gid)))
}

fn times((seconds, nanoseconds): (i64, u32)) -> Timestamps {
    let time = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}
