//! Whom an open file signals: fcntl's F_SETOWN, F_SETSIG, F_NOTIFY, leases; and the sending of what they ask for.

use core::sync::atomic::Ordering;
use litebox_common_linux::abi::file::{FOwnerEx, FcntlCommand};
use litebox_common_linux::argument::{UserMut, UserRef};

use alloc::sync::Arc;

use litebox::event::Events;
use litebox::fs::{FileOwner, FileType, LeaseKind, OpenFile, OwnerTarget, StatusFlags, WatchMask};
use litebox::net::{Family, Socket, SocketKind};
use litebox::{Error, Result};

use crate::signal::SignalInfo;
use crate::signal::set::{MAX_SIGNAL, SIGIO, SIGURG};
use crate::task::credentials::Capability;
use crate::user::{UserRead, UserWrite, write_bytes};
use crate::{Kernel, Process, Task};

const F_OWNER_TID: i32 = 0;
const F_OWNER_PID: i32 = 1;
const F_OWNER_PGRP: i32 = 2;

const F_RDLCK: usize = litebox_common_linux::abi::file::F_RDLCK as usize;
const F_WRLCK: usize = litebox_common_linux::abi::file::F_WRLCK as usize;
const F_UNLCK: usize = litebox_common_linux::abi::file::F_UNLCK as usize;

/// Of F_NOTIFY: the watch does not end with the first signal.
const DN_MULTISHOT: u32 = 1 << 31;
/// Bits of F_NOTIFY, and what they are for inotify.
const DN_EVENTS: [(u32, WatchMask); 6] = [
    (0x01, WatchMask::ACCESS),
    (0x02, WatchMask::MODIFY),
    (0x04, WatchMask::CREATE.union(WatchMask::MOVED_TO)),
    (0x08, WatchMask::DELETE.union(WatchMask::MOVED_FROM)),
    (0x10, WatchMask::RENAMED),
    (0x20, WatchMask::ATTRIB),
];

/// What a signal says of readiness: events, `si_code`, and the events of `si_band`.
const REASONS: [(Events, i32, Events); 5] = [
    (Events::IN, 1, Events::IN.union(Events::RDNORM)),
    (Events::OUT, 2, Events::OUT.union(Events::WRNORM).union(Events::WRBAND)),
    (Events::MSG, 3, Events::IN.union(Events::RDNORM).union(Events::MSG)),
    (Events::PRI, 5, Events::PRI.union(Events::RDBAND)),
    (Events::HUP, 6, Events::HUP.union(Events::ERR)),
];

impl Task<'_, '_> {
    /// F_SETOWN, F_SETOWN_EX, F_SETSIG
    pub(in crate::syscalls) fn set_owner(&self, fd: i32, command: FcntlCommand, arg: usize) -> Result<usize> {
        let file = self.file(fd)?;
        let target = match command {
            FcntlCommand::F_SETSIG => {
                let signal = i32::try_from(arg).ok().filter(|s| *s <= MAX_SIGNAL).ok_or(Error::Invalid)?;
                file.owner.lock().signal = signal;
                return Ok(0);
            }
            FcntlCommand::F_SETOWN => match arg as i32 {
                0 => OwnerTarget::Nobody,
                i32::MIN => return Err(Error::Invalid),
                id if id < 0 => OwnerTarget::Group(-id),
                id => OwnerTarget::Process(id),
            },
            _ => {
                let FOwnerEx { kind, pid } = UserRef::new(self.abi(), arg).read()?;
                match (kind, pid) {
                    (F_OWNER_TID..=F_OWNER_PGRP, 0) => OwnerTarget::Nobody,
                    (F_OWNER_TID, id) => OwnerTarget::Thread(id),
                    (F_OWNER_PID, id) => OwnerTarget::Process(id),
                    (F_OWNER_PGRP, id) => OwnerTarget::Group(id),
                    _ => return Err(Error::Invalid),
                }
            }
        };
        if target != OwnerTarget::Nobody && !self.has_target(target) {
            return Err(Error::NoProcess);
        }
        self.own(&file, target);
        if is_connection(&file) {
            self.kernel().vfs.fasync.follow_urgent(&file, fd);
        }
        Ok(0)
    }

    /// Whether there is such a one that the caller may know of.
    fn has_target(&self, target: OwnerTarget) -> bool {
        match target {
            OwnerTarget::Nobody => false,
            OwnerTarget::Thread(id) => self.find_process_of_thread(id).is_some_and(|p| p.thread(id).is_some()),
            OwnerTarget::Process(id) => self.find_process(id).is_some(),
            OwnerTarget::Group(id) => self.seen_processes().iter().any(|p| p.group.load(Ordering::Relaxed) == id),
        }
    }

    fn own(&self, file: &OpenFile, target: OwnerTarget) {
        let creds = self.creds();
        let pid_namespace = self.process().container.pid_namespace;
        let mut owner = file.owner.lock();
        *owner = FileOwner { target, signal: owner.signal, uid: creds.uid, euid: creds.euid, pid_namespace };
    }

    /// Who asks for signals and named nobody gets them.
    fn own_if_nobody(&self, file: &OpenFile) {
        let target = file.owner.lock().target;
        if target == OwnerTarget::Nobody {
            self.own(file, OwnerTarget::Process(self.process().pid));
        }
    }

    /// F_GETOWN, F_GETOWN_EX, F_GETSIG, F_GETOWNER_UIDS
    pub(in crate::syscalls) fn owner(&self, fd: i32, command: FcntlCommand, arg: usize) -> Result<usize> {
        let owner = *self.file(fd)?.owner.lock();
        if command == FcntlCommand::F_GETSIG {
            return Ok(owner.signal as usize);
        }
        if command == FcntlCommand::F_GETOWNER_UIDS {
            let raw = u64::from(owner.uid) | u64::from(owner.euid) << 32;
            write_bytes(arg as u64, &raw.to_le_bytes())?;
            return Ok(0);
        }
        let there = self.has_target(owner.target);
        let (kind, id) = match owner.target {
            OwnerTarget::Nobody => (F_OWNER_TID, 0),
            OwnerTarget::Thread(id) => (F_OWNER_TID, id),
            OwnerTarget::Process(id) => (F_OWNER_PID, id),
            OwnerTarget::Group(id) => (F_OWNER_PGRP, id),
        };
        let id = if there { id } else { 0 };
        if command == FcntlCommand::F_GETOWN {
            return Ok((if kind == F_OWNER_PGRP { -id } else { id }) as isize as usize);
        }
        UserMut::new(self.abi(), arg).write(FOwnerEx { kind, pid: id }).map(|()| 0)
    }

    /// New status flags; the owner hears of readiness from now on, or no more.
    pub(super) fn change_flags(&self, file: &Arc<OpenFile>, fd: i32, flags: StatusFlags) -> Result<()> {
        let mut flags = flags;
        if !file.file.signals_owner() {
            // As on Linux, where the flag stands for a registration that such a file does not take.
            flags.remove(StatusFlags::ASYNC);
        }
        let changed = (file.flags() ^ flags).contains(StatusFlags::ASYNC);
        file.set_flags(flags)?;
        if changed {
            let on = flags.contains(StatusFlags::ASYNC);
            if on && file.file.inode().file_type() == FileType::CharDevice {
                self.own_if_nobody(file);
            }
            self.kernel().vfs.fasync.follow(file, fd, on);
        }
        Ok(())
    }

    /// F_NOTIFY
    pub(super) fn notify_owner(&self, fd: i32, mask: u32) -> Result<usize> {
        let file = self.file(fd)?;
        if file.file.inode().file_type() != FileType::Directory {
            return Err(Error::NotDirectory);
        }
        let wanted = DN_EVENTS.iter().filter(|(bit, _)| mask & bit != 0);
        let mut wanted = wanted.fold(WatchMask::empty(), |all, (_, events)| all | *events);
        if !wanted.is_empty() {
            self.own_if_nobody(&file);
            wanted.set(WatchMask::ONESHOT, mask & DN_MULTISHOT == 0);
        }
        let vfs = &self.kernel().vfs;
        vfs.watches.tell_owner(&vfs.fasync, &file, fd, wanted);
        Ok(0)
    }

    /// F_GETLEASE
    pub(super) fn lease(&self, fd: i32) -> Result<usize> {
        Ok(match self.kernel().vfs.leases.of(&*self.file(fd)?) {
            Some(LeaseKind::Read) => F_RDLCK,
            Some(LeaseKind::Write) => F_WRLCK,
            None => F_UNLCK,
        })
    }

    /// F_SETLEASE
    pub(super) fn set_lease(&self, fd: i32, kind: usize) -> Result<usize> {
        let file = self.file(fd)?;
        let vfs = &self.kernel().vfs;
        let kind = match kind {
            F_RDLCK => LeaseKind::Read,
            F_WRLCK => LeaseKind::Write,
            F_UNLCK => {
                vfs.leases.end(&file)?;
                *file.owner.lock() = FileOwner::default();
                return Ok(0);
            }
            _ => return Err(Error::Invalid),
        };
        let creds = self.creds();
        if creds.fsuid != file.file.metadata()?.uid && !creds.can(Capability::Lease) {
            return Err(Error::Access);
        }
        vfs.leases.set(&vfs.fasync, &file, fd, kind)?;
        self.own_if_nobody(&file);
        Ok(0)
    }
}

/// Whether urgent data can come by it.
fn is_connection(file: &OpenFile) -> bool {
    let of = |socket: &dyn Socket| {
        matches!(socket.family(), Family::Inet | Family::Inet6) && socket.kind() == SocketKind::Stream
    };
    file.file.as_socket().is_some_and(of)
}

impl Kernel {
    /// Sends what open files have to tell, if anything.
    #[inline]
    pub(crate) fn tell_owners(&self) {
        if self.vfs.fasync.due() {
            self.tell_owners_now();
        }
    }

    #[cold]
    fn tell_owners_now(&self) {
        for (file, fd, events) in self.vfs.fasync.take() {
            let owner = *file.owner.lock();
            if events.contains(Events::PRI) && is_connection(&file) {
                let urgent = SignalInfo::kernel(SIGURG);
                self.send_to_owner(&owner, urgent, urgent);
                if !file.flags().contains(StatusFlags::ASYNC) {
                    continue;
                }
            }
            for (_, code, band) in REASONS.iter().filter(|(reason, ..)| events.intersects(*reason)) {
                self.tell_owner(&owner, fd, *code, *band);
            }
        }
    }

    fn tell_owner(&self, owner: &FileOwner, fd: i32, code: i32, band: Events) {
        let plain = SignalInfo::kernel(SIGIO);
        let info = match owner.signal {
            0 => plain,
            signal => SignalInfo::of_file(signal, code, band.bits().into(), fd),
        };
        self.send_to_owner(owner, info, plain);
    }

    /// Sends a signal; `plain` where there is no room for details, as Linux.
    fn send_to_owner(&self, owner: &FileOwner, info: SignalInfo, plain: SignalInfo) {
        let may = |process: &Process| {
            let theirs = process.creds();
            let ours = [owner.euid, owner.uid];
            process.container.pid_namespace == owner.pid_namespace
                && (owner.euid == 0 || ours.iter().any(|id| *id == theirs.uid || *id == theirs.suid))
        };
        match owner.target {
            OwnerTarget::Nobody => {}
            OwnerTarget::Thread(id) => {
                let thread = self.processes().iter().find_map(|p| p.thread(id));
                if let Some(thread) = thread.filter(|thread| may(&thread.process)) {
                    if thread.send_signal(info).is_err() {
                        let _ = thread.send_signal(plain);
                    }
                }
            }
            OwnerTarget::Process(_) | OwnerTarget::Group(_) => {
                let told = |p: &&Arc<Process>| match owner.target {
                    OwnerTarget::Process(id) => p.pid == id,
                    OwnerTarget::Group(id) => p.group.load(Ordering::Relaxed) == id,
                    OwnerTarget::Nobody | OwnerTarget::Thread(_) => false,
                };
                for process in self.processes().iter().filter(told).filter(|p| may(p)) {
                    if process.send_signal(info).is_err() {
                        let _ = process.send_signal(plain);
                    }
                }
            }
        }
    }
}
