//! The frame of a fast entry: where a thread's block, its context and its vector registers lie, under the names by
//! which the assembly calls them. The 64-bit entry and the one of 32-bit code have the same.

use core::mem::offset_of;

use litebox::platform::fast_syscalls::{FastSyscalls, SLOTS, Slot};

use crate::entry::trap::UserContext;
use crate::host::thread_block::{FastState, ThreadBlock};

/// Room for the context, and the return address below it.
pub(super) const CONTEXT_ROOM: usize = 320;
/// From the block down to the top of the kernel stack.
pub(crate) const FRAME_ROOM: usize = CONTEXT_ROOM + 64;
/// From the block to its context.
pub(super) const CONTEXT: isize = -(CONTEXT_ROOM as isize);
pub(super) const REGS: isize = CONTEXT + offset_of!(UserContext, regs) as isize;
pub(super) const FP: isize = size_of::<ThreadBlock>() as isize;
/// xmm0 in an fxsave area.
pub(super) const XMM: isize = FP + 160;

const _: () = assert!(size_of::<UserContext>() <= CONTEXT_ROOM && FRAME_ROOM % 64 == 0 && FP % 64 == 0);
// The entry finds a slot by a shift, and counts in the first word.
const _: () = assert!(size_of::<Slot>() == 16 && SLOTS.is_power_of_two() && offset_of!(FastSyscalls, calls) == 0);

/// Addresses of programs lie below: a jump to one that lies above and below what a processor has fails where the jump
/// is.
pub(super) const USER_ADDRESS_BITS: u32 = 47;
/// The arithmetic flags, and those that are always on in guest code: what the quick exit restores.
pub(super) const PLAIN_FLAGS: u64 = 0x8d5 | 0x202;
pub(super) const TRAP_FLAG: u64 = 0x100;

/// How a call goes back to the guest.
pub(super) const QUICK: u32 = 0;
pub(super) const WHOLE: u32 = 1;
pub(super) const BY_HOST: u32 = 2;

/// From the block to the fast entry's part of it.
const STATE: usize = offset_of!(ThreadBlock, fast);
/// From the block to the components of the xsave area.
pub(super) const FEATURES: usize = STATE + offset_of!(FastState, features);
/// From the block to what marks it.
pub(super) const MARK_AT: usize = STATE + offset_of!(FastState, mark);
/// From the block to where the guest continues.
pub(super) const RESUME: usize = STATE + offset_of!(FastState, resume);
/// From the block to the address of its waiter.
pub(super) const WAITER: usize = offset_of!(ThreadBlock, waiter);
/// From the block to the address of the [`FastSyscalls`].
pub(super) const FAST_SYSCALLS: usize = offset_of!(ThreadBlock, fast_syscalls);
/// From the block to the top of the kernel stack.
pub(super) const STACK: isize = -(FRAME_ROOM as isize);
/// Flags with which a call goes through the kernel with the guest's own set aside.
pub(super) const RARE_FLAGS: u32 = !PLAIN_FLAGS as u32;
/// The parts of the [`FastSyscalls`] and of a [`Slot`] that answer.
pub(super) const FIRST_SLOT: usize = offset_of!(FastSyscalls, slots);
pub(super) const LAST_SLOT: usize = SLOTS - 1;
pub(super) const WORD: usize = offset_of!(Slot, word);
pub(super) const TAKEN: usize = offset_of!(Slot, taken);

/// From the block to a register in its context.
pub(super) const fn place_of(register: usize) -> isize {
    REGS + register as isize
}

/// Where the context keeps the named register, from the block.
macro_rules! place {
    ($register:ident) => {
        $crate::entry::fast::frame::place_of(core::mem::offset_of!(litebox::platform::north::Registers, $register))
    };
}
pub(super) use place;

/// Assembly of an entry, with operands of its own: [`global_asm!`](core::arch::global_asm) in which the frame's places
/// have names.
macro_rules! entry_code {
    ($($code:tt)*) => {
        core::arch::global_asm!(
            $($code)*
            FEATURES = const $crate::entry::fast::frame::FEATURES,
            WAITER = const $crate::entry::fast::frame::WAITER,
            CONTEXT = const $crate::entry::fast::frame::CONTEXT,
            FP = const $crate::entry::fast::frame::FP,
            XMM = const $crate::entry::fast::frame::XMM,
            STACK = const $crate::entry::fast::frame::STACK,
            FLAGS_END = const $crate::entry::fast::frame::place!(eflags) + 8,
            RDI = const $crate::entry::fast::frame::place!(rdi),
            RSI = const $crate::entry::fast::frame::place!(rsi),
            RBP = const $crate::entry::fast::frame::place!(rbp),
            RBX = const $crate::entry::fast::frame::place!(rbx),
            RDX = const $crate::entry::fast::frame::place!(rdx),
            RAX = const $crate::entry::fast::frame::place!(rax),
            RCX = const $crate::entry::fast::frame::place!(rcx),
            RSP = const $crate::entry::fast::frame::place!(rsp),
            RIP = const $crate::entry::fast::frame::place!(rip),
            EFLAGS = const $crate::entry::fast::frame::place!(eflags),
            WHOLE = const $crate::entry::fast::frame::WHOLE,
            RARE_FLAGS = const $crate::entry::fast::frame::RARE_FLAGS,
            FAST_SYSCALLS = const $crate::entry::fast::frame::FAST_SYSCALLS,
            LAST_SLOT = const $crate::entry::fast::frame::LAST_SLOT,
            FIRST_SLOT = const $crate::entry::fast::frame::FIRST_SLOT,
            WORD = const $crate::entry::fast::frame::WORD,
            TAKEN = const $crate::entry::fast::frame::TAKEN,
        );
    };
}
pub(super) use entry_code;

/// Moves each of the registers named to (`save`) or from (`load`) its place in the context; first how the block is
/// addressed.
macro_rules! registers {
    ($block:literal save $($register:literal $place:literal)*) => {
        concat!($("mov ", $block, "{", $place, "}], ", $register, "\n"),*)
    };
    ($block:literal load $($register:literal $place:literal)*) => {
        concat!($("mov ", $register, ", ", $block, "{", $place, "}]\n"),*)
    };
}
pub(super) use registers;

/// Moves the vector registers of these numbers to (`save`) or from (`load`) their places.
macro_rules! vectors {
    ($block:literal save $($number:literal)*) => {
        concat!($("movaps ", $block, "{XMM} + 16 * ", $number, "], xmm", $number, "\n"),*)
    };
    ($block:literal load $($number:literal)*) => {
        concat!($("movaps xmm", $number, ", ", $block, "{XMM} + 16 * ", $number, "]\n"),*)
    };
}
pub(super) use vectors;
