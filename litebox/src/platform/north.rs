//! The North as the host sees it: where guest events (system calls, faults, kicks) go, and the guest's registers.
//!
//! Like the host, there is exactly one North in a program, bound at link time by
//! [`register_north!`](crate::register_north).

use super::Prot;
use super::compat::CpuMode;

/// The general registers of a guest thread. The order is that of the x86-64 kernel's `struct sigcontext`, so that the
/// image in a host signal frame can be used in place.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the processor's")]
pub struct Registers {
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub rdx: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rsp: u64,
    pub rip: u64,
    pub eflags: u64,
}

/// The state of the guest thread that entered the kernel. Changes take effect when it continues.
pub struct GuestFrame<'a> {
    /// General registers. At a system call `rip` is behind the instruction, `rax` the number; the North stores the
    /// result in `rax`.
    pub regs: &'a mut Registers,
    /// The North's object of the thread ([`ThreadSpec::north`](super::ThreadSpec)).
    pub thread: *const (),
    /// How the code is decoded that it was in, and that it goes on with.
    pub mode: CpuMode,
    vectors: Vectors<'a>,
}

/// Where the floating-point and vector state of the guest is.
enum Vectors<'a> {
    /// Nowhere: a host without it (tests).
    None,
    /// In memory.
    Saved(&'a mut [u8]),
    /// Still in the processor; the function saves the calling thread's.
    Live(fn() -> &'static mut [u8]),
}

impl<'a> GuestFrame<'a> {
    /// A frame whose floating-point state, if any, is in memory already.
    pub fn new(thread: *const (), regs: &'a mut Registers, saved: Option<&'a mut [u8]>) -> Self {
        Self { regs, thread, mode: CpuMode::Long, vectors: saved.map_or(Vectors::None, Vectors::Saved) }
    }
    /// A frame whose floating-point state is saved by `save` once somebody asks for it.
    #[inline]
    pub fn live(thread: *const (), regs: &'a mut Registers, save: fn() -> &'static mut [u8]) -> Self {
        Self { regs, thread, mode: CpuMode::Long, vectors: Vectors::Live(save) }
    }
    /// The same frame of code that is decoded so.
    #[must_use]
    pub fn of_mode(mut self, mode: CpuMode) -> Self {
        self.mode = mode;
        self
    }
    /// The xsave area (Linux signal frame layout, `sw_reserved` filled in), when there is one. A guest signal frame
    /// copies it; a guest sigreturn copies it back after checking. Whoever gives the guest other registers than the
    /// result of its call asks for it, too: that is how the host knows that all of them have to be loaded.
    pub fn fp(&mut self) -> Option<&mut [u8]> {
        if let Vectors::Live(save) = self.vectors {
            self.vectors = Vectors::Saved(save());
        }
        match &mut self.vectors {
            Vectors::Saved(area) => Some(area),
            _ => None,
        }
    }
    /// Whether the floating-point state is in memory.
    pub fn fp_saved(&self) -> bool {
        matches!(self.vectors, Vectors::Saved(_))
    }
}

/// A processor exception in guest code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What kind.
    pub kind: FaultKind,
    /// `si_code` as the host reported it.
    pub code: i32,
    /// `si_addr`.
    pub addr: usize,
    /// Page-fault error code (bit 1: write, bit 4: instruction fetch).
    pub error: u64,
    /// Processor trap number.
    pub trap: u64,
}

/// Kind of a [`Fault`], by the signal a Unix would send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// SIGSEGV
    Segv,
    /// SIGBUS
    Bus,
    /// SIGFPE
    Fpe,
    /// SIGILL
    Ill,
    /// SIGTRAP
    Trap,
}

/// Which file code comes from, for as long as the sandbox lives or until the file ends: kind, then numbers of that
/// kind.
pub type FileKey = [u64; 3];

/// A stretch of guest code, as the map of the address space has it.
#[derive(Clone, Copy, Debug)]
pub struct Code {
    /// Its first byte.
    pub start: usize,
    /// Behind its last.
    pub end: usize,
    /// Its protection.
    pub prot: Prot,
    /// Writes to it reach others.
    pub shared: bool,
    /// The file it shows, and from where in it.
    pub file: Option<(FileKey, u64)>,
    /// Nobody changes that file.
    pub fixed: bool,
    /// How the code of its program is decoded.
    pub mode: CpuMode,
}

/// When it pays to spare an instruction the next trap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PatchPolicy {
    /// At once.
    Now,
    /// Its call does not come back: not in this process, but where the same code is mapped or copied later.
    Defer,
}

/// Who sends, or is at the other end (SO_PEERCRED).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the names are those of struct ucred")]
pub struct Credentials {
    pub pid: i32,
    pub uid: u32,
    pub gid: u32,
}

/// What a host does with guest events. Every method runs on the kernel stack of the guest thread.
pub trait North: Sync {
    /// A system call. May not return (exit).
    fn syscall(&self, frame: &mut GuestFrame<'_>);
    /// A system call in the manner of 32-bit programs, by `int $0x80` or from 32-bit code: the number is in `eax`, the
    /// arguments are in `ebx`, `ecx`, `edx`, `esi`, `edi` and `ebp`. May not return (exit). A North without such
    /// programs answers what a Linux without them does.
    fn syscall32(&self, frame: &mut GuestFrame<'_>) {
        const ENOSYS: i64 = 38;
        frame.regs.rax = -ENOSYS as u64;
    }
    /// A processor exception in guest code.
    fn fault(&self, frame: &mut GuestFrame<'_>, fault: Fault);
    /// Guest code was interrupted because work is pending for the thread (`Waiter::interrupted`).
    fn kicked(&self, frame: &mut GuestFrame<'_>);
    /// A page of guest memory could not be accessed, by the guest or by the kernel for it. `true`: it can be now, try
    /// again.
    fn resolve_fault(&self, addr: usize, write: bool) -> bool;
    /// A number that no other call has that is under way now: what was found out for a call is still true in the rest
    /// of it. 0: there is no call.
    fn call_under_way(&self) -> u64 {
        0
    }
    /// Whether the set-id bits of a file stay when the calling thread writes to it (`CAP_FSETID`).
    fn keeps_set_id(&self) -> bool {
        true
    }
    /// A thread is about to end for good: the host gives its object ([`ThreadSpec::north`](super::ThreadSpec)) back.
    /// Work of its process that a kick told it of has to be passed on here.
    fn release(&self, _north: *const ()) {}
    /// Who makes the call that is under way, as the other end of a local socket sees it.
    fn caller(&self) -> Option<Credentials> {
        None
    }
    /// The calling thread is about to sleep in a call: what others are to hear of it must be said now.
    fn before_sleep(&self) {}
    /// The calling thread was interrupted in its sleep ([`Waiter::interrupt`](crate::event::Waiter::interrupt)), and
    /// has taken the mark back. `false`: that was for nothing that its call has to end for, and whatever it was for has
    /// been seen to.
    fn ends_sleep(&self) -> bool {
        true
    }
    /// The calling thread is about to sleep in a call, and asked for this
    /// ([`Waiter::announce_sleep`](crate::event::Waiter::announce_sleep)).
    fn sleeping(&self) {}
    /// In the supervisor, at the end: fills in what the North counted (`litebox_protocol::figure`).
    fn figures(&self, _figures: &mut [u64; litebox_protocol::STAT_FIGURES]) {}
    /// A call with this number was made by an instruction at `addr`: has `look` look at the code there while its
    /// mapping cannot change. Not called back where there is no such code, or none that may be changed.
    fn with_code(&self, _addr: usize, _number: u64, _look: &mut dyn FnMut(&Code, PatchPolicy)) {}
    /// In the supervisor, at the end: what is to reach the user still does.
    fn ending(&self) {}
    /// In the supervisor, when the program has ended: where something is still to be done in peace, ends all other
    /// guests. `true`: none is left, or they need not end. Asked again until then.
    fn end_all(&self) -> bool {
        true
    }
    /// In the supervisor, at the very end: tells the broker what is to stay of the sandbox.
    fn tell_changes(&self) {}
    /// In the supervisor: the host's process with this number ([`HostThread::process`](super::HostThread)) was killed
    /// from outside of the sandbox. Its guests die of `signal`. `false`: it had none.
    fn process_lost(&self, _number: u32, _signal: i32) -> bool {
        false
    }
    /// In the supervisor: a watched host descriptor became ready for `events` (poll bits).
    fn host_ready(&self, token: u64, events: u16);
    /// In the supervisor, before it sleeps: until when, if something is due then ([`North::due`]).
    fn deadline(&self) -> Option<super::Instant> {
        None
    }
    /// In the supervisor: it has slept, or heard something; whatever is due by now is done.
    fn due(&self) {}
    /// In the supervisor: the broker told something of the network (`litebox_protocol::net::NetEvent`); a descriptor
    /// may come along.
    fn network_event(&self, _event: &[u8], passed: Option<super::HostFd>) {
        if let Some(fd) = passed {
            super::host().host_close(fd);
        }
    }
    /// In the supervisor: the broker told of a program that the user wants started, or has started; a descriptor may
    /// come along.
    fn program_event(&self, _event: &litebox_protocol::Event, passed: Option<super::HostFd>) {
        if let Some(fd) = passed {
            super::host().host_close(fd);
        }
    }
    /// In the supervisor: the user sent a signal (Linux number) to the sandbox.
    fn outside_signal(&self, signal: i32);
    /// In the supervisor: the sandbox has used up its memory. Kills the guest that runs in this host process of the
    /// sandbox, as the host's kernel would; its id and name, if there is one.
    fn out_of_memory(&self, _process: u32) -> Option<(i32, [u8; 16])> {
        None
    }
}

unsafe extern "Rust" {
    static LITEBOX_NORTH: &'static dyn North;
}

/// The North of this program.
#[inline]
pub fn north() -> &'static dyn North {
    // SAFETY: the symbol is an immutable static defined once by `register_north!`; the linker refuses none or two.
    unsafe { LITEBOX_NORTH }
}

/// Binds the one North of a program.
#[macro_export]
macro_rules! register_north {
    ($north:expr) => {
        #[unsafe(no_mangle)]
        static LITEBOX_NORTH: &'static dyn $crate::platform::north::North = &$north;
    };
}
