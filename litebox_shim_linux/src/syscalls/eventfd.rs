//! Counters as files.

use litebox::eventfd::EventFile;
use litebox::fs::{Access, StatusFlags};
use litebox::{Error, Result};
use litebox_common_linux::abi::file::EventFdFlags;

use crate::Task;

impl Task<'_, '_> {
    /// eventfd(2) without flags.
    pub(crate) fn eventfd(&mut self, count: u32) -> Result<usize> {
        self.eventfd2(count, EventFdFlags::empty())
    }

    /// eventfd2(2)
    pub(crate) fn eventfd2(&mut self, count: u32, flags: EventFdFlags) -> Result<usize> {
        if !EventFdFlags::all().contains(flags) {
            return Err(Error::Invalid);
        }
        let mut status = StatusFlags::empty();
        status.set(StatusFlags::NONBLOCK, flags.contains(EventFdFlags::EFD_NONBLOCK));
        let file = EventFile::new(count, flags.contains(EventFdFlags::EFD_SEMAPHORE));
        let file = self.nameless(file, Access::READ | Access::WRITE, status);
        self.install(file, flags.contains(EventFdFlags::EFD_CLOEXEC))
    }
}
