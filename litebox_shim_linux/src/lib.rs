//! The North of LiteBox: Linux. System calls, tasks, signals, the loader.
//!
//! A system call enters in `entry`, is served by `Task::do_syscall` below, and its handler is the method of [`Task`]
//! with the call's name, in the file of its family under [`syscalls`]. Which calls there are is said by
//! `litebox_common_linux::syscall_table!`.
#![no_std]

extern crate alloc;

mod aio;
pub mod boot;
mod entry;
mod errno;
pub mod ipc;
mod layer;
pub mod loader;
pub mod mm;
mod outside;
pub mod proc;
mod seccomp;
pub mod signal;
pub mod syscalls;
pub mod task;
mod trace;
mod unwind;
mod user;

use core::sync::atomic::Ordering;

use litebox::Result;
use litebox_common_linux::prelude::*;
use litebox_common_linux::{Errno, Support, support, syscall_table};

pub use entry::LinuxNorth;
pub use layer::LayerConfig;
pub use task::{Kernel, KernelConfig, Process, Task, Thread, WayOut};
pub use trace::{Counting, TraceClock, TraceConfig};

use task::SyscallWork;

#[cfg(test)]
litebox::register_host!(litebox::platform::mock::MockHost);
#[cfg(test)]
litebox::register_north!(LinuxNorth);

/// The handler of a row of the table, with typed arguments; rows that are not served have none.
macro_rules! handler {
    (Full $name:ident ($($argument:ident: $type:ty),*)) => {
        // Out of line: what one handler keeps on the stack is not kept for all. What it returns fits a register.
        #[inline(never)]
        pub(super) fn $name(task: &mut Task<'_, '_>, $($argument: $type),*) -> u64 {
            errno::in_register(|| -> Result<usize> { task.$name($($argument.pass()),*) })
        }
    };
    (Partial $name:ident $arguments:tt) => {
        handler!(Full $name $arguments);
    };
    ($support:ident $name:ident $arguments:tt) => {};
}

macro_rules! handlers {
    (() $($family:ident $title:literal { $(
        $support:ident $(($errno:ident))? $name:ident [$(x86_64 $x86_64:literal)? $(,)? $(x86 $x86:literal)?]
        $arguments:tt $($note:literal)?
    )* })*) => {
        $($(handler!($support $name $arguments);)*)*
    };
}

/// The handlers of all rows, once for both architectures.
#[expect(clippy::used_underscore_items, reason = "the names are those of the calls")]
mod handlers {
    use super::{Result, Task, errno};
    use litebox_common_linux::prelude::*;
    use litebox_common_linux::syscall_table;

    syscall_table!(handlers);
}

/// What is done for a row: its handler is called with arguments from the registers, or there is none.
macro_rules! serve {
    (Full $task:ident $number:ident $registers:ident $name:ident ($($argument:ident: $type:ty),*)) => {{
        $(let $argument = <$type as Argument>::take(&mut $registers);)*
        handlers::$name($task, $($argument),*)
    }};
    (Partial $task:ident $number:ident $registers:ident $name:ident $arguments:tt) => {
        serve!(Full $task $number $registers $name $arguments)
    };
    ($support:ident $task:ident $number:ident $registers:ident $name:ident $arguments:tt) => {
        not_served($task, $registers.arch(), $number)
    };
}

/// The rows that have a number on x86-64 become the arms of one match.
macro_rules! dispatch {
    (($task:ident $number:ident $registers:ident) $($family:ident $title:literal { $(
        $support:ident $(($errno:ident))? $name:ident [$(x86_64 $x86_64:literal)? $(,)? $(x86 $x86:literal)?]
        $arguments:tt $($note:literal)?
    )* })*) => {
        match $number {
            $($($($x86_64 => serve!($support $task $number $registers $name $arguments),)?)*)*
            _ => not_served($task, $registers.arch(), $number),
        }
    };
}

/// The rows that have a number on 32-bit x86, likewise.
macro_rules! dispatch32 {
    (($task:ident $number:ident $registers:ident) $($family:ident $title:literal { $(
        $support:ident $(($errno:ident))? $name:ident [$(x86_64 $x86_64:literal)? $(,)? $(x86 $x86:literal)?]
        $arguments:tt $($note:literal)?
    )* })*) => {
        match $number {
            $($($($x86 => serve!($support $task $number $registers $name $arguments),)?)*)*
            _ => not_served($task, $registers.arch(), $number),
        }
    };
}

impl Task<'_, '_> {
    /// Number of the call in the registers. Linux looks at the low half.
    #[inline]
    pub(crate) fn call_number(&self) -> u32 {
        self.frame.regs.rax as u32
    }

    /// Its arguments.
    #[inline]
    pub(crate) fn call_registers(&self) -> Registers {
        self.registers_of(self.abi())
    }

    /// Where an architecture has the arguments. For an architecture that is known when this is compiled, each argument
    /// is one load where it is used.
    #[expect(clippy::inline_always, reason = "a copy of all of them waits for each to be stored by the entry")]
    #[inline(always)]
    fn registers_of(&self, arch: Arch) -> Registers {
        let r = &self.frame.regs;
        match arch {
            Arch::X86_64 => Registers::new(Arch::X86_64, [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9]),
            Arch::X86 => Registers::new(Arch::X86, [r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rbp]),
        }
    }

    /// Serves the system call in the registers and stores its result there.
    pub(crate) fn do_syscall(&mut self) {
        self.serve_call::<false>();
    }

    /// The same for a call in the manner of 32-bit programs, whatever code makes it: their numbers, registers and
    /// structures.
    pub(crate) fn do_syscall32(&mut self) {
        self.serve_call::<true>();
    }

    #[expect(clippy::inline_always, reason = "the dispatch is part of the function above")]
    #[inline(always)]
    fn serve_call<const COMPAT: bool>(&mut self) {
        let (number, thread) = (self.call_number(), self.thread);
        let work = thread.syscall_work();
        if work.contains(SyscallWork::TRACE) {
            self.trace_begin();
        }
        thread.call.set_arch(self.abi());
        thread.call.begin(self.frame.regs);
        let result = if work.contains(SyscallWork::USER_DISPATCH) && self.is_left_to_user(number)
            || work.contains(SyscallWork::SECCOMP) && !self.passes_filters(number)
        {
            self.frame.regs.rax
        } else if COMPAT {
            serve32(self, number, self.registers_of(Arch::X86))
        } else {
            serve(self, number, self.registers_of(Arch::X86_64))
        };
        thread.call.end();
        if work.contains(SyscallWork::TRACE) {
            self.trace_end(result);
        }
        if thread.fasync.due() {
            self.kernel().tell_owners();
        }
        self.frame.regs.rax = result;
    }
}

/// Calls the handler. One jump through a table; nothing is kept, copied or allocated.
#[expect(clippy::inline_always, reason = "the arguments stay in registers")]
#[inline(always)]
fn serve(task: &mut Task<'_, '_>, number: u32, mut registers: Registers) -> u64 {
    syscall_table!(dispatch, task number registers)
}

/// As [`serve`], by the numbers of 32-bit x86.
#[expect(clippy::inline_always, reason = "the arguments stay in registers")]
#[inline(always)]
fn serve32(task: &mut Task<'_, '_>, number: u32, mut registers: Registers) -> u64 {
    syscall_table!(dispatch32, task number registers)
}

/// What a call without handler answers.
#[cold]
fn not_served(task: &Task<'_, '_>, arch: Arch, number: u32) -> u64 {
    task.kernel().stats.refused_calls.fetch_add(1, Ordering::Relaxed);
    support(arch, number).and_then(Support::refusal).unwrap_or(Errno::ENOSYS).in_register()
}
