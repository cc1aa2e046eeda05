//! Calls whose times have 64 bits (`_time64` and `64` in their names): those of the same name without, with another
//! layout.

use litebox::Result;
use litebox_common_linux::abi::aio::{AioSigSet, IoEvent};
use litebox_common_linux::abi::file::AtFlags;
use litebox_common_linux::abi::futex::FutexOperation;
use litebox_common_linux::abi::ipc::SemBuf;
use litebox_common_linux::abi::poll::SelectMask;
use litebox_common_linux::abi::socket::MMsgHdr;
use litebox_common_linux::abi::socket::MessageFlags;
use litebox_common_linux::abi::time::{Itimerspec, TimerFdSetFlags, TimerFlags, Timespec, Timex};
use litebox_common_linux::argument::{FdSet, SigInfo, SigSet, UserMut, UserRef, UserStr};

use crate::Task;

impl Task<'_, '_> {
    /// clock_gettime(2)
    pub(crate) fn clock_gettime64(&mut self, clock: i32, time: UserMut<Timespec>) -> Result<usize> {
        self.clock_gettime(clock, time.time64())
    }
    /// clock_settime(2)
    pub(crate) fn clock_settime64(&mut self, clock: i32, time: UserRef<Timespec>) -> Result<usize> {
        self.clock_settime(clock, time.time64())
    }
    /// clock_getres(2)
    pub(crate) fn clock_getres_time64(&mut self, clock: i32, resolution: UserMut<Timespec>) -> Result<usize> {
        self.clock_getres(clock, resolution.time64())
    }
    /// clock_nanosleep(2)
    pub(crate) fn clock_nanosleep_time64(
        &mut self,
        clock: i32,
        flags: TimerFlags,
        request: UserRef<Timespec>,
        left: UserMut<Timespec>,
    ) -> Result<usize> {
        self.clock_nanosleep(clock, flags, request.time64(), left.time64())
    }
    /// clock_adjtime(2)
    pub(crate) fn clock_adjtime64(&mut self, clock: i32, timex: UserMut<Timex>) -> Result<usize> {
        self.clock_adjtime(clock, timex.time64())
    }
    /// timer_gettime(2)
    pub(crate) fn timer_gettime64(&mut self, id: i32, current: UserMut<Itimerspec>) -> Result<usize> {
        self.timer_gettime(id, current.time64())
    }
    /// timer_settime(2)
    pub(crate) fn timer_settime64(
        &mut self,
        id: i32,
        flags: TimerFlags,
        new: UserRef<Itimerspec>,
        old: UserMut<Itimerspec>,
    ) -> Result<usize> {
        self.timer_settime(id, flags, new.time64(), old.time64())
    }
    /// timerfd_gettime(2)
    pub(crate) fn timerfd_gettime64(&mut self, fd: i32, current: UserMut<Itimerspec>) -> Result<usize> {
        self.timerfd_gettime(fd, current.time64())
    }
    /// timerfd_settime(2)
    pub(crate) fn timerfd_settime64(
        &mut self,
        fd: i32,
        flags: TimerFdSetFlags,
        new: UserRef<Itimerspec>,
        old: UserMut<Itimerspec>,
    ) -> Result<usize> {
        self.timerfd_settime(fd, flags, new.time64(), old.time64())
    }
    /// utimensat(2)
    pub(crate) fn utimensat_time64(
        &mut self,
        dirfd: i32,
        path: UserStr,
        times: UserRef<Timespec>,
        flags: AtFlags,
    ) -> Result<usize> {
        self.utimensat(dirfd, path, times.time64(), flags)
    }
    /// pselect6(2)
    pub(crate) fn pselect6_time64(
        &mut self,
        count: i32,
        readable: UserMut<FdSet>,
        writable: UserMut<FdSet>,
        exceptional: UserMut<FdSet>,
        timeout: UserMut<Timespec>,
        mask: UserRef<SelectMask>,
    ) -> Result<usize> {
        self.pselect6(count, readable, writable, exceptional, timeout.time64(), mask)
    }
    /// ppoll(2)
    pub(crate) fn ppoll_time64(
        &mut self,
        fds: u64,
        count: u32,
        timeout: UserMut<Timespec>,
        mask: UserRef<SigSet>,
        size: u64,
    ) -> Result<usize> {
        self.ppoll(fds, count, timeout.time64(), mask, size)
    }
    /// recvmmsg(2)
    pub(crate) fn recvmmsg_time64(
        &mut self,
        fd: i32,
        messages: UserMut<MMsgHdr>,
        count: u32,
        flags: MessageFlags,
        timeout: UserMut<Timespec>,
    ) -> Result<usize> {
        self.recvmmsg(fd, messages, count, flags, timeout.time64())
    }
    /// mq_timedsend(2)
    pub(crate) fn mq_timedsend_time64(
        &mut self,
        queue: i32,
        message: u64,
        len: usize,
        priority: u32,
        timeout: UserRef<Timespec>,
    ) -> Result<usize> {
        self.mq_timedsend(queue, message, len, priority, timeout.time64())
    }
    /// mq_timedreceive(2)
    pub(crate) fn mq_timedreceive_time64(
        &mut self,
        queue: i32,
        message: u64,
        len: usize,
        priority: UserMut<u32>,
        timeout: UserRef<Timespec>,
    ) -> Result<usize> {
        self.mq_timedreceive(queue, message, len, priority, timeout.time64())
    }
    /// semtimedop(2)
    pub(crate) fn semtimedop_time64(
        &mut self,
        id: i32,
        operations: UserRef<SemBuf>,
        count: usize,
        timeout: UserRef<Timespec>,
    ) -> Result<usize> {
        self.semtimedop(id, operations, count, timeout.time64())
    }
    /// rt_sigtimedwait(2)
    pub(crate) fn rt_sigtimedwait_time64(
        &mut self,
        set: UserRef<SigSet>,
        info: UserMut<SigInfo>,
        timeout: UserRef<Timespec>,
        size: u64,
    ) -> Result<usize> {
        self.rt_sigtimedwait(set, info, timeout.time64(), size)
    }
    /// futex(2)
    pub(crate) fn futex_time64(
        &mut self,
        word: u64,
        operation: FutexOperation,
        value: u32,
        timeout: UserRef<Timespec>,
        word2: u64,
        value3: u32,
    ) -> Result<usize> {
        self.futex(word, operation, value, timeout.time64(), word2, value3)
    }
    /// io_pgetevents(2)
    pub(crate) fn io_pgetevents_time64(
        &mut self,
        context: u64,
        least: i64,
        most: i64,
        events: UserMut<IoEvent>,
        timeout: UserRef<Timespec>,
        mask: UserRef<AioSigSet>,
    ) -> Result<usize> {
        self.io_pgetevents(context, least, most, events, timeout.time64(), mask)
    }
    /// sched_rr_get_interval(2)
    pub(crate) fn sched_rr_get_interval_time64(&mut self, pid: i32, interval: UserMut<Timespec>) -> Result<usize> {
        self.sched_rr_get_interval(pid, interval.time64())
    }
}
