//! What kernel code knows of the thread it runs for, and where it finds that.
//!
//! The block lies at the top of the thread's kernel stack ([`stack`](crate::thread::stack)). All layers keep their part
//! of a thread in it: as numbers and pointers, of which each layer knows what they mean.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use core::time::Duration;

use litebox::event::Waiter;
use litebox::platform::HostThread;
use litebox::platform::compat::Segments;
use litebox::platform::fast_syscalls::FastSyscalls;

use crate::host::clock::ClockFunction;
use crate::host::kept::KeptSpec;
use crate::host::process_block::ProcessBlock;
use crate::host::published::Published;
use crate::host::usage::Before;

/// Size of a slot; slots are aligned to it.
pub(crate) const SLOT: usize = 128 << 10;
/// Most threads of a process.
pub(crate) const MAX_SLOTS: usize = 1 << 15;
/// Room for the xsave area, above the block: of its three pages hosts use one, and what else a call touches lies
/// together below.
pub(crate) const FP_ROOM: usize = 12 << 10;
/// Value of [`HostThread::mode`] while guest code runs.
pub(crate) const MODE_GUEST: u32 = 1;
/// In the kernel.
pub(crate) const MODE_KERNEL: u32 = 0;
/// Value in a host call that may block, which a kick interrupts.
pub(crate) const MODE_BLOCKED: u32 = 2;

/// The part of a [`ThreadBlock`] that the fast entry uses.
#[repr(C)]
pub(crate) struct FastState {
    /// By which it is known.
    pub(crate) mark: u64,
    /// Where the guest continues.
    pub(crate) resume: u64,
    /// The components of the xsave area.
    pub(crate) features: u64,
    /// How the running call goes back; 0: quickly.
    pub(crate) way: u32,
    /// The kernel is calling the host's vDSO, whose code lies outside of the program.
    pub(crate) in_vdso: bool,
    /// Where a fetch was tried again, and at which change of the code.
    pub(crate) retried: (usize, u64),
}

impl FastState {
    pub(crate) const fn new() -> Self {
        Self { mark: 0, resume: 0, features: 0, way: 0, in_vdso: false, retried: (0, 0) }
    }
}

/// Selector of the host's segment for 32-bit code.
pub(crate) const CODE32: u16 = 0x23;

/// What a far jump out of 64-bit code takes.
#[repr(C)]
pub(crate) struct FarPointer {
    pub(crate) offset: u32,
    selector: u16,
}

impl FarPointer {
    pub(crate) const fn new() -> Self {
        Self { offset: 0, selector: CODE32 }
    }
}

/// The guest thread that waits while a vfork child uses its thread of the host.
pub(crate) struct VforkHandoff {
    /// It.
    pub(crate) parent: KeptSpec,
    /// What the host's thread had used for others before the parent.
    pub(crate) before: Before,
    /// CPU time of the host's thread when it was handed off.
    pub(crate) began: Duration,
}

/// What kernel code knows of the thread it runs for, above its kernel stack.
#[repr(C, align(64))]
pub(crate) struct ThreadBlock {
    /// Its own address: what `gs:0` reads in the kernel.
    pub(crate) this: usize,
    /// What the fast entry keeps.
    pub(crate) fast: FastState,
    /// The North's thread object.
    pub(crate) north: *const (),
    /// The host's part of it, in the shared heap.
    pub(crate) host: *const HostThread,
    /// The word it sleeps on.
    pub(crate) waiter: *const Waiter,
    /// Calls that are answered where they enter.
    pub(crate) fast_syscalls: *const FastSyscalls,
    /// GS base of the guest; of a 32-bit program's, a word that is not 0.
    pub(crate) guest_gs: u64,
    /// The segments of a thread of a 32-bit program.
    pub(crate) segments: Option<Segments>,
    /// They are not in the processor yet.
    pub(crate) load_segments: bool,
    /// Where 32-bit code goes on: what a far jump takes, address and selector.
    pub(crate) far: FarPointer,
    /// Where its last call by a far jump returns to.
    pub(crate) landing: u32,
    /// Where the vDSO enters the kernel.
    pub(crate) compat_entry: u64,
    /// Where it enters to read a clock.
    pub(crate) compat_clock_entry: u64,
    /// What reads that.
    pub(crate) clock: Option<ClockFunction>,
    /// Which process of the sandbox it belongs to.
    pub(crate) process: u32,
    /// What is known of that: the beginning of its entry in the table of processes.
    pub(crate) home: *const ProcessBlock,
    /// It is the first thread of a process that was just cloned from another guest's.
    pub(crate) founds: bool,
    /// It is the first thread of its process on the host.
    pub(crate) first: bool,
    /// Its slot is copied by fork: the thread started as a copy.
    pub(crate) copied: bool,
    /// Its calls are intercepted already, and the host knows its stack for signals.
    pub(crate) armed: bool,
    /// The guest thread that goes on when the present one has ended.
    pub(crate) handoff: Option<Box<VforkHandoff>>,
    /// What the host's thread had used for guests before the present one.
    pub(crate) before: Before,
    /// Where the host writes for it (rseq(2)); 0: nowhere.
    pub(crate) rseq_area: usize,
    /// Past all use of the kernel's memory: only the end of the host thread is left.
    pub(crate) leaving: bool,
    /// Kicks that came while it was leaving, to be forwarded.
    pub(crate) kicks_owed: AtomicU32,
    /// Which slot this is.
    pub(crate) slot: u32,
    /// Nonzero until the host has taken the thread away.
    pub(crate) alive: AtomicU32,
    /// Its host thread id.
    pub(crate) tid: AtomicI32,
    /// A fault in kernel code was already tried again with the supervisor's FS.
    pub(crate) fault_retried: bool,
    /// The locks it holds.
    #[cfg(debug_assertions)]
    pub(crate) held_locks: litebox::sync::HeldLocks,
}

impl ThreadBlock {
    /// Whether a guest thread runs on it; a process that waits for a program has none yet.
    #[inline]
    pub(crate) fn has_guest(&self) -> bool {
        !self.host.is_null()
    }
    /// What is known of its process.
    pub(crate) fn process_block(&self) -> Option<&'static ProcessBlock> {
        // SAFETY: null, or an entry of the table of processes, which lives until the supervisor has seen the process
        // end.
        unsafe { self.home.as_ref() }
    }
}

/// Where the kernel stacks of a process lie.
pub(crate) static STACKS: Published<(usize, usize)> = Published::nothing();

/// Bytes of addresses that the slots take.
pub(crate) fn region_len() -> usize {
    MAX_SLOTS * SLOT
}

/// Where in a slot the block lies; above it is room for what the fast entry keeps of the vector registers.
pub(crate) const BLOCK: usize = SLOT - FP_ROOM - size_of::<ThreadBlock>();

/// The block of the calling thread; `None` outside guest threads (the supervisor, start-up).
#[inline]
pub(crate) fn current() -> Option<&'static mut ThreadBlock> {
    let rsp: usize;
    // SAFETY: reads a register.
    unsafe { core::arch::asm!("mov {}, rsp", out(reg) rsp, options(nomem, nostack, preserves_flags)) };
    at(rsp)
}

/// The block of the kernel stack that `rsp` points into.
#[inline]
pub(crate) fn at(rsp: usize) -> Option<&'static mut ThreadBlock> {
    let &(start, end) = STACKS.try_get()?;
    if !(start..end).contains(&rsp) {
        return None;
    }
    let block = (rsp & !(SLOT - 1)) + BLOCK;
    // SAFETY: a slot that somebody stands on is committed and its block was initialised before the stack was used; only
    // its own thread makes references to it.
    Some(unsafe { &mut *(block as *mut ThreadBlock) })
}

/// The host's part of a guest thread.
pub(crate) fn host_part(block: &ThreadBlock) -> &'static HostThread {
    // SAFETY: set before the thread started; its thread object lives until the thread has gone.
    unsafe { &*block.host }
}

/// Runs `wait`, in which the calling thread sleeps on a word that whoever interrupts it changes: there is no need to
/// kick it.
pub(crate) fn asleep<T>(wait: impl FnOnce() -> T) -> T {
    let block = current().filter(|b| !b.leaving && b.has_guest());
    let Some(host) = block.map(|b| host_part(b)).filter(|h| h.mode.load(Ordering::Relaxed) == MODE_GUEST) else {
        return wait();
    };
    host.mode.store(MODE_KERNEL, Ordering::Relaxed);
    let result = wait();
    host.mode.store(MODE_GUEST, Ordering::SeqCst);
    result
}
