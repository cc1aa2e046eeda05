//! Pipes and fifos.

use alloc::sync::Arc;
use litebox_common_linux::abi::file::{O_CLOEXEC, O_DIRECT, O_NONBLOCK};

use litebox::event::{Events, wait_until_ready};
use litebox::fs::{Access, OpenFile, StatusFlags};
use litebox::pipe::{Pipe, PipeEnd};
use litebox::{Error, Result};

use crate::Task;

/// `O_EXCL`: a queue of the kernel's notifications, which a Linux may be built without.
const O_NOTIFICATION_PIPE: i32 = 0o200;
const ENOPKG: Error = Error::Host(65);

impl Task<'_, '_> {
    /// pipe(2)
    pub(crate) fn pipe(&mut self, fds: u64) -> Result<usize> {
        self.pipe2(fds, 0)
    }

    /// pipe2(2)
    pub(crate) fn pipe2(&mut self, fds: u64, flags: i32) -> Result<usize> {
        if flags & !(O_CLOEXEC | O_NONBLOCK | O_DIRECT | O_NOTIFICATION_PIPE) != 0 {
            return Err(Error::Invalid);
        }
        if flags & O_NOTIFICATION_PIPE != 0 {
            return Err(ENOPKG);
        }
        let creds = self.creds();
        let kernel = self.kernel();
        let owner = (creds.fsuid, creds.fsgid);
        let (reader, writer) = Pipe::pair(&kernel.settings.pipes, kernel.vfs.next_open_id(), owner)?;
        let mut status = StatusFlags::empty();
        status.set(StatusFlags::NONBLOCK, flags & O_NONBLOCK != 0);
        let reader = self.nameless(reader, Access::READ, status);
        let writer = self.nameless(writer, Access::WRITE, status);
        if flags & O_DIRECT != 0 {
            writer.set_flags(status | StatusFlags::DIRECT)?;
        }
        self.install_two(reader, writer, flags & O_CLOEXEC != 0, fds)
    }

    /// Opening a fifo ends when the other side is open too.
    pub(super) fn await_partner(&mut self, file: &Arc<OpenFile>) -> Result<()> {
        let Some(end) = file.file.as_any().downcast_ref::<PipeEnd>() else { return Ok(()) };
        let opened = wait_until_ready(self.waiter(), &**file, Events::IN | Events::OUT, None, || end.meets_partner());
        opened.map_err(|error| self.restartable(error))
    }
}
