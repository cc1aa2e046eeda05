//! Host calls: the numbers this program uses and the gadget that makes them.
//!
//! All `syscall` instructions of the program's kernel code lie between `litebox_gadget_start` and `litebox_gadget_end`:
//! Syscall User Dispatch lets exactly that range through. The gadget is no security boundary (a hostile guest can jump
//! to it); the seccomp [`filter`](crate::host::filter) is.

use core::arch::global_asm;

use litebox::{Error, Result};

/// Numbers of the host calls made inside the boundary (x86-64).
#[expect(missing_docs, reason = "each constant is the number of the host call of that name")]
pub mod nr {
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const CLOSE: usize = 3;
    pub const FSTAT: usize = 5;
    pub const POLL: usize = 7;
    pub const LSEEK: usize = 8;
    pub const MMAP: usize = 9;
    pub const MPROTECT: usize = 10;
    pub const MUNMAP: usize = 11;
    pub const RT_SIGACTION: usize = 13;
    pub const RT_SIGPROCMASK: usize = 14;
    pub const RT_SIGRETURN: usize = 15;
    pub const IOCTL: usize = 16;
    pub const PREAD64: usize = 17;
    pub const PWRITE64: usize = 18;
    pub const SCHED_YIELD: usize = 24;
    pub const MREMAP: usize = 25;
    pub const MSYNC: usize = 26;
    pub const MADVISE: usize = 28;
    pub const SENDMSG: usize = 46;
    pub const RECVMSG: usize = 47;
    pub const CLONE: usize = 56;
    pub const EXIT: usize = 60;
    pub const FSYNC: usize = 74;
    pub const FTRUNCATE: usize = 77;
    pub const GETRUSAGE: usize = 98;
    pub const SIGALTSTACK: usize = 131;
    pub const PRCTL: usize = 157;
    pub const FUTEX: usize = 202;
    pub const SCHED_GETAFFINITY: usize = 204;
    pub const RESTART_SYSCALL: usize = 219;
    pub const TIMER_CREATE: usize = 222;
    pub const TIMER_SETTIME: usize = 223;
    pub const TIMER_DELETE: usize = 226;
    pub const CLOCK_GETTIME: usize = 228;
    pub const EXIT_GROUP: usize = 231;
    pub const EPOLL_WAIT: usize = 232;
    pub const EPOLL_CTL: usize = 233;
    pub const FALLOCATE: usize = 285;
    pub const EVENTFD2: usize = 290;
    pub const EPOLL_CREATE1: usize = 291;
    pub const SECCOMP: usize = 317;
    pub const GETRANDOM: usize = 318;
    pub const MEMFD_CREATE: usize = 319;
    pub const MEMBARRIER: usize = 324;
    pub const RSEQ: usize = 334;
}

global_asm!(
    ".section .text.litebox_gadget, \"ax\", @progbits",
    ".balign 64",
    ".globl litebox_gadget_start",
    "litebox_gadget_start:",
    // isize litebox_host_call(nr, a, b, c, d, e, f): rdi rsi rdx rcx r8 r9 [rsp+8]
    ".globl litebox_host_call",
    ".type litebox_host_call, @function",
    "litebox_host_call:",
    "mov rax, rdi",
    "mov rdi, rsi",
    "mov rsi, rdx",
    "mov rdx, rcx",
    "mov r10, r8",
    "mov r8, r9",
    "mov r9, [rsp + 8]",
    ".globl litebox_gadget_syscall",
    "litebox_gadget_syscall:",
    "syscall",
    "ret",
    ".size litebox_host_call, . - litebox_host_call",
    // isize litebox_host_call_interruptible(nr, a, b, c, word): as above with three arguments, unless the top bit of
    // *word is set. A kick that arrives inside the window [start, end) moves rip to the interrupted exit, so none is
    // lost before the call sleeps.
    ".globl litebox_host_call_interruptible",
    ".type litebox_host_call_interruptible, @function",
    "litebox_host_call_interruptible:",
    "mov rax, rdi",
    "mov rdi, rsi",
    "mov rsi, rdx",
    "mov rdx, rcx",
    ".globl litebox_call_window_start",
    "litebox_call_window_start:",
    "cmp dword ptr [r8], 0",
    "jl litebox_call_interrupted",
    "syscall",
    ".globl litebox_call_window_end",
    "litebox_call_window_end:",
    "ret",
    ".globl litebox_call_interrupted",
    "litebox_call_interrupted:",
    "mov rax, -4",
    "ret",
    ".size litebox_host_call_interruptible, . - litebox_host_call_interruptible",
    // isize litebox_clone(flags, stack, parent_tid, child_tid, tls): the child pops the function to call and its
    // argument from `stack`.
    ".globl litebox_clone",
    ".type litebox_clone, @function",
    "litebox_clone:",
    "mov eax, 56",
    "mov r10, rcx",
    "syscall",
    "test rax, rax",
    "jnz 2f",
    "test rsi, rsi",
    "jz 2f",
    "xor ebp, ebp",
    "pop rax",
    "pop rdi",
    "call rax",
    "ud2",
    "2:",
    "ret",
    ".size litebox_clone, . - litebox_clone",
    // Host signals of guest threads enter here, on the kernel stack: rdi signal, rsi siginfo, rdx ucontext; rsp points
    // at the return address of the frame. AC may be set by guest code; every other flag and the FPU were reset by the
    // host.
    ".globl litebox_signal_entry",
    ".type litebox_signal_entry, @function",
    "litebox_signal_entry:",
    "mov rbx, rsp",
    "and rsp, -16",
    "pushfq",
    "and dword ptr [rsp], ~0x40000",
    "popfq",
    "mov r12, rdx",
    "call litebox_on_signal",
    // rax: the word that says whether work is pending; null when kernel code was interrupted.
    "5:",
    "lea rsp, [rbx + 8]",
    "mov rdi, rax",
    "test rax, rax",
    "jz 6f",
    ".globl litebox_exit_window_start",
    "litebox_exit_window_start:",
    "cmp dword ptr [rdi], 0",
    "jl 7f",
    "mov eax, 15",
    "syscall",
    ".globl litebox_exit_window_end",
    "litebox_exit_window_end:",
    "ud2",
    // Kernel code was interrupted: back to it as it was.
    "6:",
    "mov eax, 15",
    "syscall",
    "ud2",
    // Work came in after the last look.
    "7:",
    "lea rsp, [rbx]",
    "and rsp, -16",
    "mov rdi, r12",
    "call litebox_on_pending",
    "jmp 5b",
    ".size litebox_signal_entry, . - litebox_signal_entry",
    // Starts guest code from a signal frame made by hand: rdi = ucontext in it, rsi = address of the frame (its return
    // address).
    ".globl litebox_start_guest",
    ".type litebox_start_guest, @function",
    "litebox_start_guest:",
    "mov rbx, rsi",
    "mov r12, rdi",
    "mov rsp, rsi",
    "and rsp, -16",
    "call litebox_on_pending",
    "jmp 5b",
    ".size litebox_start_guest, . - litebox_start_guest",
    // The restorer named in sigaction; never reached by return, but debuggers know frames by it.
    ".globl litebox_restorer",
    "litebox_restorer:",
    "mov eax, 15",
    "syscall",
    "ud2",
    ".balign 64",
    ".globl litebox_gadget_end",
    "litebox_gadget_end:",
    ".text",
);

unsafe extern "C" {
    fn litebox_host_call(nr: usize, a: usize, b: usize, c: usize, d: usize, e: usize, f: usize) -> isize;
    fn litebox_host_call_interruptible(nr: usize, a: usize, b: usize, c: usize, word: *const u32) -> isize;
    fn litebox_clone(flags: usize, stack: usize, parent_tid: usize, child_tid: usize, tls: usize) -> isize;
    fn litebox_start_guest(context: usize, frame: usize) -> !;
    static litebox_gadget_start: u8;
    static litebox_gadget_end: u8;
    static litebox_gadget_syscall: u8;
    static litebox_restorer: u8;
    static litebox_signal_entry: u8;
    static litebox_call_window_start: u8;
    static litebox_call_window_end: u8;
    static litebox_call_interrupted: u8;
    static litebox_exit_window_start: u8;
    static litebox_exit_window_end: u8;
}

/// Addresses inside the gadget.
pub(crate) mod place {
    macro_rules! places {
        ($($(#[$doc:meta])* $name:ident = $symbol:ident;)*) => {
            $($(#[$doc])* pub(crate) fn $name() -> usize {
                (&raw const super::$symbol) as usize
            })*
        };
    }
    places! {
        /// Where SUD begins to let calls through.
        gadget_start = litebox_gadget_start;
        /// Where it ends.
        gadget_end = litebox_gadget_end;
        /// The restorer of signal frames.
        restorer = litebox_restorer;
        /// The handler of all host signals.
        signal_entry = litebox_signal_entry;
        /// First instruction of the interruptible window.
        call_window_start = litebox_call_window_start;
        /// Behind its `syscall`.
        call_window_end = litebox_call_window_end;
        /// Its exit when interrupted.
        call_interrupted = litebox_call_interrupted;
        /// First instruction of the way back to the guest.
        exit_window_start = litebox_exit_window_start;
        /// Behind its `syscall`.
        exit_window_end = litebox_exit_window_end;
    }
}

/// Address of the bare `syscall; ret`: what a hostile guest would look for. Tests of the boundary are told it.
pub fn gadget() -> usize {
    (&raw const litebox_gadget_syscall) as usize
}

/// A host call; the raw result (negative errno on failure).
///
/// # Safety
/// The call must not break the memory of this program: pointers must be valid for what the call does with them.
#[inline]
pub(crate) unsafe fn raw(nr: usize, args: [usize; 6]) -> isize {
    crate::host::counters::count_host_call();
    // SAFETY: the caller vouches for the arguments; the gadget itself follows the C convention.
    unsafe { litebox_host_call(nr, args[0], args[1], args[2], args[3], args[4], args[5]) }
}

/// A host call that may sleep; `Interrupted` when `word` says that work is pending.
///
/// # Safety
/// As for [`raw`]; `word` must be readable.
pub(crate) unsafe fn interruptible(nr: usize, a: usize, b: usize, c: usize, word: *const u32) -> Result<usize> {
    crate::host::counters::count_host_call();
    // SAFETY: the caller vouches.
    check(unsafe { litebox_host_call_interruptible(nr, a, b, c, word) })
}

/// clone(2); with a stack, the child calls the function whose address lies on it.
///
/// # Safety
/// `stack` is zero (fork) or points at a function and its argument at the top of memory that nobody else uses.
pub(crate) unsafe fn clone(flags: usize, stack: usize, parent_tid: usize, child_tid: usize) -> Result<usize> {
    crate::host::counters::count_host_call();
    // SAFETY: the caller vouches.
    check(unsafe { litebox_clone(flags, stack, parent_tid, child_tid, 0) })
}

/// Leaves for guest code through a signal frame.
///
/// # Safety
/// `frame` is the address of a complete host signal frame whose ucontext is at `context`, on the calling thread's
/// kernel stack.
pub(crate) unsafe fn start_guest(context: usize, frame: usize) -> ! {
    // SAFETY: the caller vouches.
    unsafe { litebox_start_guest(context, frame) }
}

/// A host call whose result is a count or a number.
macro_rules! host_call {
    ($nr:expr $(, $arg:expr)* $(,)?) => {{
        let mut args = [0usize; 6];
        let given = [$($arg as usize),*];
        args[..given.len()].copy_from_slice(&given);
        $crate::host::call::check($crate::host::call::raw($nr, args))
    }};
}
pub(crate) use host_call;

/// madvise(2): the pages of a memory object go, everywhere.
pub(crate) const MADV_REMOVE: usize = 9;
/// madvise(2): fork(2) does not copy it.
pub(crate) const MADV_DONTFORK: usize = 10;
/// madvise(2): brings pages in.
pub(crate) const MADV_POPULATE_WRITE: usize = 23;

/// mmap(2) at `addr` and nowhere else. `flags` have MAP_FIXED, or MAP_FIXED_NOREPLACE: then `Exists` says that
/// something is there.
///
/// # Safety
/// What MAP_FIXED replaces is nobody's but the caller's to replace.
pub(crate) unsafe fn map_at(addr: usize, len: usize, prot: usize, flags: usize, fd: i32, offset: u64) -> Result<()> {
    // SAFETY: the caller's promise.
    let at = unsafe { host_call!(nr::MMAP, addr, len, prot, flags, fd, offset) }?;
    if at == addr {
        return Ok(());
    }
    // A host that does not know NOREPLACE takes the address for a hint.
    // SAFETY: the mapping just made.
    let _ = unsafe { host_call!(nr::MUNMAP, at, len) };
    Err(Error::Exists)
}

/// Splits a raw result into value and error.
#[inline]
pub(crate) fn check(result: isize) -> Result<usize> {
    if result < 0 { Err(Error::from_errno(-result as i32)) } else { Ok(result as usize) }
}
