//! Advisory locks: fcntl record locks, open-file-description locks, flock.

use alloc::sync::Arc;
use litebox_common_linux::abi::file::{F_RDLCK, F_UNLCK, F_WRLCK, FcntlCommand, Flock, Flock64, LockOperation, Whence};
use litebox_common_linux::abi::layout::Layouts;
use litebox_common_linux::argument::{Arch, UserMut};

use litebox::event::{Events, wait_until_ready};
use litebox::fs::{Access, FdTable, HeldLocks, LockOwner, LockRange, OpenFile, Record, WholeLock};
use litebox::{Error, Result};

use crate::Task;
use crate::user::{UserRead, UserWrite};

/// Where a program says which lock it means.
#[derive(Clone, Copy)]
enum FlockAt {
    Flock(UserMut<Flock>),
    Flock64(UserMut<Flock64>),
}

impl FlockAt {
    fn read(self) -> Result<Flock> {
        match self {
            Self::Flock(at) => at.read(),
            Self::Flock64(at) => {
                let Flock64 { kind, whence, padding, start, len, pid, tail } = at.read()?;
                Ok(Flock { kind, whence, padding, start, len, pid, tail })
            }
        }
    }
    /// EOVERFLOW for a start that 32 bits do not hold; a length that they do not hold is as long as can be.
    fn write(self, lock: Flock) -> Result<()> {
        const MOST: i64 = i32::MAX as i64;
        match self {
            Self::Flock(at) if at.layouts() == Layouts::X86_64 => at.write(lock),
            Self::Flock(_) if lock.kind != F_UNLCK && lock.start > MOST => Err(Error::Overflow),
            Self::Flock(at) => at.write(Flock { len: lock.len.min(MOST), ..lock }),
            Self::Flock64(at) => {
                let Flock { kind, whence, padding, start, len, pid, tail } = lock;
                at.write(Flock64 { kind, whence, padding, start, len, pid, tail })
            }
        }
    }
}

/// A command of fcntl(2) about record locks.
#[derive(Clone, Copy)]
pub(super) struct LockCommand {
    at: FlockAt,
    /// The lock belongs to the open file description.
    ofd: bool,
    /// Whoever cannot have it waits for it.
    wait: bool,
}

impl LockCommand {
    /// By its number, of an architecture; the lock lies at `arg`.
    pub(super) fn new(arch: Arch, command: FcntlCommand, arg: usize) -> Self {
        let at = match command {
            FcntlCommand::F_GETLK | FcntlCommand::F_SETLK | FcntlCommand::F_SETLKW => {
                FlockAt::Flock(UserMut::new(arch, arg))
            }
            _ => FlockAt::Flock64(UserMut::new(arch, arg)),
        };
        let ofd = matches!(command, FcntlCommand::F_OFD_GETLK | FcntlCommand::F_OFD_SETLK | FcntlCommand::F_OFD_SETLKW);
        let wait = matches!(command, FcntlCommand::F_SETLKW | FcntlCommand::F_SETLKW64 | FcntlCommand::F_OFD_SETLKW);
        Self { at, ofd, wait }
    }
}

#[derive(Clone, Copy)]
struct LockRequest {
    kind: i16,
    range: LockRange,
    pid: i32,
}

fn start_of(raw: &Flock, file: &OpenFile) -> Result<LockRequest> {
    let base = match Whence(raw.whence.into()) {
        Whence::SEEK_SET => 0,
        Whence::SEEK_CUR => *file.offset() as i64,
        Whence::SEEK_END => file.file.metadata()?.size as i64,
        _ => return Err(Error::Invalid),
    };
    let start = base.checked_add(raw.start).ok_or(Error::Overflow)?;
    let len = raw.len;
    // A negative length counts back from the start.
    let (first, end) = match len {
        0 => (start, None),
        1.. => (start, Some(start.checked_add(len - 1).ok_or(Error::Overflow)?)),
        _ => (start.checked_add(len).ok_or(Error::Invalid)?, Some(start - 1)),
    };
    let first = u64::try_from(first).map_err(|_| Error::Invalid)?;
    let end = match end {
        None => u64::MAX,
        Some(last) if last == i64::MAX => u64::MAX,
        Some(last) => u64::try_from(last).map_err(|_| Error::Invalid)? + 1,
    };
    Ok(LockRequest { kind: raw.kind, range: LockRange { start: first, end }, pid: raw.pid })
}

impl LockRequest {
    fn into_raw(record: Option<Record>, raw: &Flock) -> Flock {
        let Some(record) = record else { return Flock { kind: F_UNLCK, ..*raw } };
        let kind = if record.write { F_WRLCK } else { F_RDLCK };
        let len = if record.range.end == u64::MAX { 0 } else { record.range.end - record.range.start };
        Flock { kind, start: record.range.start as i64, len: len as i64, pid: record.pid, ..Flock::default() }
    }
}

/// Who holds the record locks that are taken by descriptors of `table`.
pub(super) fn owner_of(table: &FdTable) -> LockOwner {
    LockOwner::Table(core::ptr::from_ref(table) as usize)
}

impl Task<'_, '_> {
    fn lock_owner(&self, file: &OpenFile, of_description: bool) -> LockOwner {
        if of_description { LockOwner::Description(file.id) } else { owner_of(&self.thread.files) }
    }

    /// F_GETLK, F_OFD_GETLK
    pub(super) fn test_record_lock(&mut self, fd: i32, command: LockCommand) -> Result<usize> {
        let LockCommand { at, ofd, .. } = command;
        let file = self.file(fd)?;
        let raw = at.read()?;
        let asked = start_of(&raw, &file)?;
        if ofd && asked.pid != 0 {
            return Err(Error::Invalid);
        }
        let write = match asked.kind {
            F_RDLCK => false,
            F_WRLCK => true,
            _ => return Err(Error::Invalid),
        };
        let owner = self.lock_owner(&file, ofd);
        let found = self.kernel().file_locks.test(file.file.inode().id(), owner, asked.range, write);
        at.write(LockRequest::into_raw(found, &raw))?;
        Ok(0)
    }

    /// F_SETLK, F_SETLKW, F_OFD_SETLK, F_OFD_SETLKW
    pub(super) fn set_record_lock(&mut self, fd: i32, command: LockCommand) -> Result<usize> {
        let LockCommand { at, ofd, wait } = command;
        let file = self.file(fd)?;
        let asked = start_of(&at.read()?, &file)?;
        if ofd && asked.pid != 0 {
            return Err(Error::Invalid);
        }
        let owner = self.lock_owner(&file, ofd);
        let pid = if ofd { -1 } else { self.process().pid };
        let id = file.file.inode().id();
        let table = self.kernel().file_locks.clone();
        let (needs, write) = match asked.kind {
            F_UNLCK => {
                table.unlock(id, owner, asked.range)?;
                return Ok(0);
            }
            F_RDLCK => (Access::READ, false),
            F_WRLCK => (Access::WRITE, true),
            _ => return Err(Error::Invalid),
        };
        if !file.access.contains(needs) {
            return Err(Error::BadDescriptor);
        }
        if ofd {
            self.keep_with_description(&file);
        }
        let record = Record { owner, pid, range: asked.range, write };
        let thread = self.thread.tid();
        let once = || {
            if wait { table.lock_or_wait(thread, id, record) } else { table.lock(id, record) }
        };
        let result = if wait { wait_until_ready(self.waiter(), &*table, Events::IN, None, once) } else { once() };
        if wait {
            table.stop_waiting(thread);
        }
        match result {
            Ok(()) => Ok(0),
            Err(e) => Err(self.restartable(e)),
        }
    }

    /// Makes locks of the description end with it.
    fn keep_with_description(&self, file: &Arc<OpenFile>) {
        let mut held = file.held_locks.lock();
        if held.is_none() {
            let table = self.kernel().file_locks.clone();
            *held = Some(HeldLocks { table, id: file.file.inode().id(), description: file.id });
        }
    }

    /// flock(2)
    pub(crate) fn flock(&mut self, fd: i32, operation: LockOperation) -> Result<usize> {
        /// Locks that others must heed: nobody ever did, and Linux ignores the request since 5.18, whatever else it
        /// says.
        const LOCK_MAND: LockOperation = LockOperation(32);
        if operation.contains(LOCK_MAND) {
            return Ok(0);
        }
        let kind = match operation - LockOperation::LOCK_NB {
            LockOperation::LOCK_SH => Some(false),
            LockOperation::LOCK_EX => Some(true),
            LockOperation::LOCK_UN => None,
            _ => return Err(Error::Invalid),
        };
        let file = self.file(fd)?;
        let id = file.file.inode().id();
        let table = self.kernel().file_locks.clone();
        if kind.is_some() {
            self.keep_with_description(&file);
        }
        let pid = self.process().pid;
        let result = match kind.filter(|_| !operation.contains(LockOperation::LOCK_NB)) {
            Some(write) => {
                let (thread, lock) = (self.thread.tid(), WholeLock { description: file.id, pid, write });
                let once = || table.flock_or_wait(thread, id, lock);
                let taken = wait_until_ready(self.waiter(), &*table, Events::IN, None, once);
                table.stop_waiting(thread);
                taken
            }
            None => table.flock(id, file.id, pid, kind),
        };
        match result {
            Ok(()) => Ok(0),
            Err(e) => Err(self.restartable(e)),
        }
    }
}
