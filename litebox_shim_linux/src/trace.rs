//! `--strace`: each call of the guest as a line for the user, in the manner of strace(1).
//!
//! A line is written when the call has ended, so that it shows what the kernel filled in, and in one piece, so that
//! threads do not mix theirs. A call that goes to sleep is shown at once as `<unfinished ...>`, and one that never
//! returns with the result `?`.

use alloc::string::String;
use core::fmt::{self, Write};

use litebox::platform::{HostFd, host};
use litebox::sync::Mutex;
use litebox_common_linux::argument::Argument;
use litebox_common_linux::show::{self, GuestMemory, Moment};
use litebox_common_linux::{Arch, Support, SyscallRequest, abi, support};

use crate::errno::from_register;
use crate::signal::{Action, DefaultAction, SIG_DFL, SIG_IGN, SignalInfo, default_action};
use crate::{Task, Thread};

/// The call that a thread is in, while `--strace` is on.
#[derive(Default)]
pub(crate) struct Tracing(Mutex<Option<Traced>>);

struct Traced {
    number: u32,
    request: Option<SyscallRequest>,
    /// The call as it looked when it began.
    begun: String,
    /// It was shown already.
    shown: bool,
}

struct Guest;

impl GuestMemory for Guest {
    fn read(&self, address: u64, into: &mut [u8]) -> usize {
        let Ok(from) = usize::try_from(address) else { return 0 };
        // SAFETY: `into` is valid for writes of its length.
        unsafe { host().copy_from_user(into.as_mut_ptr(), from, into.len()) }
    }
}

impl Thread {
    /// Writes one line about this thread.
    fn trace_line(&self, text: &str) {
        let Some(fd) = self.process.kernel.config.strace else { return };
        let mut line = String::with_capacity(text.len() + 32);
        // Writing to a string does not fail.
        let _ = writeln!(line, "[{} {}] {text}", self.process.pid, self.tid());
        host().write_trace(HostFd(fd), line.as_bytes());
    }

    /// The thread goes to sleep in its call.
    pub(crate) fn trace_sleep(&self) {
        let begun = self.tracing.0.lock().as_mut().filter(|call| !call.shown).map(|call| {
            call.shown = true;
            core::mem::take(&mut call.begun)
        });
        if let Some(mut begun) = begun {
            begun.push_str(" <unfinished ...>");
            self.trace_line(&begun);
        }
    }
}

impl Task<'_, '_> {
    /// A call begins.
    #[cold]
    pub(crate) fn trace_begin(&mut self) {
        let number = self.call_number();
        let request = SyscallRequest::parse(number, self.call_registers());
        let mut begun = String::new();
        let _ = match &request {
            Some(request) => show::call(&mut begun, request, &Guest, Moment::Before),
            None => write!(begun, "syscall({number}, ...)"),
        };
        let endless = matches!(
            request,
            Some(
                SyscallRequest::exit { .. }
                    | SyscallRequest::exit_group { .. }
                    | SyscallRequest::rt_sigreturn {}
                    | SyscallRequest::sigreturn {}
            )
        );
        if endless {
            begun.push_str(" = ?");
            self.thread.trace_line(&begun);
        }
        *self.thread.tracing.0.lock() = Some(Traced { number, request, begun, shown: endless });
        self.waiter().announce_sleep(true);
    }

    /// A signal is delivered.
    #[cold]
    pub(crate) fn trace_signal(&self, info: &SignalInfo, action: &Action) {
        let name = Name(info.signal);
        let mut line = String::new();
        let _ = match (action.handler, default_action(info.signal)) {
            (SIG_DFL, DefaultAction::Terminate) => write!(line, "+++ killed by {name} +++"),
            (SIG_DFL, DefaultAction::Stop) => write!(line, "--- stopped by {name} ---"),
            (SIG_DFL, DefaultAction::Ignore) | (SIG_IGN, _) => write!(line, "--- {name} ignored ---"),
            _ => write!(line, "--- {name} {{si_code={}}} ---", info.code),
        };
        self.thread.trace_line(&line);
    }

    /// It ended.
    #[cold]
    pub(crate) fn trace_end(&mut self, result: u64) {
        self.waiter().announce_sleep(false);
        let Some(traced) = self.thread.tracing.0.lock().take() else { return };
        let result = from_register(result);
        let mut line = String::new();
        let replaced = matches!(traced.request, Some(SyscallRequest::execve { .. } | SyscallRequest::execveat { .. }));
        let _ = match &traced.request {
            Some(SyscallRequest::rt_sigreturn {} | SyscallRequest::sigreturn {}) => return,
            // What the arguments led to is gone with the old program.
            Some(_) if replaced && !traced.shown => line.write_str(&traced.begun),
            Some(request) => {
                if traced.shown {
                    line.push_str("<... resumed> ");
                }
                show::call(&mut line, request, &Guest, Moment::After(result))
            }
            None => line.write_str(&traced.begun),
        };
        let _ = show::result(&mut line, result);
        if !is_served(self.abi(), traced.number) {
            line.push_str(" (unsupported)");
        }
        self.thread.trace_line(&line);
    }
}

/// A signal by its name.
struct Name(i32);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show::argument(f, abi::signal::Signal(self.0).shown())
    }
}

fn is_served(arch: Arch, number: u32) -> bool {
    matches!(support(arch, number), Some(Support::Full | Support::Partial))
}
