//! Kernel stacks of guest threads.
//!
//! One region of addresses, the same in every process and used for nothing else, is cut into aligned slots: guard page,
//! stack, and at the top the [`ThreadBlock`] and room for vector registers. Kernel code finds its block by masking the
//! stack pointer. The memory is private, and every process has its own list of slots, so that the same slot is another
//! stack in another process. Slots are numbered from the highest down.
//!
//! fork copies one slot alone, on which the child starts. Of the others a child would have no use, and its parent would
//! pay a fault and a copy for each of their pages that it writes the next time.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use litebox_common_linux::abi::memory::{MAP_ANONYMOUS, MAP_FIXED, MAP_NORESERVE, MAP_PRIVATE};

use litebox::event::Waiter;
use litebox::platform::HostThread;
use litebox::platform::compat::Segments;
use litebox::platform::fast_syscalls::FastSyscalls;
use litebox::{Error, Result};

use crate::entry::compat::FarPointer;
use crate::host::call::{host_call, nr};
use crate::process::table::HostProcess;
use crate::process::usage::Before;
use crate::process::vfork_handoff::VforkHandoff;
use crate::sandbox::sandbox;

/// Size of a slot; slots are aligned to it.
pub(crate) const SLOT: usize = 128 << 10;
/// Most threads of a process.
pub(crate) const MAX_SLOTS: usize = 1 << 15;
const GUARD: usize = 4096;
pub(crate) const MADV_DONTFORK: usize = 10;

/// What kernel code knows of the thread it runs for, above its kernel stack.
#[repr(C, align(64))]
pub(crate) struct ThreadBlock {
    /// Its own address: what `gs:0` reads in the kernel.
    pub(crate) this: usize,
    /// What the fast entry keeps.
    pub(crate) fast: crate::entry::fast::FastState,
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
    /// Where calls of its vDSO go on.
    pub(crate) landing: u32,
    /// Where the vDSO enters the kernel.
    pub(crate) compat_entry: u64,
    /// Which process of the sandbox it belongs to.
    pub(crate) process: u32,
    home: *const HostProcess,
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
    /// Its process.
    pub(crate) fn home(&self) -> Option<&'static HostProcess> {
        // SAFETY: null, or an entry of the table of processes, which lives until the supervisor has seen the process
        // end.
        unsafe { self.home.as_ref() }
    }
    /// Says which process it belongs to.
    pub(crate) fn set_home(&mut self, home: &HostProcess) {
        self.home = home;
        self.process = home.number;
    }
}

/// The slots of one process that nobody uses.
#[derive(Default)]
pub(crate) struct Slots {
    /// Committed and free.
    free: Vec<u32>,
    /// Left by threads that may still be standing on them.
    leaving: Vec<u32>,
    /// Those that children start on; fork copies them.
    for_children: Vec<u32>,
    /// Slots from here on were never used by this process.
    fresh: u32,
    /// The one that the first thread of a cloned process starts on.
    pub(crate) inherited: Option<u32>,
}

/// Bytes of addresses that the slots take.
pub(crate) fn region_len() -> usize {
    MAX_SLOTS * SLOT
}

fn slot_base(slot: u32) -> usize {
    sandbox().layout.stacks.1 - (slot as usize + 1) * SLOT
}

/// Where in a slot the block lies; above it is room for what the fast entry keeps of the vector registers.
const BLOCK: usize = SLOT - crate::entry::fast::FP_ROOM - size_of::<ThreadBlock>();

fn block_at(slot: u32) -> *mut ThreadBlock {
    (slot_base(slot) + BLOCK) as *mut ThreadBlock
}

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
    let (start, end) = crate::sandbox::try_sandbox()?.layout.stacks;
    if !(start..end).contains(&rsp) {
        return None;
    }
    let block = (rsp & !(SLOT - 1)) + BLOCK;
    // SAFETY: a slot that somebody stands on is committed and its block was initialised before the stack was used; only
    // its own thread makes references to it.
    Some(unsafe { &mut *(block as *mut ThreadBlock) })
}

/// All of a slot but its guard page: (lowest address, length).
fn memory(slot: u32) -> (usize, usize) {
    (slot_base(slot) + GUARD, SLOT - GUARD)
}

/// The usable part of a slot's stack: (lowest address, length), without the block and the frame of the fast entry below
/// it.
pub(crate) fn span(slot: u32) -> (usize, usize) {
    let low = slot_base(slot) + GUARD;
    (low, block_at(slot) as usize - crate::entry::fast::FRAME_ROOM - low)
}

/// Goes on with `next` in the middle of the slot's stack: above is room for what it builds at the top, and below to go
/// on.
///
/// # Safety
/// The slot is the calling thread's, and nothing of what lies on its stack is used again.
pub(crate) unsafe fn go_down(slot: u32, next: extern "C" fn() -> !) -> ! {
    let (low, len) = span(slot);
    let sp = (low + len / 2) & !15;
    // SAFETY: in the slot's stack; the caller's promise.
    unsafe {
        core::arch::asm!("mov rsp, {sp}", "xor ebp, ebp", "call {next}", "ud2", sp = in(reg) sp, next = in(reg) next, options(noreturn))
    }
}

/// Takes a slot for a thread of `home`, the calling process, and clears its block.
pub(crate) fn allocate(home: &HostProcess) -> Result<(u32, &'static mut ThreadBlock)> {
    let (slot, fresh) = take(home)?;
    if fresh {
        commit(slot)?;
        keep(slot);
    }
    Ok((slot, begin(slot, home)))
}

/// The same for the first thread of a process that is about to be cloned from the calling one.
pub(crate) fn allocate_for_child(home: &HostProcess) -> Result<(u32, &'static mut ThreadBlock)> {
    let known = home.slots.lock().for_children.pop();
    let slot = match known {
        Some(slot) => slot,
        None => committed(home)?,
    };
    Ok((slot, begin(slot, home)))
}

/// A slot that was never used.
fn committed(home: &HostProcess) -> Result<u32> {
    let slot = home.slots.lock().take_fresh()?;
    commit(slot)?;
    Ok(slot)
}

/// Brings a slot's memory in. What a fork copied there before is gone.
fn commit(slot: u32) -> Result<()> {
    const READ_WRITE: usize = 3;
    const PRIVATE_FIXED_ANONYMOUS_NORESERVE: usize = MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS | MAP_NORESERVE;
    let (low, len) = memory(slot);
    // SAFETY: the slot is the caller's alone, in a region that nothing else is mapped in.
    unsafe { host_call!(nr::MMAP, low, len, READ_WRITE, PRIVATE_FIXED_ANONYMOUS_NORESERVE, usize::MAX, 0) }
        .map(drop)
        .map_err(|_| Error::WouldBlock)
}

/// fork does not copy the slot from now on. Where the host refuses, it does, which costs time alone.
fn keep(slot: u32) {
    let (low, len) = memory(slot);
    // SAFETY: the memory of a slot of the calling process.
    let _ = unsafe { host_call!(nr::MADVISE, low, len, MADV_DONTFORK) };
}

/// The calling thread's process is about to be copied for the first time since it was one itself: without its stack.
pub(crate) fn keep_own(block: &mut ThreadBlock) {
    if core::mem::take(&mut block.copied) {
        keep(block.slot);
    }
}

fn begin(slot: u32, home: &HostProcess) -> &'static mut ThreadBlock {
    let block = block_at(slot);
    // SAFETY: the block lies in a slot that the caller has taken.
    unsafe {
        block.write(ThreadBlock {
            this: block as usize,
            fast: crate::entry::fast::FastState::new(),
            north: core::ptr::null(),
            host: core::ptr::null(),
            waiter: core::ptr::null(),
            fast_syscalls: core::ptr::null(),
            guest_gs: 0,
            segments: None,
            load_segments: false,
            far: FarPointer::new(),
            landing: 0,
            compat_entry: 0,
            process: home.number,
            home,
            founds: false,
            first: false,
            copied: false,
            armed: false,
            handoff: None,
            before: Before::default(),
            rseq_area: 0,
            leaving: false,
            kicks_owed: AtomicU32::new(0),
            slot,
            alive: AtomicU32::new(1),
            tid: AtomicI32::new(0),
            fault_retried: false,
            #[cfg(debug_assertions)]
            held_locks: litebox::sync::HeldLocks::new(),
        });
        crate::entry::fast::prepare(&mut *block);
        &mut *block
    }
}

impl Slots {
    fn take_fresh(&mut self) -> Result<u32> {
        if self.inherited == Some(self.fresh) {
            self.fresh += 1;
        }
        let slot = self.fresh;
        if slot as usize >= MAX_SLOTS {
            return Err(Error::WouldBlock);
        }
        self.fresh += 1;
        Ok(slot)
    }
}

fn take(home: &HostProcess) -> Result<(u32, bool)> {
    let mut slots = home.slots.lock();
    // SAFETY: a leaving slot is committed; its block's word is only changed by the host.
    let gone = |slot: u32| unsafe { (*block_at(slot)).alive.load(Ordering::Acquire) == 0 };
    if let Some(i) = slots.leaving.iter().position(|&s| gone(s)) {
        return Ok((slots.leaving.swap_remove(i), false));
    }
    if let Some(slot) = slots.free.pop() {
        return Ok((slot, false));
    }
    Ok((slots.take_fresh()?, true))
}

/// Gives back a slot that no thread of the calling process ever used.
pub(crate) fn give_back(home: &HostProcess, slot: u32) {
    home.slots.lock().free.push(slot);
}

/// Gives back a slot that a child was started on.
pub(crate) fn give_back_of_child(home: &HostProcess, slot: u32) {
    home.slots.lock().for_children.push(slot);
}

/// The calling thread is about to leave its slot; it can be taken again once `alive` is zero.
pub(crate) fn leave(block: &ThreadBlock) {
    if let Some(home) = block.home() {
        home.slots.lock().leaving.push(block.slot);
    }
}
