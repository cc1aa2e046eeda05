//! Walking along a path, component by component.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use litebox_protocol::{Stat, WalkFlags};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use zerocopy::IntoBytes;

use crate::beneath::{Grant, Result, check_path, stat_at, stat_of};
use crate::lookup::OPEN_FLAGS;
use crate::message::{ParsedRequest, ReplyBuilder};

/// Longest target of a symbolic link.
const MAX_LINK: usize = 4096;

/// A walk under way.
struct Walk<'g> {
    grant: &'g Grant,
    how: WalkFlags,
    /// The directory in which the next component is looked up.
    dir: OwnedFd,
    /// Numbers of the watches of the directories in which components were looked up.
    watches: Vec<i32>,
}

/// `Op::Walk`. Returns the file, when it was to be opened and could be.
pub fn walk(grant: &Grant, request: &ParsedRequest<'_>, reply: &mut ReplyBuilder) -> Result<Option<OwnedFd>> {
    check_path(request.path)?;
    let how = WalkFlags::from_bits(request.head.flags).ok_or(Errno::INVAL)?;
    if request.path.is_empty() && !how.contains(WalkFlags::STAT_KNOWN) {
        let (dir, name) = grant.locate(request.path)?;
        reply.push(stat_at(dir.as_fd(), name)?.as_bytes())?;
        reply.head.count = 1;
        return Ok(None);
    }
    let skip = usize::try_from(request.head.value).map_err(|_| Errno::INVAL)?;
    let (known, rest) = split_components(request.path, skip).ok_or(Errno::INVAL)?;
    if rest.is_empty() && !how.contains(WalkFlags::STAT_KNOWN) {
        return Err(Errno::INVAL);
    }
    let dir = match grant.open_directory(known) {
        Ok(dir) => dir,
        Err(e) if !how.contains(WalkFlags::STAT_KNOWN) => {
            reply.head.stop = e.raw_os_error() as u32;
            return Ok(None);
        }
        Err(e) => return Err(e),
    };
    let mut walk = Walk { grant, how, dir, watches: Vec::new() };
    walk.begin(reply)?;
    let opened = walk.go(request.path, rest, reply);
    walk.tell_watches(reply)?;
    Ok(opened)
}

impl Walk<'_> {
    /// Watches the first directory, and then looks at it: what changes from here on is heard of.
    fn begin(&mut self, reply: &mut ReplyBuilder) -> Result<()> {
        self.watch();
        if self.how.contains(WalkFlags::STAT_KNOWN) {
            reply.push(stat_of(self.dir.as_fd())?.as_bytes())
        } else {
            Ok(())
        }
    }

    fn watch(&mut self) {
        if self.how.contains(WalkFlags::WATCH) {
            self.watches.push(self.grant.watch(self.dir.as_fd()));
        }
    }

    fn tell_watches(&self, reply: &mut ReplyBuilder) -> Result<()> {
        reply.push(self.watches.as_bytes())
    }

    /// Looks up `rest`, the end of `path`.
    fn go(&mut self, path: &[u8], rest: &[u8], reply: &mut ReplyBuilder) -> Option<OwnedFd> {
        let mut end = path.len() - rest.len();
        let mut names = rest.split(|&b| b == b'/').filter(|name| !name.is_empty()).peekable();
        while let Some(name) = names.next() {
            let more = names.peek().is_some();
            end += name.len();
            let shown = self.grant.visibility.check_shown(path.get(..end).unwrap_or_default());
            end += 1;
            match shown.and_then(|()| self.step(name, more, reply)) {
                Ok(Some(stat)) if !more => return self.arrive(name, &stat),
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(e) => {
                    reply.head.stop = e.raw_os_error() as u32;
                    break;
                }
            }
        }
        None
    }

    /// What is wanted of the last component, besides its metadata.
    fn arrive(&self, name: &[u8], found: &Stat) -> Option<OwnedFd> {
        if self.how.contains(WalkFlags::OPEN) { open_found(self.grant, self.dir.as_fd(), name, found) } else { None }
    }

    /// Answers for one component and, when more follow, goes into it. `None`: the walk ends here.
    fn step(&mut self, name: &[u8], more: bool, reply: &mut ReplyBuilder) -> Result<Option<Stat>> {
        let stat = stat_at(self.dir.as_fd(), name)?;
        let kind = FileType::from_raw_mode(stat.mode);
        if !reply.has_room(size_of::<Stat>() + MAX_LINK + (self.watches.len() + 2) * size_of::<i32>()) {
            return Ok(None);
        }
        reply.push(stat.as_bytes())?;
        reply.head.count += 1;
        if kind == FileType::Symlink {
            let target = rustix::fs::readlinkat(&self.dir, name, Vec::new())?;
            reply.head.value = target.as_bytes().len() as u64;
            reply.push(target.as_bytes())?;
            return Ok(None);
        }
        if !more {
            return Ok(Some(stat));
        }
        if kind != FileType::Directory {
            return Err(Errno::NOTDIR);
        }
        self.enter(name)?;
        self.watch();
        Ok(Some(stat))
    }

    /// Goes into the directory `name`.
    fn enter(&mut self, name: &[u8]) -> Result<()> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.dir = rustix::fs::openat(&self.dir, name, flags, Mode::empty())?;
        self.grant.check_way(self.dir.as_fd())
    }
}

/// Opens the regular file that was just found as `name`, for reading; `None` when it cannot be.
fn open_found(grant: &Grant, dir: BorrowedFd<'_>, name: &[u8], found: &Stat) -> Option<OwnedFd> {
    if FileType::from_raw_mode(found.mode) != FileType::RegularFile {
        return None;
    }
    grant.visibility.check_read(found.mode).ok()?;
    let file = rustix::fs::openat(dir, name, OFlags::RDONLY | OPEN_FLAGS, Mode::empty()).ok()?;
    let opened = stat_of(file.as_fd()).ok()?;
    grant.refuse_foreign_device(file.as_fd(), opened.dev).ok()?;
    let same = (opened.dev, opened.ino, opened.mode) == (found.dev, found.ino, found.mode);
    same.then_some(file)
}

/// The first `n` components, and the others; `None` when there are not so many.
fn split_components(path: &[u8], n: usize) -> Option<(&[u8], &[u8])> {
    if n == 0 {
        return Some((b"", path));
    }
    let slashes = path.iter().enumerate().filter(|&(_, b)| *b == b'/').map(|(at, _)| at);
    let end = slashes.chain([path.len()]).nth(n - 1).filter(|&end| end > 0)?;
    Some((path.get(..end)?, path.get(end + 1..).unwrap_or_default()))
}
