//! `/dev/tty` and `/dev/console`: the terminal of the user, when a standard stream of the sandbox is one.

use alloc::sync::Arc;
use core::any::Any;

use crate::event::{Events, Observer};
use crate::fs::host::{HostFile, Streams, is_terminal};
use crate::fs::{File, Inode, StatusFlags};
use crate::io::{Dest, Source};
use crate::platform::HostFd;
use crate::{Error, Result};

/// The terminal the sandbox was started on.
pub(super) struct Terminal {
    node: Arc<dyn Inode>,
    stream: Arc<HostFile>,
}

impl Terminal {
    /// `NoSuchDevice` when no standard stream is a terminal.
    pub fn open(node: Arc<dyn Inode>, streams: &Arc<Streams>) -> Result<Self> {
        for number in 0..3 {
            if is_terminal(HostFd(number)) {
                return Ok(Self { node, stream: HostFile::stream(HostFd(number), streams)? });
            }
        }
        Err(Error::NoSuchDevice)
    }
}

impl File for Terminal {
    fn signals_owner(&self) -> bool {
        true
    }
    fn inode(&self) -> Arc<dyn Inode> {
        self.node.clone()
    }
    fn is_stream(&self) -> bool {
        true
    }
    fn read_at(&self, dest: &mut Dest<'_>, offset: u64) -> Result<usize> {
        self.stream.read_at(dest, offset)
    }
    fn write_at(&self, source: &mut Source<'_>, offset: u64) -> Result<usize> {
        self.stream.write_at(source, offset)
    }
    fn ioctl(&self, request: u32, arg: usize) -> Result<usize> {
        self.stream.ioctl(request, arg)
    }
    fn ready(&self) -> Events {
        self.stream.ready()
    }
    fn observe(&self, observer: &Arc<dyn Observer>, interest: Events) -> bool {
        self.stream.observe(observer, interest)
    }
    fn unobserve(&self, observer: &Arc<dyn Observer>) {
        self.stream.unobserve(observer);
    }
    fn set_status(&self, flags: StatusFlags) -> Result<()> {
        self.stream.set_status(flags)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
