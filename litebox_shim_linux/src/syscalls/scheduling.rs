//! Scheduling: priorities, policies, affinity, getcpu(2).
//!
//! The host schedules; no call of the boundary's filter changes how. What a program asks for is kept and answered, so
//! that it finds what it set, and refused where Linux refuses it to a process without `CAP_SYS_NICE`.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicI32, Ordering};
use litebox_common_linux::abi::layout::Field;
use litebox_common_linux::abi::process::{SchedAttr, SchedAttrX86_64};
use litebox_common_linux::abi::time::Timespec;
use litebox_common_linux::argument::UserMut;
use zerocopy::IntoBytes;

use litebox::platform::host;
use litebox::sync::Mutex;
use litebox::{Error, Result};

use crate::boot::FirstScheduling;
use crate::syscalls::limits::Resource;
use crate::task::Capability;
use crate::user::{UserWrite, read_bytes, read_extensible, read_into, write_bytes};
use crate::{Task, Thread};

const POLICY_OTHER: i32 = 0;
const POLICY_FIFO: i32 = 1;
const POLICY_ROUND_ROBIN: i32 = 2;
const POLICY_BATCH: i32 = 3;
const POLICY_IDLE: i32 = 5;
const POLICY_DEADLINE: i32 = 6;
/// SCHED_RESET_ON_FORK beside a policy; SCHED_FLAG_RESET_ON_FORK in an attribute.
const RESET_ON_FORK: i32 = 0x4000_0000;
const FLAG_RESET_ON_FORK: u64 = 1;
/// Flags of `struct sched_attr` that are known: RESET_ON_FORK, RECLAIM, DL_OVERRUN, KEEP_POLICY, KEEP_PARAMS,
/// UTIL_CLAMP_MIN and _MAX.
const KNOWN_FLAGS: u64 = 0x7f;
const KEEP_POLICY: u64 = 0x08;
const ATTR_LEN: u32 = 48;
const ATTR_LEN_NOW: u32 = 56;
/// Bytes of an affinity mask here: 1024 processors.
const MASK_LEN: usize = 128;
/// A round-robin slice, as processes of other policies see it.
const SLICE_NANOS: u32 = 4_000_000;
const PRIO_PROCESS: i32 = 0;
const PRIO_PGRP: i32 = 1;
const PRIO_USER: i32 = 2;
/// Classes of ioprio_set(2).
const IO_CLASS_SHIFT: i32 = 13;
const IO_REALTIME: i32 = 1;
const IO_IDLE: i32 = 3;
const IO_LEVELS: i32 = 8;

/// How a thread asked to be scheduled.
#[derive(Default)]
pub struct Scheduling {
    nice: AtomicI32,
    policy: AtomicI32,
    io_priority: AtomicI32,
    /// `None`: wherever the host lets it run.
    affinity: Mutex<Option<[u8; MASK_LEN]>>,
}

impl Scheduling {
    /// As the user wants it of a program.
    pub(crate) fn begin(&self, first: &FirstScheduling) {
        self.nice.store(first.nice, Ordering::Relaxed);
        self.policy.store(first.policy, Ordering::Relaxed);
        self.io_priority.store(first.io_priority, Ordering::Relaxed);
    }
    /// As a new thread inherits it.
    pub(crate) fn inherit(&self, parent: &Self) {
        let policy = parent.policy.load(Ordering::Relaxed);
        let reset = policy & RESET_ON_FORK != 0;
        let nice = parent.nice.load(Ordering::Relaxed);
        self.policy.store(if reset { POLICY_OTHER } else { policy }, Ordering::Relaxed);
        self.nice.store(if reset { nice.max(0) } else { nice }, Ordering::Relaxed);
        self.io_priority.store(parent.io_priority.load(Ordering::Relaxed), Ordering::Relaxed);
        let affinity = *parent.affinity.lock();
        *self.affinity.lock() = affinity;
    }
    /// Where it may run, if it asked for that.
    pub(crate) fn affinity(&self) -> Option<[u8; MASK_LEN]> {
        *self.affinity.lock()
    }
    /// The policy's number.
    pub fn policy(&self) -> i32 {
        self.policy.load(Ordering::Relaxed) & !RESET_ON_FORK
    }
    /// The nice value, -20 to 19.
    pub fn nice(&self) -> i32 {
        self.nice.load(Ordering::Relaxed)
    }
}

/// The host's mask, and how many of its bytes count.
fn host_mask() -> ([u8; MASK_LEN], usize) {
    let mut mask = [0u8; MASK_LEN];
    let len = host().affinity(&mut mask).clamp(8, MASK_LEN);
    (mask, len)
}

/// The static priorities of a policy.
fn priorities(policy: i32) -> Result<RangeInclusive<usize>> {
    match policy {
        POLICY_FIFO | POLICY_ROUND_ROBIN => Ok(1..=99),
        POLICY_OTHER | POLICY_BATCH | POLICY_IDLE | POLICY_DEADLINE => Ok(0..=0),
        _ => Err(Error::Invalid),
    }
}

impl Task<'_, '_> {
    /// The thread with this id; 0: the caller.
    fn scheduled(&self, tid: i32) -> Result<Arc<Thread>> {
        if tid < 0 {
            return Err(Error::Invalid);
        }
        if tid == 0 || tid == self.thread.tid() {
            return Ok(self.thread.clone());
        }
        self.seen_processes().iter().find_map(|p| p.thread_or_ended_first(tid)).ok_or(Error::NoProcess)
    }

    /// As [`Task::scheduled`], for calls that know no invalid ids.
    fn running(&self, tid: i32) -> Result<Arc<Thread>> {
        if tid < 0 { Err(Error::NoProcess) } else { self.scheduled(tid) }
    }

    /// Whether the caller may change how `thread` is scheduled.
    fn may_schedule(&self, thread: &Thread) -> Result<()> {
        let (own, other) = (self.creds(), thread.process.creds());
        let same = own.euid == other.uid || own.euid == other.euid;
        if own.can(Capability::SysNice) || same { Ok(()) } else { Err(Error::NotPermitted) }
    }

    /// sched_getaffinity(2).
    pub(crate) fn sched_getaffinity(&mut self, tid: i32, len: u64, out: u64) -> Result<usize> {
        let (allowed, used) = host_mask();
        let len = len as u32 as usize;
        if len.saturating_mul(8) < highest_bit(&allowed) || len % 8 != 0 {
            return Err(Error::Invalid);
        }
        let mask = self.running(tid)?.scheduling.affinity.lock().unwrap_or(allowed);
        let len = used.min(len);
        write_bytes(out, mask.get(..len).unwrap_or_default())?;
        Ok(len)
    }

    /// sched_setaffinity(2).
    pub(crate) fn sched_setaffinity(&mut self, tid: i32, len: u64, mask: u64) -> Result<usize> {
        let mut wanted = [0u8; MASK_LEN];
        // The length is an `unsigned int` to Linux.
        let len = len as u32 as usize;
        read_into(mask, wanted.get_mut(..MASK_LEN.min(len)).unwrap_or_default())?;
        let thread = self.running(tid)?;
        self.may_schedule(&thread)?;
        let (allowed, _) = host_mask();
        for (w, a) in wanted.iter_mut().zip(allowed) {
            *w &= a;
        }
        if wanted.iter().all(|b| *b == 0) {
            return Err(Error::Invalid);
        }
        *thread.scheduling.affinity.lock() = Some(wanted);
        Ok(0)
    }

    /// getcpu(2).
    #[expect(clippy::unused_self, reason = "handlers of calls have one shape")]
    pub(crate) fn getcpu(&mut self, cpu: UserMut<u32>, node: UserMut<u32>, _cache: u64) -> Result<usize> {
        let (cpu_now, node_now) = host().current_cpu();
        cpu.write_if_given(cpu_now)?;
        node.write_if_given(node_now)?;
        Ok(0)
    }

    /// sched_getscheduler(2).
    pub(crate) fn sched_getscheduler(&mut self, tid: i32) -> Result<usize> {
        Ok(self.scheduled(tid)?.scheduling.policy.load(Ordering::Relaxed) as usize)
    }

    /// sched_setscheduler(2).
    pub(crate) fn sched_setscheduler(&mut self, tid: i32, policy: i32, param: u64) -> Result<usize> {
        if policy < 0 || param == 0 || tid < 0 {
            return Err(Error::Invalid);
        }
        let priority = i32::from_le_bytes(read_bytes(param)?);
        let thread = self.scheduled(tid)?;
        self.set_policy(&thread, policy, priority)?;
        Ok(0)
    }

    fn set_policy(&self, thread: &Thread, policy: i32, priority: i32) -> Result<()> {
        let plain = policy & !RESET_ON_FORK;
        let known = usize::try_from(priority).is_ok_and(|p| priorities(plain).is_ok_and(|range| range.contains(&p)));
        if !known || plain == POLICY_DEADLINE {
            return Err(Error::Invalid);
        }
        self.may_schedule(thread)?;
        if matches!(plain, POLICY_FIFO | POLICY_ROUND_ROBIN) {
            return Err(Error::NotPermitted);
        }
        thread.scheduling.policy.store(policy, Ordering::Relaxed);
        Ok(())
    }

    /// sched_getparam(2): nobody has a real-time priority.
    pub(crate) fn sched_getparam(&mut self, tid: i32, out: u64) -> Result<usize> {
        if out == 0 {
            return Err(Error::Invalid);
        }
        self.scheduled(tid)?;
        write_bytes(out, &[0; 4])?;
        Ok(0)
    }

    /// sched_setparam(2).
    pub(crate) fn sched_setparam(&mut self, tid: i32, param: u64) -> Result<usize> {
        if param == 0 || tid < 0 {
            return Err(Error::Invalid);
        }
        let priority = i32::from_le_bytes(read_bytes(param)?);
        let thread = self.scheduled(tid)?;
        let policy = thread.scheduling.policy.load(Ordering::Relaxed);
        self.set_policy(&thread, policy, priority)?;
        Ok(0)
    }

    /// sched_get_priority_max(2).
    #[expect(clippy::unused_self, reason = "handlers of calls have one shape")]
    pub(crate) fn sched_get_priority_max(&mut self, policy: i32) -> Result<usize> {
        priorities(policy).map(|range| *range.end())
    }

    /// sched_get_priority_min(2).
    #[expect(clippy::unused_self, reason = "handlers of calls have one shape")]
    pub(crate) fn sched_get_priority_min(&mut self, policy: i32) -> Result<usize> {
        priorities(policy).map(|range| *range.start())
    }

    /// sched_rr_get_interval(2).
    pub(crate) fn sched_rr_get_interval(&mut self, tid: i32, out: UserMut<Timespec>) -> Result<usize> {
        self.scheduled(tid)?;
        out.write(core::time::Duration::from_nanos(SLICE_NANOS.into()).into()).map(|()| 0)
    }

    /// sched_getattr(2).
    pub(crate) fn sched_getattr(&mut self, tid: i32, out: u64, len: u32, flags: u32) -> Result<usize> {
        if out == 0 || !(ATTR_LEN..=4096).contains(&len) || flags != 0 {
            return Err(Error::Invalid);
        }
        let thread = self.scheduled(tid)?;
        let policy = thread.scheduling.policy.load(Ordering::Relaxed);
        let size = len.min(ATTR_LEN_NOW);
        let told = SchedAttr {
            size,
            policy: policy & !RESET_ON_FORK,
            flags: u64::from(policy & RESET_ON_FORK != 0),
            nice: thread.scheduling.nice(),
            ..SchedAttr::default()
        };
        let raw: SchedAttrX86_64 = told.raw();
        let raw = raw.as_bytes();
        write_bytes(out, raw.get(..size as usize).unwrap_or(raw))?;
        Ok(0)
    }

    /// sched_setattr(2).
    pub(crate) fn sched_setattr(&mut self, tid: i32, attr: u64, flags: u32) -> Result<usize> {
        if attr == 0 || tid < 0 || flags != 0 {
            return Err(Error::Invalid);
        }
        let size = match u32::from_le_bytes(read_bytes(attr)?) {
            0 => ATTR_LEN,
            n if !(ATTR_LEN..=4096).contains(&n) => {
                let _ = write_bytes(attr, &ATTR_LEN_NOW.to_le_bytes());
                return Err(Error::TooBig);
            }
            n => n,
        };
        let asked = read_extensible(attr, size as usize, ATTR_LEN as usize).inspect_err(|error| {
            if *error == Error::TooBig {
                let _ = write_bytes(attr, &ATTR_LEN_NOW.to_le_bytes());
            }
        })?;
        let SchedAttr { policy, flags, nice, priority, .. } = asked;
        if policy < 0 || flags & !KNOWN_FLAGS != 0 {
            return Err(Error::Invalid);
        }
        let thread = self.scheduled(tid)?;
        let policy = if flags & KEEP_POLICY != 0 { thread.scheduling.policy.load(Ordering::Relaxed) } else { policy };
        let reset = if flags & FLAG_RESET_ON_FORK != 0 { RESET_ON_FORK } else { 0 };
        if policy & !RESET_ON_FORK == POLICY_DEADLINE {
            return Err(Error::NotPermitted);
        }
        if policy & !RESET_ON_FORK == POLICY_OTHER || policy & !RESET_ON_FORK == POLICY_BATCH {
            self.set_nice(&thread, nice.clamp(-20, 19), Error::NotPermitted)?;
        }
        self.set_policy(&thread, policy | reset, priority)?;
        Ok(0)
    }

    /// The threads that getpriority(2), setpriority(2) and their kin for I/O mean.
    fn chosen(&self, which: i32, who: i32) -> Result<Vec<Arc<Thread>>> {
        let own = self.process();
        let threads = |wanted: &dyn Fn(&crate::Process) -> bool| {
            let all = self.seen_processes();
            all.iter().filter(|p| wanted(p)).flat_map(|p| p.threads()).collect::<Vec<_>>()
        };
        let found = match which {
            PRIO_PROCESS => Vec::from([self.running(who)?]),
            PRIO_PGRP => {
                let group = if who == 0 { own.group.load(Ordering::Relaxed) } else { who };
                threads(&|p| p.group.load(Ordering::Relaxed) == group)
            }
            PRIO_USER => {
                let uid = if who == 0 { own.creds().uid } else { who as u32 };
                threads(&|p| p.creds().uid == uid)
            }
            _ => return Err(Error::Invalid),
        };
        if found.is_empty() { Err(Error::NoProcess) } else { Ok(found) }
    }

    /// getpriority(2): 20 less the highest priority among them.
    pub(crate) fn getpriority(&mut self, which: i32, who: i32) -> Result<usize> {
        if !(PRIO_PROCESS..=PRIO_USER).contains(&which) {
            return Err(Error::Invalid);
        }
        let lowest = self.chosen(which, who)?.iter().map(|t| t.scheduling.nice()).min().unwrap_or(0);
        Ok((20 - lowest) as usize)
    }

    /// setpriority(2).
    pub(crate) fn setpriority(&mut self, which: i32, who: i32, nice: i32) -> Result<usize> {
        if !(PRIO_PROCESS..=PRIO_USER).contains(&which) {
            return Err(Error::Invalid);
        }
        for thread in self.chosen(which, who)? {
            self.set_nice(&thread, nice.clamp(-20, 19), Error::Access)?;
        }
        Ok(0)
    }

    fn set_nice(&self, thread: &Thread, nice: i32, refused: Error) -> Result<()> {
        self.may_schedule(thread)?;
        let lowest = 20 - i64::try_from(self.process().limits.soft(Resource::Nice)).unwrap_or(40).min(40);
        let allowed =
            nice >= thread.scheduling.nice() || i64::from(nice) >= lowest || self.creds().can(Capability::SysNice);
        if !allowed {
            return Err(refused);
        }
        thread.scheduling.nice.store(nice, Ordering::Relaxed);
        Ok(())
    }

    /// ioprio_get(2).
    pub(crate) fn ioprio_get(&mut self, which: i32, who: i32) -> Result<usize> {
        // Its numbers begin at 1.
        let all = self.chosen(which.wrapping_sub(1), who)?;
        let best = all.iter().map(|t| t.scheduling.io_priority.load(Ordering::Relaxed)).filter(|p| *p != 0).min();
        Ok(best.unwrap_or(0) as usize)
    }

    /// ioprio_set(2).
    pub(crate) fn ioprio_set(&mut self, which: i32, who: i32, priority: i32) -> Result<usize> {
        let (class, level) = (priority >> IO_CLASS_SHIFT, priority & 7);
        match class {
            0 if level != 0 => return Err(Error::Invalid),
            IO_REALTIME if !self.creds().can(Capability::SysNice) => return Err(Error::NotPermitted),
            0..=IO_IDLE if priority & ((1 << IO_CLASS_SHIFT) - 1) < IO_LEVELS => {}
            _ => return Err(Error::Invalid),
        }
        for thread in self.chosen(which.wrapping_sub(1), who)? {
            self.may_schedule(&thread)?;
            thread.scheduling.io_priority.store(priority, Ordering::Relaxed);
        }
        Ok(0)
    }
}

/// One more than the number of the highest bit that is set.
fn highest_bit(mask: &[u8]) -> usize {
    mask.iter()
        .rposition(|b| *b != 0)
        .map_or(0, |at| at * 8 + 8 - mask.get(at).map_or(0, |b| b.leading_zeros() as usize))
}
