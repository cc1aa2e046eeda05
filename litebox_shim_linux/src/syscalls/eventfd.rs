//! Counters as files.

use litebox::eventfd::EventFile;
use litebox::fs::{Access, StatusFlags};
use litebox::{Error, Result};

use crate::Task;

const EFD_SEMAPHORE: i32 = 1;
const EFD_NONBLOCK: i32 = 0o4000;
const EFD_CLOEXEC: i32 = 0o2_000_000;

impl Task<'_, '_> {
    /// eventfd(2) without flags.
    pub(crate) fn eventfd(&mut self, count: u32) -> Result<usize> {
        self.eventfd2(count, 0)
    }

    /// eventfd2(2)
    pub(crate) fn eventfd2(&mut self, count: u32, flags: i32) -> Result<usize> {
        if flags & !(EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC) != 0 {
            return Err(Error::Invalid);
        }
        let mut status = StatusFlags::empty();
        status.set(StatusFlags::NONBLOCK, flags & EFD_NONBLOCK != 0);
        let file = EventFile::new(count, flags & EFD_SEMAPHORE != 0);
        let file = self.nameless(file, Access::READ | Access::WRITE, status);
        self.install(file, flags & EFD_CLOEXEC != 0)
    }
}
