//! Processes and threads: threads by clone, exit, ids, arch_prctl.
#![expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "handlers of calls have one shape")]

mod clone;
pub(crate) mod exec;
mod prctl;
mod wait;

use core::sync::atomic::Ordering;

use litebox::platform::host;
use litebox::{Error, Result};

use crate::Task;
use crate::user::write_bytes;

const ARCH_SET_GS: i32 = 0x1001;
const ARCH_SET_FS: i32 = 0x1002;
const ARCH_GET_FS: i32 = 0x1003;
const ARCH_GET_GS: i32 = 0x1004;

impl Task<'_, '_> {
    /// exit(2).
    pub(crate) fn exit(&mut self, status: i32) -> ! {
        self.process().set_exit_status((status & 0xff) << 8);
        self.exit_thread()
    }

    /// exit_group(2).
    pub(crate) fn exit_group(&mut self, status: i32) -> ! {
        self.exit_group_with((status & 0xff) << 8)
    }

    /// getpid(2).
    pub(crate) fn getpid(&mut self) -> Result<usize> {
        Ok(self.process().pid as usize)
    }

    /// getppid(2).
    pub(crate) fn getppid(&mut self) -> Result<usize> {
        Ok(self.process().parent.load(Ordering::Relaxed) as usize)
    }

    /// gettid(2).
    pub(crate) fn gettid(&mut self) -> Result<usize> {
        Ok(self.thread.tid() as usize)
    }

    /// set_tid_address(2).
    pub(crate) fn set_tid_address(&mut self, addr: u64) -> Result<usize> {
        self.thread.clear_child_tid.store(addr as usize, Ordering::Relaxed);
        Ok(self.thread.tid() as usize)
    }

    /// arch_prctl(2). Shadow stacks and everything newer answer as a kernel without them.
    pub(crate) fn arch_prctl(&mut self, code: i32, addr: u64) -> Result<usize> {
        let base_ok = || {
            if usize::try_from(addr).is_ok_and(|a| a < 1 << 47) { Ok(()) } else { Err(Error::NotPermitted) }
        };
        match code {
            ARCH_SET_FS => base_ok().map(|()| host().set_fs_base(addr))?,
            ARCH_SET_GS => base_ok().map(|()| host().set_gs_base(addr))?,
            ARCH_GET_FS => write_bytes(addr, &host().fs_base().to_le_bytes())?,
            ARCH_GET_GS => write_bytes(addr, &host().gs_base().to_le_bytes())?,
            _ => return Err(Error::Invalid),
        }
        Ok(0)
    }

    fn process_with(&self, pid: i32) -> Result<alloc::sync::Arc<crate::Process>> {
        if pid == 0 { Ok(self.process().clone()) } else { self.kernel().process(pid).ok_or(Error::NoProcess) }
    }

    /// getpgrp(2)
    pub(crate) fn getpgrp(&mut self) -> Result<usize> {
        self.getpgid(0)
    }

    /// getpgid(2)
    pub(crate) fn getpgid(&mut self, pid: i32) -> Result<usize> {
        Ok(self.process_with(pid)?.group.load(Ordering::Relaxed) as usize)
    }

    /// getsid(2).
    pub(crate) fn getsid(&mut self, pid: i32) -> Result<usize> {
        Ok(self.process_with(pid)?.session.load(Ordering::Relaxed) as usize)
    }

    /// setpgid(2).
    pub(crate) fn setpgid(&mut self, pid: i32, group: i32) -> Result<usize> {
        if group < 0 {
            return Err(Error::Invalid);
        }
        let target = self.process_with(pid)?;
        let own = self.process().pid;
        if target.pid != own && target.parent.load(Ordering::Relaxed) != own {
            return Err(Error::NoProcess);
        }
        let session = target.session.load(Ordering::Relaxed);
        if session == target.pid || session != self.process().session.load(Ordering::Relaxed) {
            return Err(Error::NotPermitted);
        }
        let group = if group == 0 { target.pid } else { group };
        let member = |p: &alloc::sync::Arc<crate::Process>| {
            p.group.load(Ordering::Relaxed) == group && p.session.load(Ordering::Relaxed) == session
        };
        if group != target.pid && !self.kernel().processes().iter().any(member) {
            return Err(Error::NotPermitted);
        }
        target.group.store(group, Ordering::Relaxed);
        Ok(0)
    }

    /// setsid(2).
    pub(crate) fn setsid(&mut self) -> Result<usize> {
        let own = self.process().pid;
        if self.kernel().processes().iter().any(|p| p.group.load(Ordering::Relaxed) == own) {
            return Err(Error::NotPermitted);
        }
        self.process().session.store(own, Ordering::Relaxed);
        self.process().group.store(own, Ordering::Relaxed);
        Ok(own as usize)
    }

    /// rseq(2).
    pub(crate) fn rseq(&mut self, addr: u64, len: u32, flags: i32, signature: u32) -> Result<usize> {
        let at = usize::try_from(addr).map_err(|_| Error::Fault)?;
        host().rseq(at, len, flags, signature)?;
        self.thread.rseq_terms.store(u64::from(len) << 32 | u64::from(signature), Ordering::Relaxed);
        // Bit 0 takes the registration back.
        self.thread.rseq_area.store(if flags & 1 != 0 { 0 } else { at }, Ordering::Relaxed);
        Ok(0)
    }
}
