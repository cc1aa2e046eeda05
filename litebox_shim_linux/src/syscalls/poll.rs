//! Waiting for several files: poll and select.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use core::time::Duration;

use litebox::event::{Events, Observer, Pollable, Waiter};
use litebox::fs::OpenFile;
use litebox::platform::{Instant, host};
use litebox::{Error, Result};
use litebox_common_linux::abi::layout::{Layout, Layouts, UserWord};
use litebox_common_linux::abi::poll::SelectMask;
use litebox_common_linux::abi::time::{Timespec, Timeval};
use litebox_common_linux::argument::{FdSet, SigSet, UserMut, UserRef};
use smallvec::SmallVec;
use zerocopy::IntoBytes;

use super::file::FdGuard;
use super::restart::RestartBlock;
use crate::Task;
use crate::signal::RestartPolicy;
use crate::syscalls::file::check_range;
use crate::user::{UserRead, UserWrite, duration_of, read_into, word, write_bytes, write_halves};

/// What select(2) calls readable, writable, exceptional.
const READABLE: Events = Events::IN.union(Events::RDNORM).union(Events::RDBAND).union(Events::HUP).union(Events::ERR);
const WRITABLE: Events = Events::OUT.union(Events::WRNORM).union(Events::WRBAND).union(Events::ERR);
const EXCEPTIONAL: Events = Events::PRI;

/// What a place in a set of descriptors refers to.
enum PollTarget<'a> {
    /// An open file.
    File(FdGuard<'a>),
    /// No such descriptor.
    Missing,
    /// A negative descriptor: takes no part.
    Skipped,
}

/// One descriptor and what is asked of it.
struct Watch<'a> {
    target: PollTarget<'a>,
    /// What ends the wait.
    interest: Events,
    found: Events,
}

/// Size of a `struct pollfd`, and where in it what was found is written.
const POLLFD: usize = 8;
const REVENTS: u64 = 6;
/// How many of them are read or written at once.
const PIECE: usize = 16;

/// What a poll watches: few lie on the stack.
type Watches<'a> = SmallVec<[Watch<'a>; 8]>;

impl Watch<'_> {
    fn file(&self) -> Option<&OpenFile> {
        match &self.target {
            PollTarget::File(file) => Some(file),
            PollTarget::Missing | PollTarget::Skipped => None,
        }
    }
    fn now(&self) -> Events {
        match &self.target {
            PollTarget::File(file) => file.ready() & self.interest,
            PollTarget::Missing => Events::NVAL,
            PollTarget::Skipped => Events::empty(),
        }
    }
}

/// Registrations of a waiter with files, taken back at the end.
struct Registered<'a> {
    observer: Arc<dyn Observer>,
    watches: &'a [Watch<'a>],
}

impl<'a> Registered<'a> {
    fn new(waiter: &Arc<Waiter>, watches: &'a [Watch<'a>]) -> Self {
        let observer: Arc<dyn Observer> = waiter.clone();
        for watch in watches {
            if let Some(file) = watch.file() {
                let _ = file.observe(&observer, watch.interest);
            }
        }
        Self { observer, watches }
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        for file in self.watches.iter().filter_map(Watch::file) {
            file.unobserve(&self.observer);
        }
    }
}

fn any_ready(watches: &[Watch<'_>]) -> bool {
    watches.iter().any(|w| !w.now().is_empty())
}

/// Notes what each is ready for; whether any is.
fn look(watches: &mut [Watch<'_>]) -> bool {
    let mut ready = false;
    for watch in watches.iter_mut() {
        watch.found = watch.now();
        ready |= !watch.found.is_empty();
    }
    ready
}

/// The earliest moment at which one of the files may become ready by time alone.
fn next_timer(watches: &[Watch<'_>]) -> Option<Instant> {
    watches.iter().filter_map(Watch::file).filter_map(OpenFile::expire).min()
}

/// Waits until one of `watches` is ready: `Ok` also when `deadline` passed. What each is ready for is in `found` then.
fn wait(waiter: &Arc<Waiter>, watches: &mut [Watch<'_>], deadline: Option<Instant>, poll: bool) -> Result<()> {
    if look(watches) || poll {
        return Ok(());
    }
    let outcome = {
        let _registered = Registered::new(waiter, watches);
        loop {
            let ticket = waiter.ticket();
            if any_ready(watches) {
                break Ok(());
            }
            let timer = next_timer(watches).filter(|t| deadline.is_none_or(|d| *t < d));
            match waiter.sleep(ticket, timer.or(deadline)) {
                Ok(()) => {}
                Err(Error::TimedOut) if timer.is_some() => {}
                Err(Error::TimedOut) => break Ok(()),
                Err(e) => break Err(e),
            }
        }
    };
    // What is ready counts more than a signal.
    if look(watches) { Ok(()) } else { outcome }
}

/// The time-out as the guest gave it, and where.
#[derive(Clone, Copy)]
enum TimeOrigin {
    Timespec(UserMut<Timespec>),
    Timeval(UserMut<Timeval>),
}

/// personality(2): time-outs are left as they were given.
const STICKY_TIMEOUTS: u32 = 0x400_0000;

/// How long a call waits.
#[derive(Clone, Copy)]
struct Timeout {
    deadline: Option<Instant>,
    /// Not at all.
    poll: bool,
    /// The guest's value.
    origin: Option<TimeOrigin>,
}

impl Timeout {
    fn of(limit: Option<Duration>, origin: Option<TimeOrigin>) -> Self {
        Self {
            // Who does not wait needs no clock.
            deadline: limit.filter(|d| !d.is_zero()).map(|d| host().instant().saturating_add(d)),
            poll: limit == Some(Duration::ZERO),
            origin,
        }
    }
    /// The time-out at an address of the guest, if there is one.
    fn at(origin: TimeOrigin) -> Result<Self> {
        let limit = match origin {
            TimeOrigin::Timespec(at) => at.read_if_given()?.map(duration_of).transpose()?,
            TimeOrigin::Timeval(at) => at.read_if_given()?.map(duration_of_timeval).transpose()?,
        };
        Ok(Self::of(limit, limit.map(|_| origin)))
    }
    /// Linux writes the remaining time back, and does not mind when it cannot.
    fn write_back(&self) {
        let Some(origin) = self.origin else { return };
        let left = self.deadline.map_or(Duration::ZERO, |deadline| deadline.saturating_since(host().instant()));
        let _ = match origin {
            TimeOrigin::Timespec(at) => at.write(left.into()),
            TimeOrigin::Timeval(at) => at.write(left.into()),
        };
    }
}

/// select(2)'s time-out: microseconds beyond a second are seconds, negative ones an error.
fn duration_of_timeval(time: Timeval) -> Result<Duration> {
    let seconds = time.sec.saturating_add(time.usec.div_euclid(1_000_000));
    let seconds = u64::try_from(seconds).map_err(|_| Error::Invalid)?;
    if time.usec < 0 {
        return Err(Error::Invalid);
    }
    let nanos = u32::try_from(time.usec.rem_euclid(1_000_000)).map_err(|_| Error::Invalid)? * 1000;
    Ok(Duration::new(seconds, nanos))
}

/// How many bytes of one of select's sets count, of `bits`: whole words of the program.
fn set_bytes(set: UserMut<FdSet>, bits: usize) -> usize {
    let word = <UserWord as Layout>::size(match set.layouts() {
        Layouts::X86_64 => Layouts::X86_64,
        Layouts::X86 | Layouts::X86Time64 => Layouts::X86,
    });
    bits.div_ceil(8 * word) * word
}

/// One of select's sets, `bits` long; no address: empty.
fn read_set(set: UserMut<FdSet>, bits: usize) -> Result<Vec<u64>> {
    let words = bits.div_ceil(64);
    let mut taken = Vec::new();
    taken.try_reserve_exact(words).map_err(|_| Error::NoMemory)?;
    taken.resize(words, 0u64);
    if !set.is_null() {
        let raw = taken.as_mut_slice().as_mut_bytes();
        read_into(set.address() as u64, raw.get_mut(..set_bytes(set, bits)).unwrap_or_default())?;
    }
    Ok(taken)
}

impl<'a> Task<'a, '_> {
    fn watch(&self, fd: i32, interest: Events) -> Watch<'a> {
        let target = match self.fd_guard(fd) {
            _ if fd < 0 => PollTarget::Skipped,
            Ok(file) => PollTarget::File(file),
            Err(_) => PollTarget::Missing,
        };
        Watch { target, interest, found: Events::empty() }
    }

    fn wait_for(&mut self, watches: &mut [Watch<'_>], timeout: Timeout) -> Result<()> {
        let result = wait(self.waiter(), watches, timeout.deadline, timeout.poll);
        if self.process().persona.load(Ordering::Relaxed) & STICKY_TIMEOUTS == 0 {
            timeout.write_back();
        }
        match result {
            Err(Error::Interrupted) => {
                let number = self.frame.regs.rax;
                Err(self.interrupted_call(RestartPolicy::NoHandler, number))
            }
            other => {
                self.end_temporary_mask();
                other
            }
        }
    }

    /// The descriptors of a poll: `fd` and interest of each, read in pieces.
    fn read_pollfds(&self, fds: u64, count: usize, watches: &mut Watches<'a>) -> Result<()> {
        if count as u64 > self.descriptor_limit() {
            return Err(Error::Invalid);
        }
        let mut raw = [0u8; PIECE * POLLFD];
        let mut at = fds;
        let mut left = count;
        while left > 0 {
            let now = left.min(PIECE);
            let piece = raw.get_mut(..now * POLLFD).ok_or(Error::Invalid)?;
            read_into(at, piece)?;
            watches.try_reserve(now).map_err(|_| Error::NoMemory)?;
            for entry in piece.chunks_exact(POLLFD) {
                let fd = i32::from_le_bytes(word(entry, 0));
                let events = u16::from_le_bytes(word(entry, 4));
                let interest = Events::from_bits_retain(u32::from(events)) | Events::ALWAYS;
                watches.push(self.watch(fd, interest));
            }
            at = at.checked_add((now * POLLFD) as u64).ok_or(Error::Fault)?;
            left -= now;
        }
        Ok(())
    }

    fn poll_with(&mut self, fds: u64, count: usize, timeout: Timeout) -> Result<usize> {
        let mut watches = Watches::new();
        self.read_pollfds(fds, count, &mut watches)?;
        // Also where nothing is to be written; Linux says so when the wait is over.
        check_range(fds as usize, count * POLLFD)?;
        self.wait_for(&mut watches, timeout)?;
        let mut ready = 0;
        let mut at = fds.wrapping_add(REVENTS);
        for piece in watches.chunks(PIECE) {
            let mut found = [0u16; PIECE];
            for (to, watch) in found.iter_mut().zip(piece) {
                *to = watch.found.bits() as u16;
                ready += usize::from(*to != 0);
            }
            write_halves(at, POLLFD, found.get(..piece.len()).unwrap_or_default())?;
            at += (PIECE * POLLFD) as u64;
        }
        Ok(ready)
    }

    /// poll(2)
    pub(crate) fn poll(&mut self, fds: u64, count: u32, timeout: i32) -> Result<usize> {
        let limit = u64::try_from(timeout).ok().map(Duration::from_millis);
        match limit {
            Some(limit) if !limit.is_zero() => self.poll_until(fds, count, host().instant().saturating_add(limit)),
            _ => self.poll_with(fds, count as usize, Timeout::of(limit, None)),
        }
    }

    /// poll(2), until a moment.
    pub(crate) fn poll_until(&mut self, fds: u64, count: u32, deadline: Instant) -> Result<usize> {
        let timeout = Timeout { deadline: Some(deadline), ..Timeout::of(None, None) };
        let result = self.poll_with(fds, count as usize, timeout);
        if result == Err(Error::Interrupted) {
            return Err(self.interrupted_with(RestartBlock::Poll { fds, count, deadline }));
        }
        result
    }

    /// ppoll(2)
    pub(crate) fn ppoll(
        &mut self,
        fds: u64,
        count: u32,
        timeout: UserMut<Timespec>,
        mask: UserRef<SigSet>,
        size: u64,
    ) -> Result<usize> {
        let timeout = Timeout::at(TimeOrigin::Timespec(timeout))?;
        if !mask.is_null() {
            self.set_temporary_mask(mask, size)?;
        }
        let result = self.poll_with(fds, count as usize, timeout);
        self.unless_interrupted(result)
    }

    /// A call with a temporary mask that failed early puts the mask back at once.
    pub(crate) fn unless_interrupted(&mut self, result: Result<usize>) -> Result<usize> {
        if result != Err(Error::Interrupted) {
            self.end_temporary_mask();
        }
        result
    }

    /// How many descriptors select looks at: Linux's table, which grows in powers of two.
    fn select_width(&self, count: i32) -> Result<usize> {
        let count = usize::try_from(count).map_err(|_| Error::Invalid)?;
        let highest = self.thread.files.descriptors().last().map_or(0, |fd| *fd as usize);
        let table = if highest < 64 { 64 } else { (highest / 128 + 1).next_power_of_two() * 128 };
        Ok(count.min(table))
    }

    fn select_with(&mut self, count: i32, sets: [UserMut<FdSet>; 3], timeout: Timeout) -> Result<usize> {
        let width = self.select_width(count)?;
        let wanted = [read_set(sets[0], width)?, read_set(sets[1], width)?, read_set(sets[2], width)?];
        let kinds = [READABLE, WRITABLE, EXCEPTIONAL];
        let has = |set: &[u64], fd: usize| set.get(fd / 64).is_some_and(|w| w >> (fd % 64) & 1 != 0);
        let mut watches = Vec::new();
        let mut fds = Vec::new();
        for fd in 0..width {
            let mut interest = Events::empty();
            for (set, kind) in wanted.iter().zip(kinds) {
                if has(set, fd) {
                    interest |= kind;
                }
            }
            if interest.is_empty() {
                continue;
            }
            let watch = self.watch(fd as i32, interest);
            if watch.file().is_none() {
                return Err(Error::BadDescriptor);
            }
            watches.try_reserve(1).map_err(|_| Error::NoMemory)?;
            fds.try_reserve(1).map_err(|_| Error::NoMemory)?;
            watches.push(watch);
            fds.push(fd);
        }
        self.wait_for(&mut watches, timeout)?;
        let mut ready = 0;
        for ((at, set), kind) in sets.into_iter().zip(&wanted).zip(kinds) {
            if at.is_null() {
                continue;
            }
            let mut result = alloc::vec![0u64; set.len()];
            for (fd, watch) in fds.iter().zip(&watches) {
                if has(set, *fd) && watch.found.intersects(kind) {
                    ready += 1;
                    if let Some(w) = result.get_mut(fd / 64) {
                        *w |= 1 << (fd % 64);
                    }
                }
            }
            let raw = result.as_slice().as_bytes();
            write_bytes(at.address() as u64, raw.get(..set_bytes(at, width)).unwrap_or_default())?;
        }
        Ok(ready)
    }

    /// select(2)
    pub(crate) fn select(
        &mut self,
        count: i32,
        readable: UserMut<FdSet>,
        writable: UserMut<FdSet>,
        exceptional: UserMut<FdSet>,
        timeout: UserMut<Timeval>,
    ) -> Result<usize> {
        let timeout = Timeout::at(TimeOrigin::Timeval(timeout))?;
        self.select_with(count, [readable, writable, exceptional], timeout)
    }

    /// pselect6(2)
    pub(crate) fn pselect6(
        &mut self,
        count: i32,
        readable: UserMut<FdSet>,
        writable: UserMut<FdSet>,
        exceptional: UserMut<FdSet>,
        timeout: UserMut<Timespec>,
        mask: UserRef<SelectMask>,
    ) -> Result<usize> {
        let given = mask.read_if_given()?.unwrap_or_default();
        let timeout = Timeout::at(TimeOrigin::Timespec(timeout))?;
        if given.set != 0 {
            self.set_temporary_mask(mask.at(given.set as usize), given.size)?;
        }
        let result = self.select_with(count, [readable, writable, exceptional], timeout);
        self.unless_interrupted(result)
    }
}
