//! Sets of signals, what is known of one signal, and queues of pending ones.

use alloc::collections::VecDeque;
use core::time::Duration;

use litebox::{Error, Result};

pub use litebox_common_linux::abi::signal::{
    SIGABRT, SIGALRM, SIGBUS, SIGCHLD, SIGCONT, SIGFPE, SIGHUP, SIGILL, SIGINT, SIGIO, SIGKILL, SIGPIPE, SIGPROF,
    SIGQUIT, SIGSEGV, SIGSTOP, SIGSYS, SIGTERM, SIGTRAP, SIGTSTP, SIGTTIN, SIGTTOU, SIGURG, SIGUSR1, SIGUSR2,
    SIGVTALRM, SIGWINCH, SIGXCPU, SIGXFSZ,
};

/// Highest signal number.
pub const MAX_SIGNAL: i32 = 64;
/// First real-time signal, as the kernel counts.
pub const FIRST_REALTIME: i32 = 32;

/// `si_code` of kill(2).
pub const SI_USER: i32 = 0;
/// `si_code` of the kernel's own signals.
pub const SI_KERNEL: i32 = 0x80;
/// `si_code` of timer_create(2).
pub const SI_TIMER: i32 = -2;
/// `si_code` of tkill(2) and tgkill(2).
pub const SI_TKILL: i32 = -6;

/// A set of signals in the layout of `sigset_t`: bit n-1 is signal n.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SigSet(pub u64);

impl SigSet {
    /// SIGKILL and SIGSTOP, which nobody can block, catch or ignore.
    pub const UNBLOCKABLE: Self = Self::of(SIGKILL).union(Self::of(SIGSTOP));
    /// The signals that stop a process by default.
    pub const STOPS: Self =
        Self::of(SIGSTOP).union(Self::of(SIGTSTP)).union(Self::of(SIGTTIN)).union(Self::of(SIGTTOU));
    /// The signals that leave a core dump by default.
    pub const DUMPS: Self = Self::SYNCHRONOUS
        .union(Self::of(SIGQUIT))
        .union(Self::of(SIGABRT))
        .union(Self::of(SIGXCPU))
        .union(Self::of(SIGXFSZ));
    /// Signals of faults: delivered before all others.
    const SYNCHRONOUS: Self = Self::of(SIGSEGV)
        .union(Self::of(SIGBUS))
        .union(Self::of(SIGILL))
        .union(Self::of(SIGTRAP))
        .union(Self::of(SIGFPE))
        .union(Self::of(SIGSYS));

    /// The set of one signal; empty for a number out of range.
    pub const fn of(signal: i32) -> Self {
        if signal < 1 || signal > MAX_SIGNAL { Self(0) } else { Self(1 << (signal - 1)) }
    }
    /// Both.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
    /// This without `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
    /// Whether `signal` is in it.
    pub const fn has(self, signal: i32) -> bool {
        self.0 & Self::of(signal).0 != 0
    }
    /// The signal Linux takes first: faults, then the lowest number.
    pub fn first(self) -> Option<i32> {
        let faults = self.0 & Self::SYNCHRONOUS.0;
        let from = if faults != 0 { faults } else { self.0 };
        (from != 0).then(|| from.trailing_zeros() as i32 + 1)
    }
}

/// `siginfo_t`: number, errno, code, and the 112 bytes that depend on the code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SignalInfo {
    /// Signal number, 1 to 64.
    pub signal: i32,
    /// `si_errno`.
    pub errno: i32,
    /// `si_code`.
    pub code: i32,
    /// The rest.
    pub fields: [u8; 112],
    /// Marks the signal of a timer, for the timer to know it again; 0: of none. Guests do not see it.
    pub(crate) timer: u32,
}

impl SignalInfo {
    /// Size of `siginfo_t`.
    pub const SIZE: usize = 128;

    /// A signal of the kernel without details.
    pub const fn kernel(signal: i32) -> Self {
        Self { signal, errno: 0, code: SI_KERNEL, fields: [0; 112], timer: 0 }
    }
    /// A signal sent by a process: kill(2) or tgkill(2), by `code`.
    pub fn sent(signal: i32, code: i32, pid: i32, uid: u32) -> Self {
        let mut info = Self { signal, errno: 0, code, fields: [0; 112], timer: 0 };
        info.fields[..4].copy_from_slice(&pid.to_le_bytes());
        info.fields[4..8].copy_from_slice(&uid.to_le_bytes());
        info
    }
    /// What a parent is told of its child: SIGCHLD's fields.
    pub fn child(
        signal: i32,
        code: i32,
        pid: i32,
        uid: u32,
        status: i32,
        (user, system): (Duration, Duration),
    ) -> Self {
        let mut info = Self::sent(signal, code, pid, uid);
        let ticks = |time: Duration| u64::try_from(time.as_millis() / 10).unwrap_or(0);
        info.fields[8..12].copy_from_slice(&status.to_le_bytes());
        info.fields[16..24].copy_from_slice(&ticks(user).to_le_bytes());
        info.fields[24..32].copy_from_slice(&ticks(system).to_le_bytes());
        info
    }
    /// The signal of a fault at `addr`.
    pub fn fault(signal: i32, code: i32, addr: u64) -> Self {
        let mut info = Self { signal, errno: 0, code, fields: [0; 112], timer: 0 };
        info.fields[..8].copy_from_slice(&addr.to_le_bytes());
        info
    }
    /// What an open file tells its owner: why, the events of poll(2), the descriptor.
    pub(crate) fn of_file(signal: i32, code: i32, band: u64, fd: i32) -> Self {
        let mut info = Self { signal, errno: 0, code, fields: [0; 112], timer: 0 };
        info.fields[..8].copy_from_slice(&band.to_le_bytes());
        info.fields[8..12].copy_from_slice(&fd.to_le_bytes());
        info
    }
    /// The signal of the timer `id`, with the value that was given for it.
    pub(crate) fn of_timer(signal: i32, id: i32, value: u64, mark: u32) -> Self {
        let mut info = Self { signal, errno: 0, code: SI_TIMER, fields: [0; 112], timer: mark };
        info.fields[..4].copy_from_slice(&id.to_le_bytes());
        info.fields[8..16].copy_from_slice(&value.to_le_bytes());
        info
    }
    /// How often the timer expired since its last signal, not counting this one.
    pub(crate) fn set_overrun(&mut self, overrun: i32) {
        self.fields[4..8].copy_from_slice(&overrun.to_le_bytes());
    }
    /// The image a guest sees.
    pub fn to_bytes(&self) -> [u8; Self::SIZE] {
        let mut raw = [0u8; Self::SIZE];
        raw[..4].copy_from_slice(&self.signal.to_le_bytes());
        raw[4..8].copy_from_slice(&self.errno.to_le_bytes());
        raw[8..12].copy_from_slice(&self.code.to_le_bytes());
        raw[16..].copy_from_slice(&self.fields);
        raw
    }
    /// Whether it keeps its details however many signals are queued: a timer's, and standard signals of the kernel or
    /// of kill(2).
    pub(crate) fn is_privileged(&self) -> bool {
        self.timer != 0 || self.signal < FIRST_REALTIME && self.code >= 0
    }
    /// From a guest's image; the number is the caller's, as rt_sigqueueinfo(2) says.
    pub fn from_bytes(signal: i32, raw: &[u8; Self::SIZE]) -> Self {
        let mut fields = [0u8; 112];
        fields.copy_from_slice(&raw[16..]);
        let errno = i32::from_le_bytes(crate::user::word(raw, 4));
        Self { signal, errno, code: i32::from_le_bytes(crate::user::word(raw, 8)), fields, timer: 0 }
    }
}

/// Signals that wait to be taken by a thread or by any thread of a process.
#[derive(Default)]
pub struct Pending {
    set: SigSet,
    queue: VecDeque<SignalInfo>,
}

impl Pending {
    /// Which signals are pending.
    pub fn set(&self) -> SigSet {
        self.set
    }
    /// How many wait with their details; the places of timers' signals were counted when the timers were made.
    pub fn queued(&self) -> usize {
        self.queue.iter().filter(|info| info.timer == 0).count()
    }
    /// Adds one. A standard signal that is pending already is dropped, real-time ones queue up. Without `room` in
    /// RLIMIT_SIGPENDING a signal loses its details, and real-time ones that kill(2) did not send are refused
    /// (`WouldBlock`, EAGAIN).
    pub fn add(&mut self, info: SignalInfo, room: bool) -> Result<()> {
        if info.timer == 0 && info.signal < FIRST_REALTIME && self.set.has(info.signal) {
            return Ok(());
        }
        if room {
            self.queue.push_back(info);
        } else if info.signal >= FIRST_REALTIME && info.code != SI_USER {
            return Err(Error::WouldBlock);
        }
        self.set = self.set.union(SigSet::of(info.signal));
        Ok(())
    }
    /// Takes the first signal of `wanted`.
    pub fn take(&mut self, wanted: SigSet) -> Option<SignalInfo> {
        let signal = SigSet(self.set.0 & wanted.0).first()?;
        let at = self.queue.iter().position(|i| i.signal == signal);
        // Details lost to a full queue: what Linux reports then.
        let info = at.and_then(|at| self.queue.remove(at)).unwrap_or(SignalInfo::sent(signal, SI_USER, 0, 0));
        if !self.queue.iter().any(|i| i.signal == signal) {
            self.set = self.set.without(SigSet::of(signal));
        }
        Some(info)
    }
    /// Drops every pending signal of `set`.
    pub fn discard(&mut self, set: SigSet) {
        if self.set.0 & set.0 != 0 {
            self.set = self.set.without(set);
            self.queue.retain(|i| !set.has(i.signal));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn realtime_signals_queue_in_order_and_standard_ones_coalesce() {
        let mut p = Pending::default();
        for (signal, pid) in [(40, 1), (SIGUSR1, 2), (40, 3), (SIGUSR1, 4), (35, 5), (SIGSEGV, 6)] {
            assert_eq!(p.add(SignalInfo::sent(signal, SI_USER, pid, 0), true), Ok(()));
        }
        let all = SigSet(u64::MAX);
        let taken: alloc::vec::Vec<_> = core::iter::from_fn(|| p.take(all)).map(|i| (i.signal, i.fields[0])).collect();
        assert_eq!(taken, [(SIGSEGV, 6), (SIGUSR1, 2), (35, 5), (40, 1), (40, 3)]);
        assert_eq!(p.set(), SigSet(0));
    }

    #[test]
    fn a_full_queue_refuses_sigqueue_and_keeps_kill() {
        let mut p = Pending::default();
        assert_eq!(p.add(SignalInfo::sent(40, -1, 1, 0), true), Ok(()));
        assert_eq!(p.add(SignalInfo::sent(41, -1, 1, 0), false), Err(Error::WouldBlock));
        assert_eq!(p.add(SignalInfo::sent(41, SI_USER, 1, 0), false), Ok(()));
        assert_eq!(p.queued(), 1);
        assert_eq!(p.take(SigSet::of(41)).map(|i| i.signal), Some(41));
        assert_eq!(p.take(SigSet::of(41)), None);
    }

    #[test]
    fn the_image_is_that_of_siginfo() {
        let info = SignalInfo::sent(10, SI_TKILL, 7, 1000);
        let raw = info.to_bytes();
        assert_eq!(raw[16], 7);
        assert_eq!(SignalInfo::from_bytes(10, &raw), info);
    }
}
