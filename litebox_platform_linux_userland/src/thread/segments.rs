//! Segments of 32-bit programs.
//!
//! A thread's entries of the global descriptor table ([`FIRST_TLS_ENTRY`] on) are made once, before the filter, by the
//! only calls of 32-bit x86 that this program ever makes; every thread and process inherits them. They are flat. Where
//! a segment of the guest really begins goes into the base that the processor keeps beside the selector (`wrfsbase`,
//! `wrgsbase`), and the host keeps both apart when it switches threads. A guest that loads the selector gets the base
//! of the entry, which is 0: its next access faults near 0 or near 4 GiB, where it has no memory, and [`restore_bases`]
//! puts the base in.

use core::arch::{asm, global_asm};

use core::sync::atomic::AtomicBool;

use litebox::platform::compat::{FIRST_TLS_ENTRY, Segments, TLS_ENTRIES};
use litebox_common_linux::abi::memory::{MAP_32BIT, MAP_ANONYMOUS, MAP_PRIVATE};

use super::host_thread::{read_fs, read_gs, write_fs, write_gs};
use crate::host::call::{self, host_call, nr};
use crate::host::published::Published;
use crate::host::thread_block::ThreadBlock;

/// The host runs 32-bit programs.
pub(crate) static RUNS_32BIT: Published<AtomicBool> = Published::nothing();
/// The user was told that it does not.
pub(crate) static TOLD_OF_32BIT: Published<AtomicBool> = Published::nothing();

/// Selector of data at privilege level 3 in the first of the entries.
const FIRST_SELECTOR: u16 = (FIRST_TLS_ENTRY as u16) << 3 | 3;
const PAGE: usize = 4096;

// isize litebox_call32(nr, a): a call of 32-bit x86. Where the host has none, `int` is an exception, whose handler goes
// on at the exit.
global_asm!(
    ".globl litebox_call32",
    ".type litebox_call32, @function",
    "litebox_call32:",
    "push rbx",
    "mov eax, edi",
    "mov ebx, esi",
    ".globl litebox_call32_trap",
    "litebox_call32_trap:",
    "int 0x80",
    "cdqe",
    "2:",
    "pop rbx",
    "ret",
    ".globl litebox_call32_refused",
    "litebox_call32_refused:",
    "mov rax, -38",
    "jmp 2b",
    ".size litebox_call32, . - litebox_call32",
);

unsafe extern "C" {
    fn litebox_call32(nr: u32, a: u32) -> isize;
    static litebox_call32_trap: u8;
    static litebox_call32_refused: u8;
}

/// Where execution goes on when the calls of 32-bit x86 turn out to be none.
pub(crate) fn refused_call32(rip: usize) -> Option<usize> {
    (rip == (&raw const litebox_call32_trap) as usize).then_some((&raw const litebox_call32_refused) as usize)
}

/// struct user_desc of the host.
#[repr(C)]
struct UserDesc {
    entry: u32,
    base: u32,
    limit: u32,
    flags: u32,
}

/// Bits of [`UserDesc::flags`]: seg_32bit, limit_in_pages, useable.
const FLAT: u32 = 1 | 1 << 4 | 1 << 6;

/// The lowest memory, for what calls of 32-bit x86 have to reach, and as a stack.
#[repr(C)]
struct Low {
    desc: UserDesc,
    /// What the probe found.
    outcome: i32,
    stack: [usize; 400],
}

/// Makes the entries. `false`: this host runs no 32-bit programs. To be called before the filter, when handlers are
/// installed.
pub(crate) fn make_entries() -> bool {
    const READ_WRITE: usize = 3;
    // SAFETY: memory that nothing else uses.
    let low =
        unsafe { host_call!(nr::MMAP, 0, PAGE, READ_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, usize::MAX, 0) };
    let Ok(low) = low else { return false };
    // SAFETY: the page just mapped: zeros, large enough and aligned.
    let page = unsafe { &mut *(low as *mut Low) };
    // Whoever filters already may kill for such a call: somebody else tries it.
    let made = (!is_filtered() || another_survives(page)) && (0..TLS_ENTRIES as u32).all(|i| set_entry(page, i));
    // SAFETY: nobody uses it any more.
    let _ = unsafe { host_call!(nr::MUNMAP, low, PAGE) };
    made
}

fn set_entry(page: &mut Low, index: u32) -> bool {
    const SET_THREAD_AREA: u32 = 243;
    page.desc = UserDesc { entry: FIRST_TLS_ENTRY + index, base: 0, limit: 0xf_ffff, flags: FLAT };
    let at = (&raw const page.desc) as usize as u32;
    // SAFETY: the host reads the description, which lies below 4 GiB.
    unsafe { litebox_call32(SET_THREAD_AREA, at) == 0 }
}

/// Whether the host filters this process's calls.
fn is_filtered() -> bool {
    const PR_GET_SECCOMP: usize = 21;
    // SAFETY: no pointers.
    let mode = unsafe { host_call!(nr::PRCTL, PR_GET_SECCOMP, 0, 0, 0, 0) };
    mode != Ok(0)
}

/// Has a process that shares this memory make the first entry, and waits for its end: whether it lived to say that it
/// could.
fn another_survives(page: &mut Low) -> bool {
    // VM, VFORK, and SIGCHLD (which is ignored) as exit signal.
    const FLAGS: usize = 0x100 | 0x4000 | 0x11;
    page.outcome = 0;
    let top = page.stack.len() - 4;
    page.stack[top] = probe as *const () as usize;
    page.stack[top + 1] = core::ptr::from_mut(page) as usize;
    let sp = (&raw const page.stack[top]) as usize;
    // SAFETY: the stack is the child's own and holds its first function; the parent waits.
    let started = unsafe { call::clone(FLAGS, sp, 0, 0) };
    // SAFETY: the child has ended.
    started.is_ok() && unsafe { (&raw const page.outcome).read_volatile() } == 1
}

extern "C" fn probe(page: *mut Low) -> ! {
    // SAFETY: the parent waits, so the page is this process's.
    let page = unsafe { &mut *page };
    if set_entry(page, 0) {
        // SAFETY: a word of the page.
        unsafe { (&raw mut page.outcome).write_volatile(1) };
    }
    loop {
        // SAFETY: ends the child.
        let _ = unsafe { host_call!(nr::EXIT, 0) };
    }
}

macro_rules! selectors {
    ($($(#[$doc:meta])* $read:ident $write:ident $register:literal)*) => {
        $($(#[$doc])*
        fn $read() -> u16 {
            let selector: u16;
            // SAFETY: reads a register.
            unsafe { asm!(concat!("mov {0:x}, ", $register), out(reg) selector, options(nomem, nostack, preserves_flags)) };
            selector
        }
        /// Loads it, and so the base of its entry.
        ///
        /// # Safety
        /// The selector can be loaded: `loadable` said so.
        unsafe fn $write(selector: u16) {
            // SAFETY: the caller's promise; kernel code uses neither.
            unsafe { asm!(concat!("mov ", $register, ", {0:x}"), in(reg) selector, options(nostack, preserves_flags)) };
        })*
    };
}
selectors! {
    /// The selector in DS.
    ds_selector write_ds_selector "ds"
    /// The selector in ES.
    es_selector write_es_selector "es"
    /// The selector in FS.
    fs_selector write_fs_selector "fs"
    /// The selector in GS.
    gs_selector write_gs_selector "gs"
}

/// The selector, if it can be loaded; else none.
fn loadable(selector: u16) -> u16 {
    let readable: u8;
    // SAFETY: `verr` only looks at a descriptor.
    unsafe { asm!("verr {1:x}", "setz {0}", out(reg_byte) readable, in(reg) selector, options(nomem, nostack)) };
    if readable == 1 { selector } else { 0 }
}

/// Where the segment of this selector begins; `None`: where the host's entry says.
fn base_of(selector: u16, segments: &Segments) -> Option<u64> {
    let index = selector.checked_sub(FIRST_SELECTOR)?;
    if index % 8 != 0 {
        return None;
    }
    segments.tls.get(usize::from(index / 8)).map(|base| u64::from(*base))
}

/// What 32-bit code finds in the segment registers.
fn load(segments: &Segments) {
    let (fs, gs) = (loadable(segments.fs), loadable(segments.gs));
    // SAFETY: selectors that can be loaded; kernel code uses none of these registers.
    unsafe {
        write_ds_selector(loadable(segments.ds));
        write_es_selector(loadable(segments.es));
        write_fs_selector(fs);
        write_gs_selector(gs);
    }
    // No selector leaves the base as it was on some processors.
    write_fs(base_of(fs, segments).unwrap_or(0));
    write_gs(base_of(gs, segments).unwrap_or(0));
}

/// The calling thread, of a 32-bit program, is about to go on with guest code.
pub(crate) fn load_pending(block: &mut ThreadBlock) {
    if core::mem::take(&mut block.load_segments) {
        if let Some(segments) = &block.segments {
            load(segments);
        }
    }
}

/// First thing on a new thread: what its guest has in the segment registers. GS leads to the block of a thread of a
/// 64-bit program.
pub(crate) fn begin(block: &mut ThreadBlock, fs_base: u64) {
    match &block.segments {
        Some(segments) => load(segments),
        None => clear(block, fs_base),
    }
    block.load_segments = false;
}

fn clear(block: &ThreadBlock, fs_base: u64) {
    // A thread of a 32-bit program that ended here may have left selectors.
    // SAFETY: no selector can be loaded always.
    unsafe {
        if fs_selector() != 0 {
            write_fs_selector(0);
        }
        if gs_selector() != 0 {
            write_gs_selector(0);
        }
    }
    write_gs(block.this as u64);
    write_fs(fs_base);
}

/// The segments of the calling thread.
pub(crate) fn current(block: &ThreadBlock) -> Option<Segments> {
    let known = block.segments?;
    if block.load_segments {
        return Some(known);
    }
    Some(Segments { ds: ds_selector(), es: es_selector(), fs: fs_selector(), gs: gs_selector(), ..known })
}

/// The fast exit of 64-bit code looks at the GS base of its guest alone: this one is no guest's.
const NOT_BY_THE_FAST_WAY: u64 = u64::MAX;

/// The guest of `block`'s thread is about to be another one, whose segments are in the processor already or are put
/// there when it starts.
pub(crate) fn prepare(block: &mut ThreadBlock, segments: Option<Segments>) {
    let _ = replace(block, segments);
    block.load_segments = false;
    if segments.is_some() {
        block.guest_gs = NOT_BY_THE_FAST_WAY;
    }
}

fn replace(block: &mut ThreadBlock, segments: Option<Segments>) -> Option<Segments> {
    core::mem::replace(&mut block.segments, segments)
}

/// Gives the calling thread others. Those of a 32-bit program are loaded when it goes on: until then GS may be the
/// kernel's.
pub(crate) fn set(block: &mut ThreadBlock, segments: Option<Segments>) {
    let before = replace(block, segments);
    block.load_segments = segments.is_some();
    match (before, segments) {
        (_, Some(_)) => block.guest_gs = NOT_BY_THE_FAST_WAY,
        (Some(_), None) => {
            block.guest_gs = 0;
            clear(block, read_fs());
        }
        (None, None) => {}
    }
}

/// A thread of a 32-bit program faulted: if it has loaded a selector since, its base goes in. `true`: the access is to
/// be tried again.
pub(crate) fn restore_bases(block: &ThreadBlock) -> bool {
    let Some(segments) = &block.segments else { return false };
    let mut changed = false;
    if let Some(base) = base_of(gs_selector(), segments).filter(|base| *base != read_gs()) {
        write_gs(base);
        changed = true;
    }
    if let Some(base) = base_of(fs_selector(), segments).filter(|base| *base != read_fs()) {
        write_fs(base);
        changed = true;
    }
    changed
}
