//! Descriptors that stand for processes.

use alloc::sync::Arc;
use core::any::Any;
use core::sync::atomic::Ordering;

use litebox::event::{Events, Observer};
use litebox::fs::{Access, AnonInode, File, Inode, StatusFlags};
use litebox::{Error, Result};
use litebox_common_linux::abi::process::PidFdFlags;
use litebox_common_linux::argument::{SigInfo, UserRef};

use super::clone::{Flags, Request};
use crate::signal::SignalInfo;
use crate::signal::set::{MAX_SIGNAL, SI_TKILL, SI_USER};
use crate::syscalls::signal::read_info;
use crate::user::{UserRead, write_bytes};
use crate::{Process, Task, Thread};

/// A process as a file: readable once it has ended.
pub(crate) struct PidFile {
    pub(crate) process: Arc<Process>,
    inode: Arc<AnonInode>,
}

impl File for PidFile {
    fn inode(&self) -> Arc<dyn Inode> {
        self.inode.clone()
    }
    fn is_stream(&self) -> bool {
        true
    }
    fn ready(&self) -> Events {
        if self.process.ended() { Events::IN | Events::RDNORM } else { Events::empty() }
    }
    fn observe(&self, observer: &Arc<dyn Observer>, interest: Events) -> bool {
        self.process.end_events.add(observer, interest);
        true
    }
    fn unobserve(&self, observer: &Arc<dyn Observer>) {
        self.process.end_events.remove(observer);
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

impl Task<'_, '_> {
    /// setns(2). Nobody has the right to it, but what is wrong otherwise is told first.
    pub(crate) fn setns(&mut self, fd: i32, kinds: i32) -> Result<usize> {
        let file = self.file(fd)?;
        let pidfd = file.file.as_any().downcast_ref::<PidFile>().ok_or(Error::Invalid)?;
        let kinds = Flags::from_bits(u64::from(kinds as u32)).filter(|kinds| Flags::NEW.contains(*kinds));
        let kinds = kinds.filter(|kinds| !kinds.is_empty()).ok_or(Error::Invalid)?;
        if pidfd.process.ended() {
            return Err(Error::NoProcess);
        }
        // Nobody joins the namespace of users that he is in.
        if kinds.contains(Flags::NEWUSER) { Err(Error::Invalid) } else { Err(Error::NotPermitted) }
    }

    fn install_pidfd(&self, process: &Arc<Process>, status: StatusFlags) -> Result<usize> {
        let file = Arc::new(PidFile { process: process.clone(), inode: AnonInode::shared("[pidfd]") });
        self.install(self.nameless(file, Access::READ | Access::WRITE, status), true)
    }

    /// The descriptor that clone(2) was asked for, written where it was asked for.
    pub(super) fn pidfd_for(&self, child: &Arc<Process>, request: &Request) -> Result<Option<i32>> {
        if !request.flags.contains(Flags::PIDFD) {
            return Ok(None);
        }
        let fd = self.install_pidfd(child, StatusFlags::empty())? as i32;
        if let Err(error) = write_bytes(request.pidfd, &fd.to_le_bytes()) {
            let _ = self.thread.files.remove(fd);
            return Err(error);
        }
        Ok(Some(fd))
    }

    /// The process behind a pidfd.
    pub(in crate::syscalls) fn process_of(&self, fd: i32) -> Result<(Arc<Process>, StatusFlags)> {
        let file = self.file(fd)?;
        let of = file.file.as_any().downcast_ref::<PidFile>().ok_or(Error::BadDescriptor)?;
        Ok((of.process.clone(), file.flags()))
    }

    /// pidfd_open(2).
    pub(crate) fn pidfd_open(&mut self, pid: i32, flags: PidFdFlags) -> Result<usize> {
        if !PidFdFlags::all().contains(flags) || pid <= 0 {
            return Err(Error::Invalid);
        }
        let Some(process) = self.find_process(pid) else {
            let is_thread = self.seen_processes().iter().any(|p| p.thread(pid).is_some());
            return Err(if is_thread { Error::Invalid } else { Error::NoProcess });
        };
        let status =
            if flags.contains(PidFdFlags::PIDFD_NONBLOCK) { StatusFlags::NONBLOCK } else { StatusFlags::empty() };
        self.install_pidfd(&process, status)
    }

    /// pidfd_send_signal(2).
    pub(crate) fn pidfd_send_signal(
        &mut self,
        fd: i32,
        signal: i32,
        info: UserRef<SigInfo>,
        flags: u32,
    ) -> Result<usize> {
        if flags != 0 {
            return Err(Error::Invalid);
        }
        let target = match self.process_of(fd) {
            Ok((target, _)) => target,
            // The directory of a process in /proc stands for it too.
            Err(_) => crate::proc::process_of_directory(&*self.file(fd)?.file.inode())?,
        };
        let own = target.pid == self.process().pid;
        let info = if info.is_null() {
            SignalInfo::sent(signal, SI_USER, self.process().pid, self.creds().uid)
        } else {
            let given = read_info(signal, info)?;
            if info.cast::<i32>().read()? != signal {
                return Err(Error::Invalid);
            }
            // Only to oneself may a program pretend to be the kernel or kill(2).
            if !own && (given.code >= 0 || given.code == SI_TKILL) {
                return Err(Error::NotPermitted);
            }
            given
        };
        if !(0..=MAX_SIGNAL).contains(&signal) {
            return Err(Error::Invalid);
        }
        if self.kernel().process(target.pid).is_none_or(|p| !Arc::ptr_eq(&p, &target)) {
            return Err(Error::NoProcess);
        }
        self.send_to_process(&target, info).map(|()| 0)
    }

    /// pidfd_getfd(2).
    pub(crate) fn pidfd_getfd(&mut self, fd: i32, wanted: i32, flags: u32) -> Result<usize> {
        if flags != 0 {
            return Err(Error::Invalid);
        }
        let (target, _) = self.process_of(fd)?;
        if target.ended() {
            return Err(Error::NoProcess);
        }
        if !self.may_inspect(&target) {
            return Err(Error::NotPermitted);
        }
        // Descriptors are a thread's; a pidfd stands for the first.
        let first = target.thread(target.pid).ok_or(Error::BadDescriptor)?;
        let file = first.files.get(wanted)?;
        self.install(file, true)
    }

    /// Whether ptrace(2) would let the caller look into `target`.
    pub(crate) fn may_inspect(&self, target: &Process) -> bool {
        self.thread.may_inspect(target)
    }

    /// process_mrelease(2): the memory of a process that dies goes at once by itself; what is left is to say whether it
    /// dies.
    pub(crate) fn process_mrelease(&mut self, fd: i32, flags: u32) -> Result<usize> {
        if flags != 0 {
            return Err(Error::Invalid);
        }
        let (target, _) = self.process_of(fd)?;
        if target.ended() {
            return Err(Error::NoProcess);
        }
        if target.exiting() { Ok(0) } else { Err(Error::Invalid) }
    }
}

impl Thread {
    /// Whether ptrace(2) would let the thread look into `target`.
    pub(crate) fn may_inspect(&self, target: &Process) -> bool {
        let (mine, theirs) = (self.creds(), target.creds());
        let all = |id: u32, of: [u32; 3]| of.iter().all(|x| *x == id);
        target.pid == self.process.pid
            || mine.euid == 0
            || all(mine.uid, [theirs.uid, theirs.euid, theirs.suid])
                && all(mine.gid, [theirs.gid, theirs.egid, theirs.sgid])
                && target.dumpable.load(Ordering::Relaxed)
    }
}
