//! What terminals learn of processes: sessions and groups.

use core::sync::atomic::Ordering;

use litebox::tty::{Caller, Jobs, TerminalSignal};

use super::Kernel;
use crate::syscalls::signal::SignalInfo;
use crate::syscalls::signal::set::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGWINCH};

impl Jobs for Kernel {
    fn caller(&self) -> Option<Caller> {
        let thread = crate::proc::current_thread()?;
        let (process, creds) = (&thread.process, thread.process.creds());
        Some(Caller {
            pid: process.pid,
            group: process.group.load(Ordering::Relaxed),
            session: process.session.load(Ordering::Relaxed),
            uid: creds.fsuid,
            gid: creds.fsgid,
        })
    }
    fn signal_group(&self, group: i32, signal: TerminalSignal) {
        let signal = match signal {
            TerminalSignal::Interrupt => SIGINT,
            TerminalSignal::Quit => SIGQUIT,
            TerminalSignal::Suspend => SIGTSTP,
            TerminalSignal::HangUp => SIGHUP,
            TerminalSignal::Continue => SIGCONT,
            TerminalSignal::WindowChange => SIGWINCH,
        };
        for process in self.processes() {
            if process.group.load(Ordering::Relaxed) == group {
                // The kernel's own signals are never refused for a full queue.
                let _ = process.send_signal(SignalInfo::kernel(signal));
            }
        }
    }
    fn has_group(&self, session: i32, group: i32) -> bool {
        self.processes()
            .iter()
            .any(|p| p.group.load(Ordering::Relaxed) == group && p.session.load(Ordering::Relaxed) == session)
    }
}
