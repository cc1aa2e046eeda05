//! Signals: signal(7), sigaction(2).

use super::named;

named! {
    /// kill(2)
    choice Signal(i32, u32) {
        SIGHUP = 1, SIGINT = 2, SIGQUIT = 3, SIGILL = 4, SIGTRAP = 5, SIGABRT = 6, SIGBUS = 7, SIGFPE = 8, SIGKILL = 9, SIGUSR1 = 10, SIGSEGV = 11,
        SIGUSR2 = 12, SIGPIPE = 13, SIGALRM = 14, SIGTERM = 15, SIGSTKFLT = 16, SIGCHLD = 17, SIGCONT = 18, SIGSTOP = 19, SIGTSTP = 20,
        SIGTTIN = 21, SIGTTOU = 22, SIGURG = 23, SIGXCPU = 24, SIGXFSZ = 25, SIGVTALRM = 26, SIGPROF = 27, SIGWINCH = 28, SIGIO = 29,
        SIGPWR = 30, SIGSYS = 31, SIGRTMIN = 32
    }
    /// rt_sigprocmask(2)
    choice MaskHow(i32, u32) { SIG_BLOCK = 0, SIG_UNBLOCK = 1, SIG_SETMASK = 2 }
}
