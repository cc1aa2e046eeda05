//! Processes and threads: threads by clone, exit, ids, arch_prctl.
#![expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "handlers of calls have one shape")]

mod clone;
pub(crate) mod exec;
mod fork;
mod groups;
mod kcmp;
mod pidfd;
pub(crate) mod prctl;
pub(crate) mod user_dispatch;
mod wait;

use core::sync::atomic::Ordering;

use litebox::platform::host;
use litebox::{Error, Result};

use crate::Task;
use crate::user::write_bytes;

const ARCH_SET_GS: i32 = 0x1001;
const ARCH_SET_FS: i32 = 0x1002;
const ARCH_GET_CPUID: i32 = 0x1011;
const ARCH_SET_CPUID: i32 = 0x1012;
const ARCH_GET_FS: i32 = 0x1003;
const ARCH_GET_GS: i32 = 0x1004;

impl Task<'_, '_> {
    /// exit(2).
    pub(crate) fn exit(&mut self, status: i32) -> ! {
        self.end_thread((status & 0xff) << 8)
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
            // The processor's own answer is what guests get: as where it cannot be made to fault.
            ARCH_GET_CPUID => return Ok(1),
            ARCH_SET_CPUID => return Err(Error::NoDevice),
            _ => return Err(Error::Invalid),
        }
        Ok(0)
    }
}
