//! Directories: entries, the working directory and the root, making and removing.

use litebox::fs::{Access, Location, LookupFlags, NewNode, Reach, WatchMask};
use litebox::{Error, Result};

use super::AT_FDCWD;
use super::place::{creds_of, read_path};
use super::stat::is_directory;
use litebox_common_linux::argument::{Arch, UserStr};

use crate::Task;
use crate::task::Capability;
use crate::user::{word, write_bytes, write_some};

/// Most bytes of entries that one call gives.
const MOST_BYTES: usize = 1 << 16;

/// How entries are laid out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EntryLayout {
    /// `struct linux_dirent`: the type is the last byte.
    Old,
    /// The same of 32-bit programs.
    Old32,
    /// `struct linux_dirent64`: the type stands before the name.
    New,
}

impl EntryLayout {
    /// How wide the inode's number and the place behind the entry are, and what the whole is a multiple of.
    fn word(self) -> usize {
        match self {
            Self::Old32 => 4,
            Self::Old | Self::New => 8,
        }
    }
    /// EOVERFLOW for a number that does not fit.
    fn record(self, entry: &litebox::fs::DirEntry<'_>, out: &mut alloc::vec::Vec<u8>) -> Result<()> {
        let len = self.len(entry);
        let start = out.len();
        if self == Self::Old32 {
            out.extend_from_slice(&u32::try_from(entry.ino).map_err(|_| Error::Overflow)?.to_le_bytes());
            out.extend_from_slice(&(entry.next as u32).to_le_bytes());
        } else {
            out.extend_from_slice(&entry.ino.to_le_bytes());
            out.extend_from_slice(&entry.next.to_le_bytes());
        }
        out.extend_from_slice(&(len as u16).to_le_bytes());
        if self == Self::New {
            out.push(entry.file_type.dirent_type());
        }
        out.extend_from_slice(entry.name);
        out.resize(start + len, 0);
        if self != Self::New {
            if let Some(last) = out.last_mut() {
                *last = entry.file_type.dirent_type();
            }
        }
        Ok(())
    }
    /// Bytes of an entry: two words, its length, the type, the name and a zero.
    fn len(self, entry: &litebox::fs::DirEntry<'_>) -> usize {
        (2 * self.word() + 2 + 1 + entry.name.len() + 1).next_multiple_of(self.word())
    }
}

/// How many of the first `written` bytes are whole records, and where to continue behind them; `None`: not even one.
fn whole_records(layout: EntryLayout, records: &[u8], written: usize) -> Option<(usize, u64)> {
    let (next_at, len_at) = (layout.word(), 2 * layout.word());
    let mut found = None;
    let mut at = 0;
    while let Some(record) = records.get(at..).filter(|record| !record.is_empty()) {
        at += usize::from(u16::from_le_bytes(word(record, len_at)));
        if at > written {
            break;
        }
        let next = match layout {
            EntryLayout::Old32 => u32::from_le_bytes(word(record, next_at)).into(),
            EntryLayout::Old | EntryLayout::New => u64::from_le_bytes(word(record, next_at)),
        };
        found = Some((at, next));
    }
    found
}

impl Task<'_, '_> {
    /// getdents(2)
    pub(crate) fn getdents(&mut self, fd: i32, buf: u64, count: u32) -> Result<usize> {
        let layout = if self.abi() == Arch::X86 { EntryLayout::Old32 } else { EntryLayout::Old };
        self.entries(fd, buf, count, layout)
    }
    /// getdents64(2)
    pub(crate) fn getdents64(&mut self, fd: i32, buf: u64, count: u32) -> Result<usize> {
        self.entries(fd, buf, count, EntryLayout::New)
    }
    fn entries(&mut self, fd: i32, buf: u64, count: u32, layout: EntryLayout) -> Result<usize> {
        let file = self.file(fd)?;
        is_directory(file.file.inode().file_type())?;
        let at = file.location.clone().ok_or(Error::NotDirectory)?;
        if i32::try_from(count).is_err() {
            return Err(Error::Invalid);
        }
        let room = (count as usize).min(MOST_BYTES);
        let mut out = alloc::vec::Vec::new();
        let mut too_small = false;
        let mut outcome = Ok(());
        let mut offset = file.offset();
        let mut next = *offset;
        self.kernel().vfs.read_dir(&at, *offset, &mut |entry| {
            if out.len() + layout.len(&entry) > room {
                too_small = out.is_empty();
                return false;
            }
            outcome = layout.record(&entry, &mut out);
            next = if outcome.is_ok() { entry.next } else { next };
            outcome.is_ok()
        })?;
        // What does not fit is told when it is the first.
        if out.is_empty() {
            outcome?;
        }
        if too_small {
            return Err(Error::Invalid);
        }
        let written = write_some(buf, &out);
        if written < out.len() {
            // As far as whole entries could be written.
            let (whole, behind) = whole_records(layout, &out, written).ok_or(Error::Fault)?;
            out.truncate(whole);
            next = behind;
        }
        *offset = next;
        drop(offset);
        file.tell(WatchMask::ACCESS);
        Ok(out.len())
    }

    /// readdir(2): the next entry as `struct old_linux_dirent`, and 1; 0 at the end.
    pub(crate) fn one_entry(&mut self, fd: i32, buf: u64) -> Result<usize> {
        let file = self.file(fd)?;
        is_directory(file.file.inode().file_type())?;
        let at = file.location.clone().ok_or(Error::NotDirectory)?;
        let mut offset = file.offset();
        let mut found = None;
        self.kernel().vfs.read_dir(&at, *offset, &mut |entry| {
            if found.is_some() {
                return false;
            }
            let head = u32::try_from(entry.ino).map_err(|_| Error::Overflow).map(|ino| {
                let mut raw = alloc::vec::Vec::with_capacity(entry.name.len() + 11);
                raw.extend_from_slice(&ino.to_le_bytes());
                raw.extend_from_slice(&(*offset as u32).to_le_bytes());
                raw.extend_from_slice(&(entry.name.len() as u16).to_le_bytes());
                raw.extend_from_slice(entry.name);
                raw.push(0);
                raw
            });
            found = Some((head, entry.next));
            true
        })?;
        let Some((entry, next)) = found else { return Ok(0) };
        write_bytes(buf, &entry?)?;
        *offset = next;
        drop(offset);
        file.tell(WatchMask::ACCESS);
        Ok(1)
    }

    fn enter(&self, at: &Location) -> Result<()> {
        is_directory(at.inode().file_type())?;
        let credentials = self.creds();
        self.kernel().vfs.check_access(&creds_of(&credentials), at, Access::EXEC)
    }
    /// chdir(2)
    pub(crate) fn chdir(&mut self, path: UserStr) -> Result<usize> {
        let path = read_path(path)?;
        let at = self.walk(AT_FDCWD, &path, LookupFlags::FOLLOW | LookupFlags::DIRECTORY)?;
        self.enter(&at)?;
        *self.thread.fs.cwd.write() = at;
        Ok(0)
    }
    /// fchdir(2)
    pub(crate) fn fchdir(&mut self, fd: i32) -> Result<usize> {
        let at = self.file_or_path(fd)?.location.clone().ok_or(Error::NotDirectory)?;
        self.enter(&at)?;
        *self.thread.fs.cwd.write() = at;
        Ok(0)
    }
    /// chroot(2)
    pub(crate) fn chroot(&mut self, path: UserStr) -> Result<usize> {
        let path = read_path(path)?;
        let at = self.walk(AT_FDCWD, &path, LookupFlags::FOLLOW | LookupFlags::DIRECTORY)?;
        self.enter(&at)?;
        if !self.creds().can(Capability::SysChroot) {
            return Err(Error::NotPermitted);
        }
        *self.thread.fs.root.write() = at;
        Ok(0)
    }
    /// getcwd(2): the length with the zero.
    pub(crate) fn getcwd(&mut self, buf: u64, size: usize) -> Result<usize> {
        let fs = &self.thread.fs;
        let cwd = fs.cwd.read().clone();
        let root = fs.root.read().clone();
        let (mut path, reach) = self.kernel().vfs.path_of(&cwd, &root)?;
        match reach {
            Reach::Normal => {}
            Reach::Deleted => return Err(Error::NotFound),
            Reach::Unreachable => path.splice(..0, b"(unreachable)".iter().copied()).for_each(drop),
        }
        path.push(0);
        if path.len() > 4096 {
            return Err(Error::NameTooLong);
        }
        if path.len() > size {
            return Err(Error::Range);
        }
        write_bytes(buf, &path)?;
        Ok(path.len())
    }

    /// mkdir(2)
    pub(crate) fn mkdir(&mut self, path: UserStr, mode: u32) -> Result<usize> {
        self.mkdirat(AT_FDCWD, path, mode)
    }
    /// mkdirat(2)
    pub(crate) fn mkdirat(&mut self, dirfd: i32, path: UserStr, mode: u32) -> Result<usize> {
        let path = read_path(path)?;
        let permissions = mode & 0o1777;
        self.with_origin(dirfd, &path, |vfs, from| vfs.make(from, &path, NewNode::Directory, permissions))?;
        Ok(0)
    }
    /// rmdir(2)
    pub(crate) fn rmdir(&mut self, path: UserStr) -> Result<usize> {
        self.remove_directory(AT_FDCWD, path)
    }
    pub(super) fn remove_directory(&mut self, dirfd: i32, path: UserStr) -> Result<usize> {
        let path = read_path(path)?;
        self.with_origin(dirfd, &path, |vfs, from| vfs.rmdir(from, &path))?;
        Ok(0)
    }
    #[expect(clippy::unnecessary_wraps, reason = "handlers of calls have one shape")]
    /// umask(2)
    pub(crate) fn umask(&mut self, mask: u32) -> Result<usize> {
        let umask = &self.thread.fs.umask;
        Ok(umask.swap(mask & crate::task::fast_syscalls::MODE_MASK, core::sync::atomic::Ordering::Relaxed) as usize)
    }
}
