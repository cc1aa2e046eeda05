//! Descriptors of the host that the sandbox holds, and watching them.

use core::sync::atomic::Ordering;

use litebox::platform::{Clock, HostFd, HostFiles, HostStat, Instant, UserAccess};
use litebox::{Error, Result};

use crate::LinuxHost;
use crate::host::call::{self, host_call, nr};
use crate::host::published::Published;
use crate::host::rseq_areas;
use crate::host::thread_block::{MODE_BLOCKED, current};

/// struct stat of the host (x86-64).
#[repr(C)]
#[derive(Default)]
struct Stat {
    dev: u64,
    ino: u64,
    nlink: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    pad: u32,
    rdev: u64,
    size: i64,
    blksize: i64,
    blocks: i64,
    times: [(i64, i64); 3],
    reserved: [i64; 3],
}

/// struct pollfd of the host.
#[repr(C)]
struct PollFd {
    fd: i32,
    events: u16,
    returned: u16,
}

/// struct epoll_event of the host (packed on x86-64).
#[repr(C, packed)]
#[derive(Clone, Copy, Default)]
pub(crate) struct EpollEvent {
    pub(crate) events: u32,
    pub(crate) token: u64,
}

pub(crate) const EPOLL_CTL_ADD: usize = 1;
const EPOLL_CTL_DEL: usize = 2;
const EPOLL_CTL_MOD: usize = 3;
const POLLIN: u16 = 1;
/// A pipe that is ready takes as much.
const PIPE_BUF: usize = 4096;
const POLLOUT: u16 = 4;
const EPOLLET: u32 = 1 << 31;

/// What the supervisor waits at.
pub(crate) static EPOLL: Published<HostFd> = Published::nothing();
/// A counter (eventfd(2)) that has it look around.
pub(crate) static SUPERVISOR_COUNTER: Published<HostFd> = Published::nothing();

/// Has the supervisor look around. A counter that is full says so already.
pub(crate) fn wake_supervisor() {
    let one = 1u64;
    // SAFETY: the host reads eight bytes.
    let _ = unsafe { host_call!(nr::WRITE, SUPERVISOR_COUNTER.0, &raw const one, size_of::<u64>()) };
}

/// A call that may sleep: interruptible on a guest thread.
///
/// # Safety
/// As for the call itself.
unsafe fn may_block(nr: usize, fd: HostFd, addr: usize, len: usize) -> Result<usize> {
    // SAFETY: the caller's promise; the waiter of a guest thread lives as long as it.
    unsafe {
        if let Some(block) = current() {
            let waiter = &*block.waiter;
            let wanted = if nr == nr::READ { POLLIN } else { POLLOUT };
            if waiter.announces() && LinuxHost.host_poll(fd, wanted) == Ok(0) {
                waiter.announce();
            }
            // A kick before the call has marked the waiter, which the call looks at; one after this line finds the
            // thread.
            let host = &*block.host;
            let before = host.mode.swap(MODE_BLOCKED, Ordering::SeqCst);
            let result = call::interruptible(nr, fd.0 as usize, addr, len, waiter.word());
            // A call that came by the fast entry goes on in guest mode.
            host.mode.store(before, Ordering::SeqCst);
            if result == Err(Error::Interrupted) && LinuxHost.host_poll(fd, wanted).is_ok_and(|ready| ready != 0) {
                // It was not tried. Linux looks for signals only where it would sleep: so much can be moved without.
                return host_call!(nr, fd.0, addr, len.min(PIPE_BUF));
            }
            result
        } else {
            host_call!(nr, fd.0, addr, len)
        }
    }
}

/// Has the host fill memory by `fill` (address, length; returns how many bytes came). Memory with a pointer that the
/// host follows is filled by us.
fn filled(addr: usize, len: usize, fill: impl FnOnce(usize, usize) -> Result<usize>) -> Result<usize> {
    const PIECE: usize = 512;
    if rseq_areas::pointer_in(addr, len).is_none() {
        return fill(addr, len);
    }
    let mut piece = [0u8; PIECE];
    let came = fill(piece.as_mut_ptr() as usize, len.min(PIECE))?;
    let bytes = piece.get(..came).ok_or(Error::Fault)?;
    if LinuxHost.copy_to_user(addr, bytes) == came { Ok(came) } else { Err(Error::Fault) }
}

impl HostFiles for LinuxHost {
    unsafe fn host_read(&self, fd: HostFd, addr: usize, len: usize) -> Result<usize> {
        // SAFETY: the caller's promise, or a buffer of ours.
        filled(addr, len, |addr, len| unsafe { may_block(nr::READ, fd, addr, len) })
    }
    unsafe fn host_write(&self, fd: HostFd, addr: usize, len: usize) -> Result<usize> {
        // SAFETY: the caller's promise.
        unsafe { may_block(nr::WRITE, fd, addr, len) }
    }
    unsafe fn host_pread(&self, fd: HostFd, addr: usize, len: usize, offset: u64) -> Result<usize> {
        // SAFETY: the caller's promise, or a buffer of ours.
        filled(addr, len, |addr, len| unsafe { host_call!(nr::PREAD64, fd.0, addr, len, offset) })
    }
    unsafe fn host_pwrite(&self, fd: HostFd, addr: usize, len: usize, offset: u64) -> Result<usize> {
        // SAFETY: the caller's promise.
        unsafe { host_call!(nr::PWRITE64, fd.0, addr, len, offset) }
    }
    unsafe fn host_append(&self, fd: HostFd, addr: usize, len: usize) -> Result<(usize, u64)> {
        // SAFETY: the caller's promise.
        let written = unsafe { host_call!(nr::WRITE, fd.0, addr, len) }?;
        const SEEK_CUR: i32 = 1;
        Ok((written, self.host_seek(fd, 0, SEEK_CUR)?))
    }
    fn host_fstat(&self, fd: HostFd) -> Result<HostStat> {
        let mut stat = Stat::default();
        // SAFETY: the host writes one struct stat.
        unsafe { host_call!(nr::FSTAT, fd.0, &raw mut stat) }?;
        let time = |(sec, nsec): (i64, i64)| (sec, u32::try_from(nsec).unwrap_or(0));
        let count = |n: i64| u64::try_from(n).unwrap_or(0);
        Ok(HostStat {
            dev: stat.dev,
            ino: stat.ino,
            mode: stat.mode,
            nlink: u32::try_from(stat.nlink).unwrap_or(u32::MAX),
            uid: stat.uid,
            gid: stat.gid,
            rdev: stat.rdev,
            size: count(stat.size),
            blocks: count(stat.blocks),
            blksize: u32::try_from(stat.blksize).unwrap_or(4096),
            atime: time(stat.times[0]),
            mtime: time(stat.times[1]),
            ctime: time(stat.times[2]),
        })
    }
    fn host_truncate(&self, fd: HostFd, len: u64) -> Result<()> {
        // SAFETY: no pointers.
        unsafe { host_call!(nr::FTRUNCATE, fd.0, len) }.map(drop)
    }
    fn host_fallocate(&self, fd: HostFd, mode: i32, offset: u64, len: u64) -> Result<()> {
        // SAFETY: no pointers.
        unsafe { host_call!(nr::FALLOCATE, fd.0, mode, offset, len) }.map(drop)
    }
    fn host_sync(&self, fd: HostFd) -> Result<()> {
        // SAFETY: no pointers.
        unsafe { host_call!(nr::FSYNC, fd.0) }.map(drop)
    }
    fn host_seek(&self, fd: HostFd, offset: i64, whence: i32) -> Result<u64> {
        // SAFETY: no pointers.
        unsafe { host_call!(nr::LSEEK, fd.0, offset, whence) }.map(|n| n as u64)
    }
    /// The broker lists directories; descriptors of directories never reach the sandbox.
    fn host_getdents(&self, _fd: HostFd, _buf: &mut [u8]) -> Result<usize> {
        Err(Error::NotDirectory)
    }
    fn host_close(&self, fd: HostFd) {
        // SAFETY: no pointers.
        let _ = unsafe { host_call!(nr::CLOSE, fd.0) };
    }
    unsafe fn host_ioctl(&self, fd: HostFd, request: u32, arg: usize) -> Result<usize> {
        // SAFETY: the caller's promise.
        unsafe { host_call!(nr::IOCTL, fd.0, request, arg) }
    }
    fn host_poll(&self, fd: HostFd, events: u16) -> Result<u16> {
        let mut one = PollFd { fd: fd.0, events, returned: 0 };
        loop {
            // SAFETY: the host reads and writes one struct pollfd; timeout 0.
            match unsafe { host_call!(nr::POLL, &raw mut one, 1, 0) } {
                // A kick came first. That says nothing of the descriptor.
                Err(Error::Interrupted) => {}
                asked => return asked.map(|_| one.returned),
            }
        }
    }
    unsafe fn host_receive(&self, fd: HostFd, addr: usize, len: usize, flags: i32) -> Result<usize> {
        // SAFETY: the caller's promise, or a buffer of ours.
        filled(addr, len, |addr, len| unsafe { crate::host::broker::receive_bytes(fd.0, addr, len, flags as usize) })
    }
    unsafe fn host_send(&self, fd: HostFd, addr: usize, len: usize) -> Result<usize> {
        // SAFETY: the caller's promise.
        unsafe { host_call!(nr::WRITE, fd.0, addr, len) }
    }
    fn host_wait(&self, fd: HostFd, events: u16, deadline: Option<Instant>) -> Result<u16> {
        const MILLISECOND: u128 = 1_000_000;
        let Some(block) = current() else { return Err(Error::NotSupported) };
        // SAFETY: the waiter and the host's part of a guest thread live as long as it.
        let (waiter, thread) = unsafe { (&*block.waiter, &*block.host) };
        if waiter.announces() && self.host_poll(fd, events) == Ok(0) {
            waiter.announce();
        }
        let mut one = PollFd { fd: fd.0, events, returned: 0 };
        loop {
            let left = deadline.map(|d| d.saturating_since(self.instant()).as_nanos().div_ceil(MILLISECOND));
            let pause = left.map_or(-1, |ms| i32::try_from(ms).unwrap_or(i32::MAX)) as isize as usize;
            // A kick before the call has marked the waiter, which the call looks at; one after this line finds the
            // thread.
            let before = thread.mode.swap(MODE_BLOCKED, Ordering::SeqCst);
            // SAFETY: the host reads and writes one struct pollfd.
            let ready = unsafe { call::interruptible(nr::POLL, (&raw mut one) as usize, 1, pause, waiter.word()) };
            thread.mode.store(before, Ordering::SeqCst);
            match ready {
                Ok(0) if deadline.is_some_and(|d| d <= self.instant()) => return Err(Error::TimedOut),
                Ok(0) => {}
                Ok(_) => return Ok(one.returned),
                Err(error) => return Err(error),
            }
        }
    }
    fn wake_supervisor(&self) {
        wake_supervisor();
    }
    fn host_watch(&self, fd: HostFd, events: u16, token: u64) -> Result<()> {
        watched(if events == 0 { EPOLL_CTL_DEL } else { EPOLL_CTL_ADD }, fd, events, token)
    }
    fn host_rewatch(&self, fd: HostFd, events: u16, token: u64) -> Result<()> {
        watched(EPOLL_CTL_MOD, fd, events, token)
    }
}

/// epoll_ctl(2) of the supervisor's epoll, edge-triggered.
fn watched(operation: usize, fd: HostFd, events: u16, token: u64) -> Result<()> {
    let mut event = EpollEvent { events: u32::from(events) | EPOLLET, token };
    // SAFETY: the host reads one event.
    unsafe { host_call!(nr::EPOLL_CTL, EPOLL.0, operation, fd.0, &raw mut event) }.map(drop)
}
