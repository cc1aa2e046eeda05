//! Descriptors: close, dup and their kin.

use alloc::sync::Arc;
use litebox_common_linux::abi::file::{CloseRangeFlags, OpenFlags};

use litebox::fs::{FdTable, OpenFile};
use litebox::{Error, Result};

use super::locks::owner_of;
use crate::Task;

impl Task<'_, '_> {
    /// What follows when a descriptor no longer refers to `file`: record locks taken by the table end, late errors are
    /// reported.
    pub(crate) fn closed(&self, file: Arc<OpenFile>) -> Result<()> {
        self.closed_in(&self.thread.files, file)
    }

    /// The same for a descriptor of `table`.
    pub(crate) fn closed_in(&self, table: &FdTable, file: Arc<OpenFile>) -> Result<()> {
        let locks = &self.kernel().file_locks;
        if !locks.no_records() {
            locks.release(file.file.inode().id(), owner_of(table));
        }
        let flushed = file.file.flush();
        drop(file);
        flushed
    }

    /// close(2)
    pub(crate) fn close(&mut self, fd: i32) -> Result<usize> {
        let file = self.thread.files.remove(fd)?;
        self.closed(file)?;
        Ok(0)
    }

    /// close_range(2)
    pub(crate) fn close_range(&mut self, first: u32, last: u32, flags: CloseRangeFlags) -> Result<usize> {
        if !CloseRangeFlags::all().contains(flags) || first > last {
            return Err(Error::Invalid);
        }
        if flags.contains(CloseRangeFlags::CLOSE_RANGE_UNSHARE) {
            self.own_descriptors();
        }
        let files = &self.thread.files;
        if flags.contains(CloseRangeFlags::CLOSE_RANGE_CLOEXEC) {
            let in_range = |fd: &i32| u32::try_from(*fd).is_ok_and(|fd| (first..=last).contains(&fd));
            for fd in files.descriptors().into_iter().filter(in_range) {
                // A descriptor that another thread closed meanwhile needs no mark.
                let _ = files.set_close_on_exec(fd, true);
            }
            return Ok(0);
        }
        for file in files.remove_range(first, last) {
            // Linux reports nothing here.
            let _ = self.closed(file);
        }
        Ok(0)
    }

    /// dup(2)
    pub(crate) fn dup(&mut self, fd: i32) -> Result<usize> {
        let file = self.file_or_path(fd)?;
        self.install(file, false)
    }

    /// dup2(2)
    pub(crate) fn dup2(&mut self, old: i32, new: i32) -> Result<usize> {
        if old == new {
            self.file_or_path(old)?;
            return Ok(new as usize);
        }
        self.duplicate_at(old, new, false)
    }

    /// dup3(2)
    pub(crate) fn dup3(&mut self, old: i32, new: i32, flags: OpenFlags) -> Result<usize> {
        if !OpenFlags::O_CLOEXEC.contains(flags) || old == new {
            return Err(Error::Invalid);
        }
        self.duplicate_at(old, new, flags.contains(OpenFlags::O_CLOEXEC))
    }

    fn duplicate_at(&mut self, old: i32, new: i32, close_on_exec: bool) -> Result<usize> {
        let file = self.file_or_path(old)?;
        let files = &self.thread.files;
        if let Some(before) = files.install_at(new, file, close_on_exec, self.descriptor_limit())? {
            // The errors of closing it silently are lost on Linux too.
            let _ = self.closed(before);
        }
        Ok(new as usize)
    }
}
