//! Pipes and fifos.

use alloc::sync::Arc;

use litebox::error::errno::ENOPKG;
use litebox::event::{Events, wait_until_ready};
use litebox::fs::{Access, OpenFile, StatusFlags};
use litebox::pipe::{Pipe, PipeEnd};
use litebox::{Error, Result};
use litebox_common_linux::abi::file::OpenFlags;

use crate::Task;

/// `O_EXCL`: a queue of the kernel's notifications, which a Linux may be built without.
const O_NOTIFICATION_PIPE: OpenFlags = OpenFlags::O_EXCL;

impl Task<'_, '_> {
    /// pipe(2)
    pub(crate) fn pipe(&mut self, fds: u64) -> Result<usize> {
        self.pipe2(fds, OpenFlags::empty())
    }

    /// pipe2(2)
    pub(crate) fn pipe2(&mut self, fds: u64, flags: OpenFlags) -> Result<usize> {
        if !(OpenFlags::O_CLOEXEC | OpenFlags::O_NONBLOCK | OpenFlags::O_DIRECT | O_NOTIFICATION_PIPE).contains(flags) {
            return Err(Error::Invalid);
        }
        if flags.contains(O_NOTIFICATION_PIPE) {
            return Err(ENOPKG);
        }
        let creds = self.creds();
        let kernel = self.kernel();
        let owner = (creds.fsuid, creds.fsgid);
        let (reader, writer) = Pipe::pair(&kernel.settings.pipes, kernel.vfs.next_open_id(), owner)?;
        let mut status = StatusFlags::empty();
        status.set(StatusFlags::NONBLOCK, flags.contains(OpenFlags::O_NONBLOCK));
        let reader = self.nameless(reader, Access::READ, status);
        let writer = self.nameless(writer, Access::WRITE, status);
        if flags.contains(OpenFlags::O_DIRECT) {
            writer.set_flags(status | StatusFlags::DIRECT)?;
        }
        self.install_two(reader, writer, flags.contains(OpenFlags::O_CLOEXEC), fds)
    }

    /// Opening a fifo ends when the other side is open too.
    pub(super) fn await_partner(&mut self, file: &Arc<OpenFile>) -> Result<()> {
        let Some(end) = file.file.as_any().downcast_ref::<PipeEnd>() else { return Ok(()) };
        let opened = wait_until_ready(self.waiter(), &**file, Events::IN | Events::OUT, None, || end.meets_partner());
        opened.map_err(|error| self.restartable(error))
    }
}
