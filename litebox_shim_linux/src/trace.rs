//! `--strace`: each call of the guest as a line for the user, as strace(1) prints them; and the table of its `-c`
//! ([`summary`]).
//!
//! A line is written when the call has ended, so that it shows what the kernel filled in, and in one piece, so that
//! threads do not mix theirs. A call that goes to sleep is shown at once as `<unfinished ...>`, and one that never
//! returns with the result `?`.

use alloc::string::String;
use core::fmt::Write;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use litebox::platform::{ClockId, HostFd, Instant, host};
use litebox::sync::Mutex;
use litebox_common_linux::show::{self, Begun, GuestMemory};
use litebox_common_linux::{Arch, CallSet, Errno, Support, SyscallRequest, support};

use crate::errno::from_register;
use crate::signal::{Action, DefaultAction, SIG_DFL, SignalInfo, default_action};
use crate::{Task, Thread};

pub(crate) mod summary;

/// What `--strace` prints, and where.
#[derive(Clone, Debug)]
pub struct TraceConfig {
    /// The descriptor of the host that lines are written to.
    pub fd: i32,
    /// It is stderr: who makes a call is only said when there are several.
    pub is_stderr: bool,
    /// Which calls are printed, or counted.
    pub calls: CallSet,
    /// Whether they are counted.
    pub counting: Counting,
    /// What time stands before each line.
    pub clock: TraceClock,
    /// The time that each call took stands behind it.
    pub spent: bool,
}

impl TraceConfig {
    /// Whether calls are counted.
    pub fn counts(&self) -> bool {
        self.counting != Counting::No
    }
}

/// Whether calls are counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Counting {
    /// They are printed.
    No,
    /// They are printed and counted.
    Also,
    /// They are counted and not printed.
    Only,
}

/// What time stands before each line of `--strace`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TraceClock {
    /// None.
    #[default]
    None,
    /// The time of day, so many seconds east of Greenwich.
    Day(i64),
    /// Seconds since 1970.
    Unix,
    /// Seconds since the line before.
    Relative,
}

/// The call that a thread is in, while `--strace` is on.
#[derive(Default)]
pub(crate) struct Tracing(Mutex<Option<Traced>>);

struct Traced {
    number: u32,
    request: Option<SyscallRequest>,
    /// The call as it looked when it began.
    text: String,
    /// What its end has to know.
    begun: Begun,
    /// It was shown already.
    shown: bool,
    since: Instant,
}

/// When the last line was written, in nanoseconds of the monotonic clock.
#[derive(Default)]
pub(crate) struct LastLine(AtomicU64);

struct Guest;

impl GuestMemory for Guest {
    fn read(&self, address: u64, into: &mut [u8]) -> usize {
        let Ok(from) = usize::try_from(address) else { return 0 };
        host().copy_from_user(into, from)
    }
}

/// Where strace's results begin.
const RESULT_COLUMN: usize = 40;

impl Thread {
    fn trace(&self) -> Option<&TraceConfig> {
        self.process.kernel.config.strace.as_ref()
    }

    /// What stands before a line: who, and when.
    fn trace_prefix(&self, config: &TraceConfig) -> String {
        let mut line = String::new();
        // Writing to a string does not fail.
        let _ = if !config.is_stderr {
            write!(line, "{:<5} ", self.tid())
        } else if self.process.kernel.live_threads.load(Ordering::Relaxed) > 1 {
            write!(line, "[pid {:>5}] ", self.tid())
        } else {
            Ok(())
        };
        let now = host().now(ClockId::Realtime);
        let _ = match config.clock {
            TraceClock::None => Ok(()),
            TraceClock::Unix => write!(line, "{}.{:06} ", now.as_secs(), now.subsec_micros()),
            TraceClock::Day(east) => {
                let second = (now.as_secs() as i64).wrapping_add(east).rem_euclid(24 * 60 * 60);
                let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
                write!(line, "{hour:02}:{minute:02}:{second:02}.{:06} ", now.subsec_micros())
            }
            TraceClock::Relative => {
                let now = u64::try_from(host().now(ClockId::Monotonic).as_nanos()).unwrap_or(0);
                let before = self.process.kernel.last_line.0.swap(now, Ordering::Relaxed);
                let gone = Duration::from_nanos(if before == 0 { 0 } else { now.saturating_sub(before) });
                write!(line, "{:>6}.{:06} ", gone.as_secs(), gone.subsec_micros())
            }
        };
        line
    }

    /// Writes one line about this thread. `result`: what stands at the column of results.
    fn trace_line(&self, text: &str, result: &str) {
        let Some(config) = self.trace().filter(|config| config.counting != Counting::Only) else { return };
        let mut line = self.trace_prefix(config);
        line.push_str(text);
        if !result.is_empty() {
            let width = RESULT_COLUMN.saturating_sub(line.len()).max(1);
            let _ = write!(line, "{:width$}{result}", "");
        }
        line.push('\n');
        host().write_trace(HostFd(config.fd), line.as_bytes());
    }

    /// The thread goes to sleep in its call.
    pub(crate) fn trace_sleep(&self) {
        let begun = self.tracing.0.lock().as_mut().filter(|call| !call.shown).map(|call| {
            call.shown = true;
            core::mem::take(&mut call.text)
        });
        if let Some(mut begun) = begun {
            begun.push_str(" <unfinished ...>");
            self.trace_line(&begun, "");
        }
    }

    /// A signal is delivered, or ignored.
    #[cold]
    pub(crate) fn trace_signal(&self, info: &SignalInfo, action: &Action) {
        let (mut name, mut line) = (String::new(), String::new());
        // Writing to a string does not fail.
        let _ = show::signals::signal(&mut name, info.signal);
        let _ = write!(line, "--- {name} ");
        let _ = show::signals::info(&mut line, info.signal, info.code, &info.fields);
        line.push_str(" ---");
        self.trace_line(&line, "");
        if action.handler == SIG_DFL && default_action(info.signal) == DefaultAction::Stop {
            self.trace_line(&alloc::format!("--- stopped by {name} ---"), "");
        }
    }

    /// The thread ends, with this wait(2) status.
    #[cold]
    pub(crate) fn trace_exit(&self, wait_status: i32) {
        let mut line = String::new();
        let _ = match (wait_status & 0x7f, wait_status >> 8 & 0xff) {
            (0, status) => write!(line, "+++ exited with {status} +++"),
            (signal, _) => write!(line, "+++ killed by ")
                .and_then(|()| show::signals::signal(&mut line, signal))
                .and_then(|()| line.write_str(if wait_status & 0x80 != 0 { " (core dumped) +++" } else { " +++" })),
        };
        self.trace_line(&line, "");
    }
}

impl Task<'_, '_> {
    /// A call begins.
    #[cold]
    pub(crate) fn trace_begin(&mut self) {
        let number = self.call_number();
        let Some(config) = self.thread.trace() else { return };
        if !config.calls.has(self.abi(), number) {
            return;
        }
        let request = SyscallRequest::parse(number, self.call_registers());
        let (mut text, mut begun) = (String::new(), Begun::default());
        match &request {
            _ if config.counting == Counting::Only => {}
            // Writing to a string does not fail.
            Some(SyscallRequest::rt_sigreturn {}) => {
                let _ = show::signals::restored(&mut text, self.mask_to_restore());
            }
            Some(request) => begun = show::begin(&mut text, request, &Guest).unwrap_or_default(),
            None => drop(write!(text, "syscall_{number:#x}(...)")),
        }
        let endless = matches!(request, Some(SyscallRequest::exit { .. } | SyscallRequest::exit_group { .. }));
        if endless {
            text.push(')');
            self.thread.trace_line(&text, "= ?");
        }
        let since = host().instant();
        *self.thread.tracing.0.lock() = Some(Traced { number, request, text, begun, shown: endless, since });
        self.waiter().announce_sleep(true);
    }

    /// What rt_sigreturn(2) is about to make the mask of signals.
    fn mask_to_restore(&self) -> Option<u64> {
        /// Of `uc_sigmask` in the frame of a handler.
        const OFFSET: u64 = 40 + 256;
        let mut bytes = [0; 8];
        let is_there = self.abi() == Arch::X86_64
            && Guest.read(self.frame.regs.rsp.wrapping_add(OFFSET), &mut bytes) == bytes.len();
        is_there.then(|| u64::from_le_bytes(bytes))
    }

    /// It ended.
    #[cold]
    pub(crate) fn trace_end(&mut self, result: u64) {
        self.waiter().announce_sleep(false);
        let Some(traced) = self.thread.tracing.0.lock().take() else { return };
        let Some(config) = self.thread.trace() else { return };
        let result = from_register(result);
        let spent = host().instant().saturating_since(traced.since);
        self.kernel().call_counts.add(self.abi(), traced.number, result.is_err(), spent);
        if config.counting == Counting::Only {
            return;
        }
        let mut line = traced.text;
        // Writing to a string does not fail.
        if let Some(request) = &traced.request {
            if traced.shown {
                let _ = write!(line, "<... {} resumed>", request.name());
            }
            let _ = match request {
                SyscallRequest::rt_sigreturn {} => Ok(()),
                request => show::end(&mut line, request, &Guest, traced.begun, result),
            };
        }
        let result = (!self.process().must_leave(self.thread)).then_some(result);
        let outcome =
            Outcome { request: traced.request.as_ref(), result, served: is_served(self.abi(), traced.number) };
        self.thread.trace_line(&line, &outcome.text(config.spent.then_some(spent)));
    }
}

/// How a call ended.
struct Outcome<'a> {
    request: Option<&'a SyscallRequest>,
    /// `None`: nobody hears of it.
    result: Option<Result<usize, Errno>>,
    served: bool,
}

impl Outcome<'_> {
    fn text(&self, spent: Option<Duration>) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = match self.result {
            Some(result) => show::result(&mut text, self.request, &Guest, result),
            None => text.write_str("= ?"),
        };
        if !self.served {
            text.push_str(" (unsupported)");
        }
        if let Some(spent) = spent {
            let _ = write!(text, " <{}.{:06}>", spent.as_secs(), spent.subsec_micros());
        }
        text
    }
}

fn is_served(arch: Arch, number: u32) -> bool {
    matches!(support(arch, number), Some(Support::Full | Support::Partial))
}
