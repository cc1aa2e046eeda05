//! A socket as an open file: what is the same of all families.

use alloc::sync::Arc;
use core::any::Any;
use core::time::Duration;

use super::Socket;
use crate::event::{Events, Observer, WaitQueue};
use crate::fs::{AnonInode, File, Inode, StatusFlags};
use crate::io::{Dest, Source};
use crate::platform::{Instant, host};
use crate::{Error, Result};

/// What a socket does as a file that others do not.
pub(super) trait SocketFile: Sized + Send + Sync + 'static {
    /// Its inode.
    fn node(&self) -> &Arc<AnonInode>;
    /// Those who wait for it.
    fn waiters(&self) -> &WaitQueue;
    /// read(2), of one byte at least.
    fn read_some(&self, dest: &mut Dest<'_>) -> Result<usize>;
    /// write(2)
    fn write_some(&self, source: &mut Source<'_>) -> Result<usize>;
    /// What it is ready for now.
    fn readiness(&self) -> Events;
    /// The number that ioctl(2) tells: `NotTerminal` for requests it does not know.
    fn number(&self, request: u32) -> Result<usize>;
    /// [`File::takes_everything`]
    fn writes_all(&self) -> bool;
    /// [`File::sleep_outside`]
    fn sleeps_outside(&self, _interest: Events, _deadline: Option<Instant>) -> Option<Result<()>> {
        None
    }
    /// Somebody waits for it from now on.
    fn is_observed(&self) {}
    /// [`File::is_timed`]
    fn waits_for_time(&self) -> bool {
        false
    }
    /// [`File::expire`]
    fn time_passes(&self) -> Option<Instant> {
        None
    }
    /// [`File::set_status`]
    fn status_is(&self, _flags: StatusFlags) {}
}

impl<S: SocketFile + Socket> File for S {
    fn signals_owner(&self) -> bool {
        true
    }
    fn inode(&self) -> Arc<dyn Inode> {
        self.node().clone()
    }
    fn is_stream(&self) -> bool {
        true
    }
    fn takes_everything(&self) -> bool {
        self.writes_all()
    }
    fn io_timeout(&self, writing: bool) -> Option<Duration> {
        self.options().io_timeout(writing)
    }
    fn read_at(&self, dest: &mut Dest<'_>, _offset: u64) -> Result<usize> {
        if dest.remaining() == 0 { Ok(0) } else { self.read_some(dest) }
    }
    fn write_at(&self, source: &mut Source<'_>, _offset: u64) -> Result<usize> {
        self.write_some(source)
    }
    fn ready(&self) -> Events {
        self.readiness()
    }
    fn observe(&self, observer: &Arc<dyn Observer>, interest: Events) -> bool {
        self.waiters().add(observer, interest);
        self.is_observed();
        true
    }
    fn unobserve(&self, observer: &Arc<dyn Observer>) {
        self.waiters().remove(observer);
    }
    fn sleep_outside(&self, interest: Events, deadline: Option<Instant>) -> Option<Result<()>> {
        self.sleeps_outside(interest, deadline)
    }
    fn is_timed(&self) -> bool {
        self.waits_for_time()
    }
    fn expire(&self) -> Option<Instant> {
        self.time_passes()
    }
    fn set_status(&self, flags: StatusFlags) -> Result<()> {
        self.status_is(flags);
        Ok(())
    }
    fn ioctl(&self, request: u32, arg: usize) -> Result<usize> {
        let bytes = i32::try_from(self.number(request)?).unwrap_or(i32::MAX).to_ne_bytes();
        let copied = host().copy_to_user(arg, &bytes);
        if copied == bytes.len() { Ok(0) } else { Err(Error::Fault) }
    }
    fn as_socket(&self) -> Option<&dyn Socket> {
        Some(self)
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
