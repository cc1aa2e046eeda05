//! What opening gives: an open file's operations.

use alloc::sync::Arc;
use core::any::Any;

use super::{Inode, Metadata, Seals, SetAttr, StatusFlags};
use crate::event::{Events, Observer};
use crate::io::{Dest, Source};
use crate::platform::HostFd;
use crate::{Error, Result};

/// How the bytes of a file can be mapped into a guest.
#[derive(Clone, Debug)]
pub enum Mapping {
    /// From a host descriptor, same offsets.
    Host {
        /// The descriptor.
        fd: HostFd,
        /// Nobody changes the file.
        fixed: bool,
    },
    /// From pages of the arena.
    Arena(Arc<crate::mm::arena::PageCache>),
    /// Private zero pages that the file has no part in (`/dev/zero`).
    Anonymous,
}

/// A stream with an offset that others outside share: a standard stream that is a regular file there.
pub trait Seekable {
    /// Moves the offset as lseek(2) does; where it is then.
    fn seek(&self, offset: i64, whence: i32) -> Result<u64>;
    /// As pread(2).
    fn pread(&self, dest: &mut Dest<'_>, offset: u64) -> Result<usize>;
    /// As pwrite(2).
    fn pwrite(&self, source: &mut Source<'_>, offset: u64) -> Result<usize>;
}

/// The operations of an open file. Offsets belong to the [`OpenFile`](super::OpenFile); streams (`is_stream`) ignore
/// them. What would block returns `WouldBlock`; the caller waits through [`crate::event::wait_until_ready`]. Short
/// transfers are allowed.
pub trait File: Any + Send + Sync {
    /// Its inode. Files without a name (pipes, eventfds) have an inode of their own.
    fn inode(&self) -> Arc<dyn Inode>;
    /// Metadata now (fstat(2)).
    fn metadata(&self) -> Result<Metadata> {
        self.inode().metadata()
    }
    /// Changes metadata through the open file (ftruncate(2), fchmod(2), futimens(3)); permission was checked.
    fn set_attr(&self, attr: &SetAttr) -> Result<()> {
        self.inode().set_attr(attr)
    }
    /// Whether it has no offsets (pipe, terminal, eventfd): lseek and pread are `NotSeekable`. Always the same of one
    /// file.
    fn is_stream(&self) -> bool {
        false
    }
    /// Where the next read or write of a stream takes place, when it leads to a regular file; `None`: nowhere, or the
    /// [`OpenFile`](super::OpenFile) knows.
    fn stream_position(&self) -> Option<u64> {
        None
    }
    /// A stream that leads to a file with offsets all the same: lseek(2) and pread(2) are its own matter.
    fn as_seekable(&self) -> Option<&dyn Seekable> {
        None
    }
    /// Whether a blocking write goes on until everything is written.
    fn takes_everything(&self) -> bool {
        self.is_stream()
    }
    /// Whether it can be read or written at all, where it is open for that: a set of epoll(7) cannot.
    fn transfers(&self) -> bool {
        true
    }
    /// Where `SEEK_END` of lseek(2) counts from; `Invalid` when it has no end.
    fn end(&self) -> Result<u64> {
        self.metadata().map(|metadata| metadata.size)
    }
    /// How long a blocking read or write waits at most (SO_RCVTIMEO, SO_SNDTIMEO); `None`: for ever. Asked of streams
    /// only.
    fn io_timeout(&self, _writing: bool) -> Option<core::time::Duration> {
        None
    }
    /// Whether its offset always is 0 (/dev/null, /dev/urandom): lseek(2) answers 0, nothing moves it. pread(2) works
    /// unless it is a stream too (eventfd, timers). Always the same of one file.
    fn offset_stays(&self) -> bool {
        false
    }
    /// Whether its owner can be signalled when it becomes ready (`O_ASYNC`).
    fn signals_owner(&self) -> bool {
        false
    }
    /// Reads from `offset`. 0 at the end.
    fn read_at(&self, _dest: &mut Dest<'_>, _offset: u64) -> Result<usize> {
        Err(Error::Invalid)
    }
    /// Writes at `offset`.
    fn write_at(&self, _source: &mut Source<'_>, _offset: u64) -> Result<usize> {
        Err(Error::Invalid)
    }
    /// Writes at the end, atomically with finding the end; returns the count and the offset behind it.
    fn append(&self, source: &mut Source<'_>) -> Result<(usize, u64)> {
        let end = self.metadata()?.size;
        let n = self.write_at(source, end)?;
        Ok((n, end + n as u64))
    }
    /// lseek(2) with `SEEK_DATA` (`hole` false) or `SEEK_HOLE`.
    fn seek_data(&self, offset: u64, hole: bool) -> Result<u64> {
        let size = self.metadata()?.size;
        if offset >= size {
            return Err(Error::NoSuchDevice);
        }
        Ok(if hole { size } else { offset })
    }
    /// fallocate(2) with a Linux mode.
    fn allocate(&self, _mode: i32, _offset: u64, _len: u64) -> Result<()> {
        Err(Error::NotSupported)
    }
    /// fsync(2), fdatasync(2).
    fn sync(&self, _data_only: bool) -> Result<()> {
        Err(Error::Invalid)
    }
    /// How it can be mapped; `NoDevice` when it cannot.
    fn mapping(&self) -> Result<Mapping> {
        Err(Error::NoDevice)
    }
    /// It was read, or mapped, which counts as much: for the time of its last access.
    fn note_read(&self) {}
    /// What was written to a shared mapping of it is to count: for the time of its last change. Where the host keeps
    /// the time, nothing.
    fn note_written(&self) {}
    /// A terminal or device request. `arg` is as the guest gave it.
    fn ioctl(&self, _request: u32, _arg: usize) -> Result<usize> {
        Err(Error::NotTerminal)
    }
    /// What it is ready for now. Regular files always are.
    fn ready(&self) -> Events {
        Events::IN | Events::OUT | Events::RDNORM | Events::WRNORM
    }
    /// Registers for changes of readiness; `false`: never changes.
    fn observe(&self, _observer: &Arc<dyn Observer>, _interest: Events) -> bool {
        false
    }
    /// Takes a registration back.
    fn unobserve(&self, _observer: &Arc<dyn Observer>) {}
    /// Sleeps until it is likely to be ready for `interest`, where the host can do that itself; `None`: it cannot.
    fn sleep_outside(&self, _interest: Events, _deadline: Option<crate::platform::Instant>) -> Option<Result<()>> {
        None
    }
    /// Whether it may become ready by the passing of time alone (timers, and sets that may hold timers).
    fn is_timed(&self) -> bool {
        false
    }
    /// For timed files: accounts for the time that has passed, tells observers when that made it ready, and says when
    /// it will happen next. Whoever sleeps on the file wakes up then and asks again.
    fn expire(&self) -> Option<crate::platform::Instant> {
        None
    }
    /// The status flags (append, nonblocking...) are being set by fcntl(2) F_SETFL.
    fn set_status(&self, _flags: StatusFlags) -> Result<()> {
        Ok(())
    }
    /// Bytes a pipe can hold (fcntl(2) F_GETPIPE_SZ).
    fn pipe_size(&self) -> Result<usize> {
        Err(Error::BadDescriptor)
    }
    /// Changes how many bytes a pipe can hold; returns the new size, which may be larger (F_SETPIPE_SZ).
    fn set_pipe_size(&self, _size: usize) -> Result<usize> {
        Err(Error::BadDescriptor)
    }
    /// What may no longer be done to a memory file (F_GET_SEALS).
    fn seals(&self) -> Result<Seals> {
        Err(Error::Invalid)
    }
    /// Seals a memory file further (F_ADD_SEALS).
    fn add_seals(&self, _seals: Seals) -> Result<()> {
        Err(Error::Invalid)
    }
    /// A descriptor for it is being closed (flush(2) in FUSE's terms); errors are reported by close(2).
    fn flush(&self) -> Result<()> {
        Ok(())
    }
    /// The socket it is, if it is one.
    fn as_socket(&self) -> Option<&dyn crate::net::Socket> {
        None
    }
    /// For downcasts.
    fn as_any(&self) -> &dyn Any;
    /// For downcasts of shared handles.
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}
