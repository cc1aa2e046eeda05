//! Kernel stacks of guest threads.
//!
//! One region of addresses, the same in every process and used for nothing else, is cut into aligned slots: guard page,
//! stack, and at the top the [`ThreadBlock`] and room for vector registers. Kernel code finds its block by masking the
//! stack pointer. The memory is private, and every process has its own list of slots, so that the same slot is another
//! stack in another process. Slots are numbered from the highest down.
//!
//! fork copies one slot alone, on which the child starts. Of the others a child would have no use, and its parent would
//! pay a fault and a copy for each of their pages that it writes the next time.

use alloc::vec::Vec;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};
use litebox_common_linux::abi::memory::{MAP_ANONYMOUS, MAP_FIXED, MAP_NORESERVE, MAP_PRIVATE};

use litebox::{Error, Result};

use crate::host::call::{MADV_DONTFORK, host_call, nr};
use crate::host::thread_block::{BLOCK, FarPointer, FastState, MAX_SLOTS, SLOT, STACKS, ThreadBlock};
use crate::host::usage::Before;
use crate::thread::host_process::HostProcess;

const GUARD: usize = 4096;

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

fn slot_base(slot: u32) -> usize {
    STACKS.1 - (slot as usize + 1) * SLOT
}

fn block_at(slot: u32) -> *mut ThreadBlock {
    (slot_base(slot) + BLOCK) as *mut ThreadBlock
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
            fast: FastState::new(),
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
            compat_clock_entry: 0,
            clock: None,
            process: 0,
            home: core::ptr::null(),
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
        (*block).set_home(home);
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
