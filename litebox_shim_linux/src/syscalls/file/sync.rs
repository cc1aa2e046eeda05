//! Writing back, and advice about coming reads.

use litebox::fs::FileType;
use litebox::{Error, Result};
use litebox_common_linux::abi::file::{FileAdvice, SyncRangeFlags};

use super::is_regular;
use crate::Task;

impl Task<'_, '_> {
    /// fsync(2)
    pub(crate) fn fsync(&mut self, fd: i32) -> Result<usize> {
        self.file(fd)?.file.sync(false)?;
        Ok(0)
    }
    /// fdatasync(2)
    pub(crate) fn fdatasync(&mut self, fd: i32) -> Result<usize> {
        self.file(fd)?.file.sync(true)?;
        Ok(0)
    }
    /// sync(2)
    pub(crate) fn sync(&mut self) -> Result<usize> {
        for mount in self.kernel().vfs.mounts() {
            mount.fs.sync()?;
        }
        Ok(0)
    }
    /// syncfs(2)
    pub(crate) fn syncfs(&mut self, fd: i32) -> Result<usize> {
        if let Some(at) = &self.file(fd)?.location {
            at.mount.fs.sync()?;
        }
        Ok(0)
    }
    /// sync_file_range(2): checked. It starts writing and waits for that, but makes nothing safe: fsync(2) does.
    pub(crate) fn sync_file_range(&mut self, fd: i32, offset: i64, bytes: i64, flags: SyncRangeFlags) -> Result<usize> {
        let file = self.file(fd)?;
        let in_range = offset >= 0 && bytes >= 0 && offset.checked_add(bytes).is_some();
        if !SyncRangeFlags::all().contains(flags) || !in_range {
            return Err(Error::Invalid);
        }
        match file.file.inode().file_type() {
            FileType::Regular | FileType::BlockDevice | FileType::Directory | FileType::Symlink if file.has_place() => {
            }
            _ => return Err(Error::NotSeekable),
        }
        Ok(0)
    }
    /// posix_fadvise(2): checked; nothing here is slower without the advice.
    pub(crate) fn fadvise64(&mut self, fd: i32, _offset: i64, len: i64, advice: FileAdvice) -> Result<usize> {
        let known = FileAdvice::POSIX_FADV_NORMAL.0..=FileAdvice::POSIX_FADV_NOREUSE.0;
        let file = self.file(fd)?;
        if file.file.inode().file_type() == FileType::Fifo {
            return Err(Error::NotSeekable);
        }
        if len < 0 || !known.contains(&advice.0) { Err(Error::Invalid) } else { Ok(0) }
    }
    /// readahead(2): checked; the host reads ahead by itself.
    pub(crate) fn readahead(&mut self, fd: i32, _offset: i64, count: usize) -> Result<usize> {
        let file = self.file(fd)?;
        if !file.access.contains(litebox::fs::Access::READ) {
            return Err(Error::BadDescriptor);
        }
        let can_be_long = isize::try_from(count).is_ok();
        if can_be_long && is_regular(&file) && file.has_place() { Ok(0) } else { Err(Error::Invalid) }
    }
}
