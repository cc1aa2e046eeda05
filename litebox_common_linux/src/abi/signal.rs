//! Signals: signal(7), sigaction(2).

use super::layout::structure;
use super::named;

named! {
    /// kill(2)
    number Signal(i32) {
        SIGHUP = 1, SIGINT = 2, SIGQUIT = 3, SIGILL = 4, SIGTRAP = 5, SIGABRT = 6, SIGBUS = 7, SIGFPE = 8, SIGKILL = 9, SIGUSR1 = 10, SIGSEGV = 11,
        SIGUSR2 = 12, SIGPIPE = 13, SIGALRM = 14, SIGTERM = 15, SIGSTKFLT = 16, SIGCHLD = 17, SIGCONT = 18, SIGSTOP = 19, SIGTSTP = 20,
        SIGTTIN = 21, SIGTTOU = 22, SIGURG = 23, SIGXCPU = 24, SIGXFSZ = 25, SIGVTALRM = 26, SIGPROF = 27, SIGWINCH = 28, SIGIO = 29,
        SIGPWR = 30, SIGSYS = 31, SIGRTMIN = 32
    }
    /// signalfd(2)
    flags SignalFdFlags(i32) { SFD_NONBLOCK = 0o4000, SFD_CLOEXEC = 0o2_000_000 }
    /// rt_sigprocmask(2)
    choice MaskHow(i32) { SIG_BLOCK = 0, SIG_UNBLOCK = 1, SIG_SETMASK = 2 }
}

structure! {
    /// `struct sigaction` of the kernel
    SigAction [SigActionX86_64 SigActionX86] SigAction {
        /// The function, or `SIG_DFL`, `SIG_IGN`.
        handler: u64 = u64, u32;
        /// SA_ flags.
        flags: u64 = u64, u32;
        /// What the function returns to.
        restorer: u64 = u64, u32;
        /// What is blocked while it runs.
        mask: u64 = u64, u64;
    }
    /// `struct old_sigaction` of 32-bit programs
    OldSigAction [OldSigActionX86_64 OldSigActionX86] Opaque {
        /// As in [`SigAction`].
        handler: u64 = u64, u32;
        /// As in [`SigAction`], of the first 32 signals.
        mask: u64 = u64, u32;
        /// As in [`SigAction`].
        flags: u64 = u64, u32;
        /// As in [`SigAction`].
        restorer: u64 = u64, u32;
    }
    /// `struct sigevent`: timer_create(2), mq_notify(2)
    SigEvent [SigEventX86_64 SigEventX86] Opaque {
        /// What the handler is told.
        value: u64 = u64, u32;
        /// The signal.
        signal: i32 = i32, i32;
        /// How to tell it (`SIGEV_SIGNAL` and its kin).
        notify: i32 = i32, i32;
        /// Whom.
        tid: i32 = i32, i32;
        /// Behind the fields.
        tail: () = [u8; 44], [u8; 48];
    }
}
