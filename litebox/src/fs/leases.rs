//! Leases: an open file whose owner is told before somebody opens or cuts the file against it, and has a while to get
//! out of the way (fcntl(2) `F_SETLEASE`).

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use super::fasync::{FAsync, FAsyncEntry};
use super::{FileType, Inode, InodeId, OpenFile};
use crate::event::{Events, Observer, Pollable, WaitQueue};
use crate::platform::{Instant, host};
use crate::sync::Mutex;
use crate::{Error, Result};

/// Seconds a lease holder has by default (/proc/sys/fs/lease-break-time).
const BREAK_TIME: u32 = 45;

/// What a lease keeps others from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LeaseKind {
    /// From writing (`F_RDLCK`).
    Read,
    /// From opening at all (`F_WRLCK`).
    Write,
}

/// Somebody wants to use the file against the lease.
struct Breaking {
    /// What the lease has to become.
    target: Option<LeaseKind>,
    /// When it becomes that by itself.
    deadline: Option<Instant>,
}

struct Lease {
    /// Of which open file.
    id: u64,
    inode: Arc<dyn Inode>,
    kind: LeaseKind,
    breaking: Option<Breaking>,
    fasync_entry: Weak<FAsyncEntry>,
}

impl Lease {
    /// What it is, or has to become.
    fn target(&self) -> Option<LeaseKind> {
        self.breaking.as_ref().map_or(Some(self.kind), |breaking| breaking.target)
    }
}

/// The leases of a sandbox.
pub struct Leases {
    by_inode: Mutex<BTreeMap<InodeId, Vec<Lease>>>,
    queue: WaitQueue,
    /// Seconds until a lease that is broken ends by itself; 0: never.
    pub break_time: AtomicU32,
}

impl Default for Leases {
    fn default() -> Self {
        Self { by_inode: Mutex::default(), queue: WaitQueue::new(), break_time: AtomicU32::new(BREAK_TIME) }
    }
}

impl Leases {
    /// The lease of an open file, as it is or has to become.
    pub fn of(&self, file: &OpenFile) -> Option<LeaseKind> {
        let by_inode = self.by_inode.lock();
        by_inode.get(&file.file.inode().id())?.iter().find(|lease| lease.id == file.id)?.target()
    }

    /// Takes a lease, or changes what is there. `Invalid` for what can have none; `WouldBlock` when the file is open
    /// against it.
    pub fn set(self: &Arc<Self>, fasync: &Arc<FAsync>, file: &Arc<OpenFile>, fd: i32, kind: LeaseKind) -> Result<()> {
        let inode = file.file.inode();
        let usage = inode.usage().filter(|_| inode.file_type() == FileType::Regular).ok_or(Error::Invalid)?;
        let (id, fasync_entry) = (inode.id(), fasync.of(file, fd));
        let mut by_inode = self.by_inode.lock();
        let against = match kind {
            LeaseKind::Read => usage.is_written(),
            LeaseKind::Write => usage.open_files() > 1,
        };
        if against {
            return Err(Error::WouldBlock);
        }
        let leases = by_inode.entry(id).or_default();
        let others = leases.iter().filter(|lease| lease.id != file.id);
        if others.into_iter().any(|lease| kind == LeaseKind::Write || lease.target() != Some(LeaseKind::Read)) {
            return Err(Error::WouldBlock);
        }
        if let Some(own) = leases.iter_mut().find(|lease| lease.id == file.id) {
            own.kind = kind;
            if own.breaking.as_ref().is_some_and(|breaking| breaking.target == Some(kind)) {
                own.breaking = None;
            }
        } else {
            let (inode, fasync_entry) = (inode.clone(), Arc::downgrade(&fasync_entry));
            leases.push(Lease { id: file.id, inode: inode.clone(), kind, breaking: None, fasync_entry });
            usage.leases.fetch_add(1, Ordering::AcqRel);
            *file.held_lease.lock() = Some(HeldLease { leases: self.clone(), inode, id: file.id });
        }
        drop(by_inode);
        self.queue.notify(Events::IN);
        Ok(())
    }

    /// Ends the lease of an open file; `WouldBlock` when there is none.
    pub fn end(&self, file: &OpenFile) -> Result<()> {
        let held = file.held_lease.lock().take();
        // Dropped with no lock held.
        if held.is_some() { Ok(()) } else { Err(Error::WouldBlock) }
    }

    fn remove(&self, inode: &dyn Inode, id: u64) {
        let mut by_inode = self.by_inode.lock();
        let Some(leases) = by_inode.get_mut(&inode.id()) else { return };
        let before = leases.len();
        leases.retain(|lease| lease.id != id);
        if leases.len() < before {
            count_down(inode);
        }
        if leases.is_empty() {
            by_inode.remove(&inode.id());
        }
        drop(by_inode);
        self.queue.notify(Events::IN);
    }

    /// Somebody wants to open `inode`, or to write or cut it: holders of leases against that are told. `WouldBlock`
    /// until they have given way.
    #[inline]
    pub(super) fn check(&self, inode: &dyn Inode, writes: bool) -> Result<()> {
        match inode.usage() {
            Some(usage) if usage.leases.load(Ordering::Acquire) > 0 => self.give_way(inode, writes),
            _ => Ok(()),
        }
    }

    #[cold]
    fn give_way(&self, inode: &dyn Inode, writes: bool) -> Result<()> {
        let now = host().instant();
        let mut by_inode = self.by_inode.lock();
        lapse(&mut by_inode, now);
        let Some(leases) = by_inode.get_mut(&inode.id()) else { return Ok(()) };
        let target = if writes { None } else { Some(LeaseKind::Read) };
        let seconds = self.break_time.load(Ordering::Relaxed);
        let deadline = (seconds > 0).then(|| now.saturating_add(Duration::from_secs(seconds.into())));
        let mut against = false;
        for lease in leases.iter_mut().filter(|lease| writes || lease.kind == LeaseKind::Write) {
            against = true;
            let told = lease.breaking.as_ref().is_some_and(|b| b.target.is_none() || b.target == target);
            if !told {
                lease.breaking = Some(Breaking { target, deadline });
                if let Some(fasync_entry) = lease.fasync_entry.upgrade() {
                    fasync_entry.raise(Events::MSG);
                }
            }
        }
        if against { Err(Error::WouldBlock) } else { Ok(()) }
    }
}

/// Leases whose holders had their time become what they have to.
fn lapse(by_inode: &mut BTreeMap<InodeId, Vec<Lease>>, now: Instant) {
    by_inode.retain(|_, leases| {
        leases.retain_mut(|lease| {
            if lease.breaking.as_ref().and_then(|b| b.deadline).is_none_or(|deadline| deadline > now) {
                return true;
            }
            let left = lease.breaking.take().and_then(|breaking| breaking.target);
            match left {
                Some(kind) => lease.kind = kind,
                None => count_down(&*lease.inode),
            }
            left.is_some()
        });
        !leases.is_empty()
    });
}

fn count_down(inode: &dyn Inode) {
    if let Some(usage) = inode.usage() {
        usage.leases.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Pollable for Leases {
    fn ready(&self) -> Events {
        Events::IN
    }
    fn observe(&self, observer: &Arc<dyn Observer>, interest: Events) -> bool {
        self.queue.add(observer, interest);
        true
    }
    fn unobserve(&self, observer: &Arc<dyn Observer>) {
        self.queue.remove(observer);
    }
    fn expire(&self) -> Option<Instant> {
        let mut by_inode = self.by_inode.lock();
        lapse(&mut by_inode, host().instant());
        by_inode.values().flatten().filter_map(|lease| lease.breaking.as_ref()?.deadline).min()
    }
}

/// Kept by an open file that has a lease: ends it with the file.
pub struct HeldLease {
    leases: Arc<Leases>,
    inode: Arc<dyn Inode>,
    id: u64,
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        self.leases.remove(&*self.inode, self.id);
    }
}
