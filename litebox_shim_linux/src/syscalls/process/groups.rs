//! Process groups and sessions.

use alloc::sync::Arc;
use core::sync::atomic::Ordering;

use litebox::{Error, Result};

use crate::{Process, Task};

impl Task<'_, '_> {
    /// The process of a thread; 0: the caller's.
    fn process_with(&self, tid: i32) -> Result<Arc<Process>> {
        if tid == 0 { Ok(self.process().clone()) } else { self.process_of_task(tid) }
    }

    /// getpgrp(2).
    pub(crate) fn getpgrp(&mut self) -> Result<usize> {
        self.getpgid(0)
    }

    /// getpgid(2).
    pub(crate) fn getpgid(&mut self, pid: i32) -> Result<usize> {
        Ok(self.process_with(pid)?.group.load(Ordering::Relaxed) as usize)
    }

    /// getsid(2).
    pub(crate) fn getsid(&mut self, pid: i32) -> Result<usize> {
        Ok(self.process_with(pid)?.session.load(Ordering::Relaxed) as usize)
    }

    /// setpgid(2).
    pub(crate) fn setpgid(&mut self, pid: i32, group: i32) -> Result<usize> {
        let own = self.process();
        let pid = if pid == 0 { own.pid } else { pid };
        let group = if group == 0 { pid } else { group };
        if group < 0 {
            return Err(Error::Invalid);
        }
        let process_table = self.kernel().process_table.lock();
        let Some(target) = process_table.process(pid) else {
            // Only the first thread's id stands for its process here.
            let is_thread = process_table.processes().any(|p| own.sees(p) && p.thread(pid).is_some());
            return Err(if is_thread { Error::Invalid } else { Error::NoProcess });
        };
        let session = target.session.load(Ordering::Relaxed);
        if target.parent.load(Ordering::Relaxed) == own.pid {
            if session != own.session.load(Ordering::Relaxed) {
                return Err(Error::NotPermitted);
            }
            if target.executed.load(Ordering::Relaxed) {
                return Err(Error::Access);
            }
        } else if target.pid != own.pid {
            return Err(Error::NoProcess);
        }
        if session == target.pid || group != pid && !process_table.has_group(session, group) {
            return Err(Error::NotPermitted);
        }
        target.group.store(group, Ordering::Relaxed);
        Ok(0)
    }

    /// setsid(2).
    pub(crate) fn setsid(&mut self) -> Result<usize> {
        let process = self.process();
        let own = process.pid;
        let process_table = self.kernel().process_table.lock();
        if process_table.processes().any(|p| p.group.load(Ordering::Relaxed) == own) {
            return Err(Error::NotPermitted);
        }
        process.session.store(own, Ordering::Relaxed);
        process.session_nice.store(0, Ordering::Relaxed);
        process.group.store(own, Ordering::Relaxed);
        Ok(own as usize)
    }
}
