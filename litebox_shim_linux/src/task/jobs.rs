//! What terminals learn of processes: sessions and groups.

use core::sync::atomic::Ordering;

use litebox::tty::{Caller, Jobs, TerminalSignal};
use litebox::{Error, Result};

use super::Kernel;
use crate::signal::set::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGWINCH};
use crate::signal::{SIG_IGN, SignalInfo};

fn number_of(signal: TerminalSignal) -> i32 {
    match signal {
        TerminalSignal::Interrupt => SIGINT,
        TerminalSignal::Quit => SIGQUIT,
        TerminalSignal::Suspend => SIGTSTP,
        TerminalSignal::BackgroundRead => SIGTTIN,
        TerminalSignal::BackgroundWrite => SIGTTOU,
        TerminalSignal::HangUp => SIGHUP,
        TerminalSignal::Continue => SIGCONT,
        TerminalSignal::WindowChange => SIGWINCH,
    }
}

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
            container: process.container.of_terminals(),
        })
    }
    fn signal_group(&self, group: i32, signal: TerminalSignal) {
        // Under the lock, as in kill(2): a child made meanwhile must not escape.
        let process_table = self.process_table.lock();
        for process in process_table.processes() {
            if process.group.load(Ordering::Relaxed) == group {
                // The kernel's own signals are never refused for a full queue.
                let _ = process.send_signal(SignalInfo::kernel(number_of(signal)));
            }
        }
    }
    fn signal_process(&self, pid: i32, signal: TerminalSignal) {
        if let Some(process) = self.process(pid) {
            // As above.
            let _ = process.send_signal(SignalInfo::kernel(number_of(signal)));
        }
    }
    fn session_of(&self, group: i32) -> Option<i32> {
        let in_group = |p: &&alloc::sync::Arc<super::Process>| p.group.load(Ordering::Relaxed) == group;
        self.processes().iter().find(in_group).map(|p| p.session.load(Ordering::Relaxed))
    }
    fn stop_background(&self, caller: &Caller, signal: TerminalSignal) -> Result<()> {
        let Some(thread) = crate::proc::current_thread() else { return Ok(()) };
        let number = number_of(signal);
        let ignored = thread.signals.blocked().has(number) || thread.process.signal_action(number).handler == SIG_IGN;
        let reads = signal == TerminalSignal::BackgroundRead;
        if ignored && !reads {
            return Ok(());
        }
        if ignored || self.process_table.lock().is_orphaned(caller.group, None) {
            return Err(Error::Io);
        }
        self.signal_group(caller.group, signal);
        Err(Error::Interrupted)
    }
}
