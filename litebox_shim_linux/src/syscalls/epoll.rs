//! epoll: sets of files to wait for.

use alloc::sync::Arc;
use core::time::Duration;

use litebox::epoll::{EventSet, Interest, Mode};
use litebox::event::{Events, Observer, WakeResult, wait_until_ready};
use litebox::fs::{Access, OpenFile, StatusFlags};
use litebox::platform::host;
use litebox::{Error, Result};
use litebox_common_linux::abi::poll::{EpollEvent, EpollFlags, EpollOperation};
use litebox_common_linux::abi::time::Timespec;
use litebox_common_linux::argument::{SigSet, UserMut, UserRef};

use crate::Task;
use crate::signal::RestartPolicy;
use crate::user::{UserRead, UserWrite, duration_at};

/// `struct epoll_event` is packed on x86-64.
const EVENT_SIZE: usize = 12;
/// The most events one call may ask for.
const MAX_EVENTS: usize = i32::MAX as usize / EVENT_SIZE;
/// What may go together with EPOLLEXCLUSIVE.
const EXCLUSIVE_EVENTS: Events = Events::IN.union(Events::OUT).union(Events::ERR).union(Events::HUP);

/// The set behind an open file.
fn set_of(file: &OpenFile) -> Result<&EventSet> {
    file.file.as_any().downcast_ref::<EventSet>().ok_or(Error::Invalid)
}

/// Whether a set takes such a file: it must be able to tell when it becomes ready.
fn can_be_polled(file: &OpenFile) -> bool {
    struct Nobody;
    impl Observer for Nobody {
        fn on_ready(&self, _events: Events) -> WakeResult {
            WakeResult::NOBODY
        }
    }
    let observer: Arc<dyn Observer> = Arc::new(Nobody);
    let able = file.file.observe(&observer, Events::empty());
    if able {
        file.file.unobserve(&observer);
    }
    able
}

impl Task<'_, '_> {
    /// epoll_create(2): the size is a hint, but must be positive.
    pub(crate) fn epoll_create(&mut self, size: i32) -> Result<usize> {
        if size <= 0 {
            return Err(Error::Invalid);
        }
        self.epoll_create1(EpollFlags::empty())
    }

    /// epoll_create1(2)
    pub(crate) fn epoll_create1(&mut self, flags: EpollFlags) -> Result<usize> {
        if !EpollFlags::all().contains(flags) {
            return Err(Error::Invalid);
        }
        let file = self.nameless(EventSet::new(), Access::READ | Access::WRITE, StatusFlags::empty());
        self.install(file, flags.contains(EpollFlags::EPOLL_CLOEXEC))
    }

    /// epoll_ctl(2)
    pub(crate) fn epoll_ctl(
        &mut self,
        epfd: i32,
        operation: EpollOperation,
        fd: i32,
        event: UserRef<EpollEvent>,
    ) -> Result<usize> {
        let interest = if operation == EpollOperation::EPOLL_CTL_DEL {
            Interest { events: Events::empty(), mode: Mode::empty(), data: 0 }
        } else {
            let event = event.read()?;
            let mode = Mode::from_bits_truncate(event.events);
            let events = Events::from_bits_retain(event.events & !Mode::all().bits());
            Interest { events, mode, data: event.data }
        };
        let outer = self.file(epfd)?;
        let target = self.file(fd)?;
        match self.change_set(&outer, operation, fd, &target, interest) {
            // What cannot be waited for is told first, whatever else is wrong.
            Err(Error::Invalid | Error::NotFound) if !can_be_polled(&target) => Err(Error::NotPermitted),
            other => other.map(|()| 0),
        }
    }

    fn change_set(
        &self,
        outer: &Arc<OpenFile>,
        operation: EpollOperation,
        fd: i32,
        target: &Arc<OpenFile>,
        interest: Interest,
    ) -> Result<()> {
        if Arc::ptr_eq(outer, target) {
            return Err(Error::Invalid);
        }
        let set = set_of(outer)?;
        if interest.mode.contains(Mode::EXCLUSIVE) {
            let others = Mode::EXCLUSIVE | Mode::EDGE | Mode::WAKEUP;
            if operation == EpollOperation::EPOLL_CTL_MOD
                || !others.contains(interest.mode)
                || !EXCLUSIVE_EVENTS.contains(interest.events)
            {
                return Err(Error::Invalid);
            }
        }
        match operation {
            EpollOperation::EPOLL_CTL_ADD => {
                let nested = target.file.as_any().is::<EventSet>();
                let _one_at_a_time = nested.then(|| self.kernel().epoll_topology.lock());
                set.add(fd, target, interest)
            }
            EpollOperation::EPOLL_CTL_DEL => set.remove(fd, target),
            EpollOperation::EPOLL_CTL_MOD => set.modify(fd, target, interest),
            _ => Err(Error::Invalid),
        }
    }

    fn wait_for_events(
        &mut self,
        epfd: i32,
        events: UserMut<EpollEvent>,
        count: i32,
        limit: Option<Duration>,
    ) -> Result<usize> {
        let file = self.fd_guard(epfd)?;
        let max = usize::try_from(count).ok().filter(|n| (1..=MAX_EVENTS).contains(n)).ok_or(Error::Invalid)?;
        if !host().is_user_range(events.address(), max * EVENT_SIZE) {
            return Err(Error::Fault);
        }
        let set = set_of(&file)?;
        let once = || {
            let (mut index, mut fault) = (0, false);
            let taken = set.take(max, &mut |ready, data| {
                let event = EpollEvent { events: ready.bits(), data };
                fault = events.nth(index).and_then(|at| at.write(event)).is_err();
                index += 1;
                !fault
            });
            match taken {
                0 if fault => Err(Error::Fault),
                0 => Err(Error::WouldBlock),
                n => Ok(n),
            }
        };
        let result = if limit == Some(Duration::ZERO) {
            once()
        } else {
            let deadline = limit.map(|d| host().instant().saturating_add(d));
            wait_until_ready(self.waiter(), &*file, Events::IN, deadline, once)
        };
        match result {
            Err(Error::WouldBlock | Error::TimedOut) => Ok(0),
            Err(Error::Interrupted) => {
                let number = self.frame.regs.rax;
                Err(self.interrupted_call(RestartPolicy::NoHandler, number))
            }
            other => other,
        }
    }

    /// epoll_wait(2)
    pub(crate) fn epoll_wait(
        &mut self,
        epfd: i32,
        events: UserMut<EpollEvent>,
        count: i32,
        timeout: i32,
    ) -> Result<usize> {
        let limit = u64::try_from(timeout).ok().map(Duration::from_millis);
        self.wait_for_events(epfd, events, count, limit)
    }

    /// epoll_pwait(2)
    pub(crate) fn epoll_pwait(
        &mut self,
        epfd: i32,
        events: UserMut<EpollEvent>,
        count: i32,
        timeout: i32,
        mask: UserRef<SigSet>,
        size: u64,
    ) -> Result<usize> {
        if !mask.is_null() {
            self.set_temporary_mask(mask, size)?;
        }
        let result = self.epoll_wait(epfd, events, count, timeout);
        self.unless_interrupted(result)
    }

    /// epoll_pwait2(2)
    pub(crate) fn epoll_pwait2(
        &mut self,
        epfd: i32,
        events: UserMut<EpollEvent>,
        count: i32,
        timeout: UserRef<Timespec>,
        mask: UserRef<SigSet>,
        size: u64,
    ) -> Result<usize> {
        let limit = duration_at(timeout.time64())?;
        if !mask.is_null() {
            self.set_temporary_mask(mask, size)?;
        }
        let result = self.wait_for_events(epfd, events, count, limit);
        self.unless_interrupted(result)
    }
}
