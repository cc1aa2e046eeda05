//! Calls of the first 32-bit programs, that later ones replaced.

use litebox::{Error, Result};
use litebox_common_linux::abi::file::{AtFlags, OldStat, Stat};
use litebox_common_linux::abi::memory::{MapArguments, PAGE};
use litebox_common_linux::abi::poll::SelectArguments;
use litebox_common_linux::abi::process::{Rlimit, WaitOptions};
use litebox_common_linux::abi::signal::{MaskHow, OldSigAction, SigAction};
use litebox_common_linux::argument::{Address, RawFd, UserMut, UserRef, UserStr};
use litebox_common_linux::prelude::{MapFlags, Protection};

use crate::Task;
use crate::signal::SigSet;
use crate::syscalls::file::{AT_FDCWD, stat_of};
use crate::user::{UserRead, UserWrite};

/// What of a set of signals a call with 32 of them means.
const FIRST_SIGNALS: u64 = 0xffff_ffff;

fn write_old_stat(metadata: &litebox::fs::Metadata, buf: UserMut<OldStat>) -> Result<usize> {
    let Stat { dev, ino, nlink, mode, uid, gid, rdev, size, atime, mtime, ctime, .. } = stat_of(metadata);
    if u16::try_from(ino).is_err() || u16::try_from(nlink).is_err() {
        return Err(Error::Overflow);
    }
    let padding = ();
    buf.write(OldStat { dev, ino, mode, nlink, uid, gid, rdev, padding, size, atime, mtime, ctime }).map(|()| 0)
}

impl Task<'_, '_> {
    /// stat(2)
    pub(crate) fn oldstat(&mut self, path: UserStr, buf: UserMut<OldStat>) -> Result<usize> {
        write_old_stat(&self.metadata_named(AT_FDCWD, path, AtFlags::empty())?, buf)
    }
    /// lstat(2)
    pub(crate) fn oldlstat(&mut self, path: UserStr, buf: UserMut<OldStat>) -> Result<usize> {
        write_old_stat(&self.metadata_named(AT_FDCWD, path, AtFlags::AT_SYMLINK_NOFOLLOW)?, buf)
    }
    /// fstat(2)
    pub(crate) fn oldfstat(&mut self, fd: i32, buf: UserMut<OldStat>) -> Result<usize> {
        write_old_stat(&self.metadata_of(fd)?, buf)
    }
    /// mmap(2), its arguments in memory.
    pub(crate) fn old_mmap(&mut self, arguments: UserRef<MapArguments>) -> Result<usize> {
        let MapArguments { address, len, protection, flags, fd, offset, .. } = arguments.read()?;
        if offset % PAGE as u64 != 0 {
            return Err(Error::Invalid);
        }
        let (address, protection) = (Address(address as usize), Protection(protection as usize));
        self.mmap(address, len as usize, protection, MapFlags(flags as usize), RawFd(fd), offset as usize)
    }
    /// select(2), its arguments in memory.
    pub(crate) fn old_select(&mut self, arguments: UserRef<SelectArguments>) -> Result<usize> {
        let SelectArguments { count, sets, timeout, .. } = arguments.read()?;
        let [readable, writable, exceptional] = sets.map(|set| UserMut::new(self.abi(), set as usize));
        self.select(count, readable, writable, exceptional, UserMut::new(self.abi(), timeout as usize))
    }
    /// select(2)
    pub(crate) fn _newselect(
        &mut self,
        count: i32,
        readable: UserMut<litebox_common_linux::argument::FdSet>,
        writable: UserMut<litebox_common_linux::argument::FdSet>,
        exceptional: UserMut<litebox_common_linux::argument::FdSet>,
        timeout: UserMut<litebox_common_linux::abi::time::Timeval>,
    ) -> Result<usize> {
        self.select(count, readable, writable, exceptional, timeout)
    }
    /// getrlimit(2), before limits were unsigned.
    pub(crate) fn old_getrlimit(&mut self, resource: u32, limit: UserMut<Rlimit>) -> Result<usize> {
        const MOST: u64 = 0x7fff_ffff;
        let now = self.process().limits.get(resource as usize).ok_or(Error::Invalid)?;
        limit.write(Rlimit { soft: now.soft.min(MOST), hard: now.hard.min(MOST) }).map(|()| 0)
    }
    /// getrlimit(2)
    pub(crate) fn ugetrlimit(&mut self, resource: u32, limit: UserMut<Rlimit>) -> Result<usize> {
        self.getrlimit(resource, limit)
    }
    /// stime(2): nobody here may.
    #[expect(clippy::unused_self, reason = "handlers of calls have one shape")]
    pub(crate) fn stime(&mut self, seconds: UserRef<isize>) -> Result<usize> {
        seconds.read()?;
        Err(Error::NotPermitted)
    }
    /// waitpid(2)
    pub(crate) fn waitpid(&mut self, pid: i32, status: UserMut<i32>, options: WaitOptions) -> Result<usize> {
        self.wait4(pid, status, options, UserMut::null())
    }
    /// nice(2): EPERM where setpriority(2) says EACCES.
    pub(crate) fn nice(&mut self, increment: i32) -> Result<usize> {
        const PROCESS: i32 = 0;
        const NEUTRAL: i32 = 20;
        // What getpriority(2) returns is never negative.
        let now = NEUTRAL - self.getpriority(PROCESS, 0)? as i32;
        let wanted = now.saturating_add(increment.clamp(-40, 40)).clamp(-20, 19);
        self.setpriority(PROCESS, 0, wanted).map_err(|error| match error {
            Error::Access => Error::NotPermitted,
            other => other,
        })
    }
    /// sigaction(2)
    pub(crate) fn sigaction(
        &mut self,
        signal: i32,
        new: UserRef<OldSigAction>,
        old: UserMut<OldSigAction>,
    ) -> Result<usize> {
        let new = new.read_if_given()?;
        let new =
            new.map(|OldSigAction { handler, mask, flags, restorer }| SigAction { handler, flags, restorer, mask });
        let SigAction { handler, flags, restorer, mask } = self.change_action(signal, new)?;
        old.write_if_given(OldSigAction { handler, mask, flags, restorer }).map(|()| 0)
    }
    /// signal(2): the handler runs once, and its signal is not blocked meanwhile.
    pub(crate) fn signal(&mut self, signal: i32, handler: usize) -> Result<usize> {
        const SA_RESETHAND: u64 = 0x8000_0000;
        const SA_NODEFER: u64 = 0x4000_0000;
        let flags = SA_RESETHAND | SA_NODEFER;
        let new = SigAction { handler: handler as u64, flags, ..SigAction::default() };
        let before = self.change_action(signal, Some(new))?;
        usize::try_from(before.handler).map_err(|_| Error::Overflow)
    }
    /// sigprocmask(2): of the first 32 signals.
    pub(crate) fn sigprocmask(&mut self, how: MaskHow, set: UserRef<u32>, old: UserMut<u32>) -> Result<usize> {
        let before = self.thread.signals.blocked();
        if let Some(set) = set.read_if_given()? {
            let others = if how == MaskHow::SIG_SETMASK { before.0 & !FIRST_SIGNALS } else { 0 };
            self.change_blocked(how, SigSet(u64::from(set) | others).without(SigSet::UNBLOCKABLE))?;
        }
        old.write_if_given(before.0 as u32).map(|()| 0)
    }
    /// sigpending(2)
    pub(crate) fn sigpending(&mut self, set: UserMut<u32>) -> Result<usize> {
        set.write(self.blocked_and_pending().0 as u32).map(|()| 0)
    }
    /// sigsuspend(2)
    pub(crate) fn sigsuspend(&mut self, _unused1: i32, _unused2: i32, mask: u32) -> Result<usize> {
        self.block_temporarily(SigSet(mask.into()).without(SigSet::UNBLOCKABLE));
        self.pause()
    }
    /// sgetmask(2)
    #[expect(clippy::unnecessary_wraps, reason = "handlers of calls have one shape")]
    pub(crate) fn sgetmask(&mut self) -> Result<usize> {
        Ok((self.thread.signals.blocked().0 & FIRST_SIGNALS) as usize)
    }
    /// ssetmask(2): all signals behind the first 32 are let through.
    pub(crate) fn ssetmask(&mut self, mask: u32) -> Result<usize> {
        let before = self.sgetmask()?;
        self.set_blocked(SigSet(mask.into()));
        Ok(before)
    }
    /// readdir(2): one entry.
    pub(crate) fn readdir(&mut self, fd: i32, buf: u64, _count: u32) -> Result<usize> {
        self.one_entry(fd, buf)
    }
    /// uname(2), without a domain.
    pub(crate) fn olduname(&mut self, buf: u64) -> Result<usize> {
        self.write_names(buf, 65, 5)
    }
    /// uname(2), with names of 8 bytes.
    pub(crate) fn oldolduname(&mut self, buf: u64) -> Result<usize> {
        self.write_names(buf, 9, 5)
    }
}
