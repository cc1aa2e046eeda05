//! The call that a thread is in, as /proc/PID/syscall tells it to others.
//!
//! At the begin of each call only the place of its registers is noted. They lie on the thread's kernel stack, which no
//! other process can read, so a thread that goes to sleep copies what is told of them.

use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64, Ordering};

use litebox::platform::north::Registers;
use litebox_common_linux::Arch;

/// In the place of a number: there is no call.
const NO_CALL: u64 = u64::MAX;

/// Which call a thread is in.
#[derive(Default)]
pub(crate) struct CurrentCall {
    /// Its registers, while there is a call; only the thread itself goes there.
    registers: AtomicPtr<Registers>,
    /// It is made in the manner of 32-bit programs.
    is_32_bit: AtomicBool,
    /// What was so when it went to sleep: its number, arguments, stack pointer and instruction pointer.
    asleep: (AtomicU64, [AtomicU64; 6], AtomicU64, AtomicU64),
    /// How often it went to sleep.
    sleeps: AtomicU64,
}

/// What is told of a call.
pub(crate) struct ToldCall {
    /// Its number; `None`: it is in none.
    pub number: Option<u64>,
    pub arguments: [u64; 6],
    pub stack: u64,
    pub instruction: u64,
}

impl CurrentCall {
    /// The thread makes a call with these registers, which stay where they are until its end.
    #[inline]
    pub fn begin(&self, registers: &mut Registers) {
        self.registers.store(registers, Ordering::Relaxed);
    }
    #[inline]
    pub fn end(&self) {
        self.registers.store(core::ptr::null_mut(), Ordering::Relaxed);
    }
    /// In whose manner the calls from here on are made.
    #[inline]
    pub fn set_arch(&self, arch: Arch) {
        let is_32_bit = arch == Arch::X86;
        if self.is_32_bit.load(Ordering::Relaxed) != is_32_bit {
            self.is_32_bit.store(is_32_bit, Ordering::Relaxed);
        }
    }
    /// What the calling thread, whose this is, is in.
    pub fn own(&self) -> ToldCall {
        let registers = self.registers.load(Ordering::Relaxed);
        if registers.is_null() {
            return ToldCall { number: None, arguments: [0; 6], stack: 0, instruction: 0 };
        }
        // SAFETY: a call of the calling thread is under way, and its registers are on the stack that this function
        // runs on. No reference to them is used while it runs.
        let r = unsafe { registers.read_volatile() };
        let (number, arguments) = if self.is_32_bit.load(Ordering::Relaxed) {
            let low = |word: u64| word & u64::from(u32::MAX);
            (low(r.rax), [r.rbx, r.rcx, r.rdx, r.rsi, r.rdi, r.rbp].map(low))
        } else {
            (r.rax & u64::from(u32::MAX), [r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9])
        };
        ToldCall { number: Some(number), arguments, stack: r.rsp, instruction: r.rip }
    }
    /// How often the thread went to sleep.
    pub fn sleeps(&self) -> u64 {
        self.sleeps.load(Ordering::Relaxed)
    }
    /// The calling thread, whose this is, goes to sleep. Nobody else counts.
    pub fn note_sleep(&self) {
        self.sleeps.store(self.sleeps().wrapping_add(1), Ordering::Relaxed);
        let now = self.own();
        let (number, arguments, stack, instruction) = &self.asleep;
        number.store(now.number.unwrap_or(NO_CALL), Ordering::Relaxed);
        for (kept, argument) in arguments.iter().zip(now.arguments) {
            kept.store(argument, Ordering::Relaxed);
        }
        stack.store(now.stack, Ordering::Relaxed);
        instruction.store(now.instruction, Ordering::Relaxed);
    }
    /// What another thread, which sleeps, is in.
    pub fn of_sleeper(&self) -> ToldCall {
        let load = |word: &AtomicU64| word.load(Ordering::Relaxed);
        let (number, arguments, stack, instruction) = &self.asleep;
        ToldCall {
            number: Some(load(number)).filter(|number| *number != NO_CALL),
            arguments: arguments.each_ref().map(load),
            stack: load(stack),
            instruction: load(instruction),
        }
    }
}
