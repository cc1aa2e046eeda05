//! Executes code with given registers and tells what it left behind.
//!
//! The code ends with a jump to [`finish`]. A patched call enters [`called`] as it would enter the kernel; an invalid
//! opcode goes on where the patch says, as it does in a sandbox. There is one set of registers for all: one execution
//! at a time.

use std::arch::global_asm;
use std::ffi::{c_int, c_long, c_void};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

/// The registers by the numbers of the encoding, the arithmetic flags and two vector registers.
#[repr(C, align(16))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MachineState {
    pub registers: [u64; 16],
    pub flags: u64,
    pub padding: u64,
    pub vectors: [u128; 2],
}

/// The arithmetic flags.
const FLAGS: u64 = 0x8d5;

#[unsafe(no_mangle)]
static mut SIDE_STATE: MachineState = MachineState { registers: [0; 16], flags: 0, padding: 0, vectors: [0; 2] };
#[unsafe(no_mangle)]
static mut SIDE_START: u64 = 0;
#[unsafe(no_mangle)]
static mut SIDE_STACK: u64 = 0;
#[unsafe(no_mangle)]
static mut SIDE_RESULT: u64 = 0;
#[unsafe(no_mangle)]
static mut SIDE_SAVED: [u64; 4] = [0; 4];
/// How often a patched call was made.
#[unsafe(no_mangle)]
static mut SIDE_CALLS: u64 = 0;

global_asm!(
    // void side_execute(void)
    "side_execute:",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "mov [rip + SIDE_STACK], rsp",
    "movdqa xmm0, [rip + SIDE_STATE + 144]",
    "movdqa xmm1, [rip + SIDE_STATE + 160]",
    "push qword ptr [rip + SIDE_STATE + 128]",
    "popfq",
    "mov rcx, [rip + SIDE_STATE + 8]",
    "mov rdx, [rip + SIDE_STATE + 16]",
    "mov rbx, [rip + SIDE_STATE + 24]",
    "mov rsp, [rip + SIDE_STATE + 32]",
    "mov rbp, [rip + SIDE_STATE + 40]",
    "mov rsi, [rip + SIDE_STATE + 48]",
    "mov rdi, [rip + SIDE_STATE + 56]",
    "mov r8, [rip + SIDE_STATE + 64]",
    "mov r9, [rip + SIDE_STATE + 72]",
    "mov r10, [rip + SIDE_STATE + 80]",
    "mov r11, [rip + SIDE_STATE + 88]",
    "mov r12, [rip + SIDE_STATE + 96]",
    "mov r13, [rip + SIDE_STATE + 104]",
    "mov r14, [rip + SIDE_STATE + 112]",
    "mov r15, [rip + SIDE_STATE + 120]",
    "mov rax, [rip + SIDE_STATE]",
    "jmp [rip + SIDE_START]",
    "side_finish:",
    "mov [rip + SIDE_STATE], rax",
    "mov [rip + SIDE_STATE + 8], rcx",
    "mov [rip + SIDE_STATE + 16], rdx",
    "mov [rip + SIDE_STATE + 24], rbx",
    "mov [rip + SIDE_STATE + 32], rsp",
    "mov [rip + SIDE_STATE + 40], rbp",
    "mov [rip + SIDE_STATE + 48], rsi",
    "mov [rip + SIDE_STATE + 56], rdi",
    "mov [rip + SIDE_STATE + 64], r8",
    "mov [rip + SIDE_STATE + 72], r9",
    "mov [rip + SIDE_STATE + 80], r10",
    "mov [rip + SIDE_STATE + 88], r11",
    "mov [rip + SIDE_STATE + 96], r12",
    "mov [rip + SIDE_STATE + 104], r13",
    "mov [rip + SIDE_STATE + 112], r14",
    "mov [rip + SIDE_STATE + 120], r15",
    "mov rsp, [rip + SIDE_STACK]",
    "pushfq",
    "pop qword ptr [rip + SIDE_STATE + 128]",
    "movdqa [rip + SIDE_STATE + 144], xmm0",
    "movdqa [rip + SIDE_STATE + 160], xmm1",
    "cld",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
    // The kernel: everything is as behind a call with the result of one that the host does not know.
    "side_called:",
    "mov [rip + SIDE_SAVED], rsp",
    "lea rsp, [rip + SIDE_SAVED + 32]",
    "pushfq",
    "mov rcx, [rip + SIDE_CALLS]",
    "lea rcx, [rcx + 1]",
    "mov [rip + SIDE_CALLS], rcx",
    "mov rcx, [r11 + 16]",
    "lea rcx, [rcx + r11]",
    "mov [rip + SIDE_SAVED + 8], rcx",
    "mov rcx, [r11 + 8]",
    "lea rcx, [rcx + r11]",
    "pop r11",
    "mov rsp, [rip + SIDE_SAVED]",
    "mov rax, [rip + SIDE_RESULT]",
    "jmp [rip + SIDE_SAVED + 8]",
);

unsafe extern "C" {
    fn side_execute();
    static side_finish: u8;
    static side_called: u8;
    fn mmap(addr: usize, len: usize, prot: c_int, flags: c_int, fd: c_int, offset: c_long) -> *mut c_void;
    fn munmap(addr: usize, len: usize) -> c_int;
    fn sigaction(signal: c_int, new: *const Action, old: *mut Action) -> c_int;
    fn sigaltstack(new: *const AltStack, old: *mut AltStack) -> c_int;
    fn syscall(number: c_long, ...) -> c_long;
    fn __errno_location() -> *mut c_int;
}

#[repr(C)]
struct Action {
    handler: usize,
    mask: [u64; 16],
    flags: c_int,
    restorer: usize,
}

#[repr(C)]
struct AltStack {
    at: usize,
    flags: c_int,
    len: usize,
}

/// Where the code goes when it is done.
pub fn finish() -> u64 {
    (&raw const side_finish) as u64
}

/// Where trampolines enter.
pub fn called() -> u64 {
    (&raw const side_called) as u64
}

/// Where an invalid opcode was met, where to go on, and how often that happened.
static BOUNDARIES: Mutex<Vec<(u64, u64)>> = Mutex::new(Vec::new());
static RECOVERED: AtomicU64 = AtomicU64::new(0);
static MACHINE: Mutex<()> = Mutex::new(());
const STACK_LEN: usize = 64 << 10;

thread_local! {
    /// Where signals are handled.
    static STACK: Box<[u8; STACK_LEN]> = Box::new([0; STACK_LEN]);
}

extern "C" fn on_invalid(_signal: c_int, _info: *const c_void, context: *mut u64) {
    // Of the ucontext: flags, link and stack, then r8 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip.
    const RIP: usize = 5 + 16;
    // SAFETY: the host's frame.
    let rip = unsafe { &mut *context.add(RIP) };
    // The thread that holds the lock does not execute code.
    let boundaries = BOUNDARIES.try_lock().expect("boundaries are known before code is executed");
    match boundaries.iter().find(|(from, _)| from == rip) {
        Some((_, to)) => {
            *rip = *to;
            RECOVERED.fetch_add(1, Ordering::Relaxed);
        }
        None => std::process::abort(),
    }
}

/// The one machine, while it is used.
pub struct Machine(#[expect(dead_code, reason = "held")] MutexGuard<'static, ()>);

impl Machine {
    /// Waits for it, and makes invalid opcodes go on.
    pub fn take() -> Self {
        const SIGILL: c_int = 4;
        const SIGINFO_ONSTACK: c_int = 4 | 0x0800_0000;
        let guard = MACHINE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let stack = STACK.with(|stack| stack.as_ptr() as usize);
        let stack = AltStack { at: stack, flags: 0, len: STACK_LEN };
        let action =
            Action { handler: on_invalid as *const () as usize, mask: [0; 16], flags: SIGINFO_ONSTACK, restorer: 0 };
        // SAFETY: the handler follows the convention, the stack lives as long as the thread; the call has no arguments
        // and does not exist.
        unsafe {
            assert_eq!(sigaltstack(&raw const stack, std::ptr::null_mut()), 0);
            assert_eq!(sigaction(SIGILL, &raw const action, std::ptr::null_mut()), 0);
            assert_eq!(syscall(1000), -1);
            SIDE_RESULT = i64::from(-*__errno_location()) as u64;
        }
        Self(guard)
    }

    /// Executes the code at `start`. `boundaries`: where an invalid opcode goes on.
    ///
    /// # Safety
    /// The code ends at [`finish`] and touches only memory that it may.
    pub unsafe fn run(&self, start: u64, mut state: MachineState, boundaries: &[(u64, u64)]) -> MachineState {
        *BOUNDARIES.lock().unwrap() = boundaries.to_vec();
        // SAFETY: the lock is held; the caller's promise.
        unsafe {
            state.flags = state.flags & FLAGS | 0x202;
            SIDE_STATE = state;
            SIDE_START = start;
            side_execute();
            state = SIDE_STATE;
        }
        state.flags &= FLAGS;
        state
    }

    /// How many patched calls there were.
    pub fn calls(&self) -> u64 {
        // SAFETY: the lock is held.
        unsafe { SIDE_CALLS }
    }

    /// How many invalid opcodes there were.
    pub fn recovered(&self) -> u64 {
        RECOVERED.load(Ordering::Relaxed)
    }
}

/// Memory for code at an address.
pub struct Memory {
    pub at: u64,
    len: usize,
}

impl Memory {
    /// `None`: something is there.
    pub fn map(at: u64, len: usize) -> Option<Self> {
        const ALL: c_int = 7;
        const PRIVATE_ANONYMOUS_NOREPLACE: c_int = 0x2 | 0x20 | 0x10_0000;
        // SAFETY: nothing that exists is touched.
        let got = unsafe { mmap(at as usize, len, ALL, PRIVATE_ANONYMOUS_NOREPLACE, -1, 0) };
        (got as u64 == at).then_some(Self { at, len })
    }
    /// Its bytes.
    pub fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: mapped, and nobody executes it while it is borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.at as *mut u8, self.len) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped by this object.
        unsafe { munmap(self.at as usize, self.len) };
    }
}
