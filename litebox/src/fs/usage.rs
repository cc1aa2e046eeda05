//! Who uses a file as what: what is written is not executed, and what runs is not written (`ETXTBSY`).

use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use alloc::sync::Arc;

use super::{Access, Inode, OpenFile};
use crate::{Error, Result};

/// How an inode of the sandbox's own file systems is in use.
#[derive(Default)]
pub struct Usage {
    /// Open files that may write; negative: programs that run from it.
    writers: AtomicI32,
    /// Open files, `O_PATH` apart.
    opens: AtomicU32,
    /// Leases on it.
    pub(super) leases: AtomicU32,
}

impl Usage {
    fn count(&self, step: i32) -> Result<()> {
        let same_side = |n: i32| (n == 0 || (n > 0) == (step > 0)).then_some(n.saturating_add(step));
        let counted = self.writers.fetch_update(Ordering::AcqRel, Ordering::Acquire, same_side);
        counted.map(drop).map_err(|_| Error::TextBusy)
    }
    /// One more open file; `TextBusy` for a writer of a program that runs.
    pub(super) fn open(&self, access: Access) -> Result<()> {
        if access.contains(Access::WRITE) {
            self.count(1)?;
        }
        self.opens.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }
    /// One less.
    pub(super) fn close(&self, access: Access) {
        self.opens.fetch_sub(1, Ordering::AcqRel);
        if access.contains(Access::WRITE) {
            self.writers.fetch_sub(1, Ordering::AcqRel);
        }
    }
    /// `TextBusy` while a program runs from it.
    pub(super) fn check_changeable(&self) -> Result<()> {
        if self.writers.load(Ordering::Acquire) < 0 { Err(Error::TextBusy) } else { Ok(()) }
    }
    /// `TextBusy` while somebody has it open for writing.
    pub(super) fn check_executable(&self) -> Result<()> {
        if self.writers.load(Ordering::Acquire) > 0 { Err(Error::TextBusy) } else { Ok(()) }
    }
    /// Whether somebody has it open for writing.
    pub(super) fn is_written(&self) -> bool {
        self.writers.load(Ordering::Acquire) > 0
    }
    /// Open files of it.
    pub(super) fn open_files(&self) -> u32 {
        self.opens.load(Ordering::Acquire)
    }
}

/// While it lives, the file runs as a program: nobody opens it for writing.
pub struct Running(Arc<dyn Inode>);

impl Running {
    /// Of a program that was opened; `TextBusy` when somebody writes it.
    pub fn begin(program: &OpenFile) -> Result<Self> {
        let inode = program.file.inode();
        if let Some(usage) = inode.usage() {
            usage.count(-1)?;
        }
        Ok(Self(inode))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(usage) = self.0.usage() {
            usage.writers.fetch_add(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Access, Error, Ordering, Usage};

    #[test]
    fn writers_and_programs_exclude_each_other() {
        let usage = Usage::default();
        assert_eq!(usage.open(Access::WRITE), Ok(()));
        assert_eq!(usage.open(Access::READ), Ok(()));
        assert_eq!(usage.check_executable(), Err(Error::TextBusy));
        assert_eq!(usage.count(-1), Err(Error::TextBusy));
        usage.close(Access::WRITE);
        assert_eq!(usage.count(-1), Ok(()));
        assert_eq!(usage.open(Access::WRITE | Access::READ), Err(Error::TextBusy));
        assert_eq!(usage.check_changeable(), Err(Error::TextBusy));
        usage.writers.fetch_add(1, Ordering::AcqRel);
        assert_eq!(usage.open(Access::WRITE), Ok(()));
        assert_eq!(usage.open_files(), 2);
    }
}
