//! Restartable sequences (rseq(2)).
//!
//! A thread's area is registered with the host, which looks into it whenever it has interrupted or moved the thread, in
//! our kernel too. Where it cannot read or write there, or finds a bad pointer to a critical section, it ends the
//! process on the spot, with whatever locks the kernel holds. So the kernel does not let it come to that:
//! - an area lies in private memory, which no file takes away by becoming shorter;
//! - a change of the map that takes an area away is made when the host no longer knows the area, and its process dies
//!   of SIGSEGV, as on Linux;
//! - what the guest left in the pointer is looked at when a call enters the kernel ([`Task::leave_critical_section`]).

use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use core::ops::Range;
use core::sync::atomic::Ordering;
use core::time::Duration;

use litebox::mm::{Object, PAGE, Vma};
use litebox::platform::{Prot, host};
use litebox::sync::RwLock;
use litebox::{Error, Result};
use litebox_common_linux::abi::memory::{MAP_TYPE, MapFlags, Protection};
use smallvec::SmallVec;

use super::{Task, Thread};
use crate::mm::MemoryMap;
use crate::signal::set::SIGSEGV;
use crate::user::{read_bytes, read_u64, word, write_bytes};

/// Takes a registration back (`RSEQ_FLAG_UNREGISTER`).
const UNREGISTER: i32 = 1;
/// Bytes of an area that every kernel uses, and how they are aligned.
const AREA: usize = 32;
/// Where in it the pointer to the critical section is.
const POINTER: u64 = 8;
/// How often processes that have to leave are looked at.
const REMIND: Duration = Duration::from_millis(5);

/// The areas that are registered in an address space, by address and thread. Held for reading while the map changes
/// where areas could be, for writing while one is registered: it is outside of the map's lock.
#[derive(Default)]
pub(crate) struct RseqAreas(RwLock<BTreeMap<(usize, usize), Weak<Thread>>>);

/// Addresses that are changed.
type Spans = SmallVec<[Range<usize>; 2]>;
/// Threads whose areas are concerned.
type Owners = SmallVec<[Arc<Thread>; 2]>;

impl RseqAreas {
    /// The area of `thread` is one of this address space from now on.
    pub(crate) fn insert(&self, thread: &Arc<Thread>) {
        let key = key_of(thread);
        self.0.write().insert(key, Arc::downgrade(thread));
    }
}

fn key_of(thread: &Thread) -> (usize, usize) {
    (thread.rseq_area.load(Ordering::Relaxed), core::ptr::from_ref(thread).addr())
}

fn owners(areas: &BTreeMap<(usize, usize), Weak<Thread>>, range: &Range<usize>) -> Owners {
    let first = range.start.saturating_sub(AREA - 1);
    if first >= range.end {
        return Owners::new();
    }
    let live = |thread: &Arc<Thread>| thread.rseq_area.load(Ordering::Relaxed) != 0;
    areas.range((first, 0)..(range.end, 0)).filter_map(|(_, thread)| thread.upgrade()).filter(live).collect()
}

/// Whether an area can be at `at`: memory of the process alone, which it can read and write.
fn can_be_at(mm: &MemoryMap, at: usize) -> bool {
    let usable = |vma: &Vma| {
        let end = at.saturating_add(AREA);
        let of_file_in_memory = matches!(vma.object, Object::Pages { .. });
        vma.prot.contains(Prot::READ | Prot::WRITE) && !vma.shared() && !of_file_in_memory && end <= vma.end
    };
    mm.core().with_vma(at, usable) == Some(true)
}

/// What is to become of memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fate {
    /// It goes, or others than the process decide what is there.
    Gone,
    /// It is private memory that can be read and written, at every moment of the change.
    Usable,
}

impl Fate {
    /// With this protection (mprotect(2)).
    pub(crate) fn of_protection(protection: Protection) -> Self {
        if protection.contains(Protection::PROT_READ | Protection::PROT_WRITE) { Self::Usable } else { Self::Gone }
    }
    /// When something is mapped over it (mmap(2)).
    pub(crate) fn of_mapping(protection: Protection, flags: MapFlags) -> Self {
        let anonymous = flags.contains(MapFlags::MAP_ANONYMOUS) && flags & MapFlags(MAP_TYPE) == MapFlags::MAP_PRIVATE;
        if anonymous { Self::of_protection(protection) } else { Self::Gone }
    }
}

/// How a change of the map went.
enum Change<T> {
    Made(T),
    /// It was made, and took the caller's area away.
    Fatal,
    /// It would take away those of others, and was not made.
    Threatens(Owners),
}

impl Task<'_, '_> {
    /// rseq(2).
    pub(crate) fn rseq(&mut self, addr: u64, len: u32, flags: i32, signature: u32) -> Result<usize> {
        let at = usize::try_from(addr).map_err(|_| Error::Fault)?;
        self.thread.suspend_rseq_of_vfork_parent();
        if flags & UNREGISTER != 0 {
            host().rseq(at, len, flags, signature)?;
            self.thread.lose_rseq();
            return Ok(0);
        }
        let process = self.process().clone();
        let mut areas = process.mm.rseq.0.write();
        let fresh = self.thread.rseq_area.load(Ordering::Relaxed) == 0;
        // What else is wrong the host says, in its order.
        if fresh && flags == 0 && at % AREA == 0 && len as usize >= AREA && !can_be_at(&process.mm, at) {
            return Err(Error::Fault);
        }
        host().rseq(at, len, flags, signature)?;
        self.thread.rseq_area.store(at, Ordering::Relaxed);
        self.thread.rseq_terms.store(terms(len, signature), Ordering::Relaxed);
        areas.insert(key_of(self.thread), Arc::downgrade(self.thread));
        Ok(0)
    }

    /// Makes a change of the map in `places` (address and length), where memory meets this fate. When an area of a
    /// process goes with it, that process dies.
    pub(crate) fn around_rseq<T>(
        &mut self,
        places: &[(u64, u64)],
        fate: Fate,
        change: impl FnOnce(&Self) -> T,
    ) -> Result<T> {
        // Where no page begins nothing is changed, and that is an error.
        let pages = |&&(start, len): &&(u64, u64)| fate == Fate::Gone && len > 0 && start % PAGE as u64 == 0;
        let span = |&(start, len): &(u64, u64)| start as usize..start.saturating_add(len) as usize;
        let spans: Spans = places.iter().filter(pages).map(span).collect();
        let mut change = Some(change);
        loop {
            match self.try_around_rseq(&spans, &mut change) {
                Some(Change::Made(result)) => return Ok(result),
                Some(Change::Fatal) | None => {
                    self.thread.lose_rseq();
                    break;
                }
                Some(Change::Threatens(owners)) => {
                    if owners.iter().any(|owner| Arc::ptr_eq(&owner.process, &self.thread.process)) {
                        break;
                    }
                    self.end_others(&owners)?;
                }
            }
        }
        self.die_of(SIGSEGV)
    }

    /// `None`: it was made before.
    fn try_around_rseq<T, F: FnOnce(&Self) -> T>(&self, spans: &Spans, change: &mut Option<F>) -> Option<Change<T>> {
        if spans.is_empty() {
            return change.take().map(|change| Change::Made(change(self)));
        }
        let process = self.process().clone();
        let areas = process.mm.rseq.0.read();
        let mut others: Owners = spans.iter().flat_map(|span| owners(&areas, span)).collect();
        let before = others.len();
        others.retain(|owner| !Arc::ptr_eq(owner, self.thread));
        if !others.is_empty() {
            return Some(Change::Threatens(others));
        }
        let change = change.take()?;
        if before == 0 {
            return Some(Change::Made(change(self)));
        }
        self.thread.suspend_rseq();
        let result = change(self);
        if can_be_at(&process.mm, self.thread.rseq_area.load(Ordering::Relaxed)) && self.thread.resume_rseq() {
            return Some(Change::Made(result));
        }
        Some(Change::Fatal)
    }

    /// Processes that share the caller's memory end, and it waits a moment for them.
    fn end_others(&self, owners: &Owners) -> Result<()> {
        for owner in owners {
            owner.process.begin_exit(owner.process.death_status(SIGSEGV));
        }
        let interrupted = self.take_interruption();
        let ticket = self.waiter().ticket();
        if !self.process().must_leave(self.thread) {
            let _ = self.waiter().sleep(ticket, Some(host().instant().saturating_add(REMIND)));
        }
        if interrupted {
            // Looked at on the way out.
            self.waiter().interrupt();
        }
        if self.process().must_leave(self.thread) { Err(Error::Interrupted) } else { Ok(()) }
    }

    /// The guest made a call, so it is in no critical section of its own any more. The host would find that out when it
    /// interrupts our kernel, and end the process there if the pointer is a bad one. So it is taken away before.
    #[inline]
    pub(crate) fn leave_critical_section(&mut self) {
        let area = self.thread.rseq_area.load(Ordering::Relaxed);
        if area != 0 && read_u64(area as u64 + POINTER) != Ok(0) {
            self.take_critical_section(area as u64);
        }
    }

    #[cold]
    fn take_critical_section(&mut self, area: u64) {
        let signature = self.thread.rseq_terms.load(Ordering::Relaxed) as u32;
        let left = read_u64(area + POINTER)
            .and_then(|section| check_section(section, signature))
            .and_then(|()| write_bytes(area + POINTER, &[0; 8]));
        if left.is_err() {
            let _ = self.thread.forget_rseq();
            self.die_of(SIGSEGV);
        }
    }
}

/// Whether Linux takes this for a critical section (`struct rseq_cs`).
fn check_section(at: u64, signature: u32) -> Result<()> {
    let highest = host().user_span().1 as u64;
    if at == 0 {
        return Ok(());
    }
    let raw = read_bytes::<32>(at)?;
    let (version, flags) = (u32::from_le_bytes(word(&raw, 0)), u32::from_le_bytes(word(&raw, 4)));
    let [start, len, abort] = [8, 16, 24].map(|offset| u64::from_le_bytes(word(&raw, offset)));
    let end = start.checked_add(len).ok_or(Error::Invalid)?;
    let outside = start >= highest || end >= highest || abort >= highest;
    if outside || version > 0 || flags != 0 || abort.wrapping_sub(start) < len {
        return Err(Error::Invalid);
    }
    let before_abort = read_bytes::<4>(abort.checked_sub(4).ok_or(Error::Fault)?)?;
    if u32::from_le_bytes(before_abort) == signature { Ok(()) } else { Err(Error::Invalid) }
}

/// Length and signature that an area was registered with.
fn terms(len: u32, signature: u32) -> u64 {
    u64::from(len) << 32 | u64::from(signature)
}

impl Thread {
    /// It has no area any more, which the host knows.
    fn lose_rseq(&self) {
        let key = key_of(self);
        self.process.mm.rseq.0.write().remove(&key);
        self.rseq_area.store(0, Ordering::Relaxed);
    }

    fn tell_host_of_rseq(&self, area: usize, flags: i32) -> Result<()> {
        if area == 0 {
            return Ok(());
        }
        let terms = self.rseq_terms.load(Ordering::Relaxed);
        host().rseq(area, (terms >> 32) as u32, flags, terms as u32)
    }

    /// The host no longer writes to the thread's restartable-sequences area, which is about to go. To be called on the
    /// thread of the host that it runs on, or is lent to another.
    pub(crate) fn forget_rseq(&self) -> Result<()> {
        let area = self.rseq_area.load(Ordering::Relaxed);
        if area == 0 {
            return Ok(());
        }
        let told = self.tell_host_of_rseq(area, UNREGISTER);
        self.lose_rseq();
        told
    }

    /// The host's thread no longer writes to this area; the thread keeps it in mind.
    pub(crate) fn suspend_rseq(&self) {
        let _ = self.tell_host_of_rseq(self.rseq_area.load(Ordering::Relaxed), UNREGISTER);
    }

    /// The thread of the host registers the area again. `false`: the host refuses what the guest has written there
    /// meanwhile.
    pub(crate) fn resume_rseq(&self) -> bool {
        self.tell_host_of_rseq(self.rseq_area.load(Ordering::Relaxed), 0).is_ok()
    }

    /// `copy` goes on in a copy of the calling thread's process: the host copies what is registered.
    pub(crate) fn copy_rseq_to(&self, copy: &Self) {
        let vfork_parent = self.vfork_parent();
        let own = self.rseq_area.load(Ordering::Relaxed) != 0;
        let registered = vfork_parent.as_deref().filter(|_| !own).unwrap_or(self);
        copy.rseq_area.store(registered.rseq_area.load(Ordering::Relaxed), Ordering::Relaxed);
        copy.rseq_terms.store(registered.rseq_terms.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}
