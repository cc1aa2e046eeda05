//! Pure patching of proven `syscall` instructions: bytes in, patch out. No I/O, no memory of anything.
//!
//! A trap proves that an address holds a `syscall` instruction that is executed. [`analyse`] decides from the bytes
//! around it how the next execution can go to a trampoline instead:
//!
//! - **before**: the instruction right before loads the number (`mov $nr,%eax`, `mov $nr,%rax`). Its first five bytes
//!   become the jump; the `syscall` stays, so code that jumps straight to it traps as before. Bytes before a proven
//!   address may be read in several ways; it is taken for that instruction when the trap came with that number and
//!   decoding from many places before agrees on its start.
//! - **after**: the jump overwrites the `syscall` and whole instructions behind it, which decode exactly. They are
//!   relocated into the trampoline. The trampoline's address is chosen so that every overwritten instruction boundary
//!   reads as an invalid opcode: code that jumps there raises an exception, and the map from boundaries to copies says
//!   where it goes on.
//!
//! - **cpuid**: a `cpuid` that the call frame tables prove ([`functions`], [`cpuids`]) becomes a jump as in *after*, to
//!   code that looks the answer up. In a virtual machine the instruction itself costs microseconds, and every program
//!   executes dozens when it starts.
//!
//! 32-bit code ([`CodeMode::Compat`]) makes its calls by `int $0x80`. Its trampolines make a far call to a *gate*:
//! 64-bit code at one address of every address space. So they name no address of their own, and can be moved with their
//! code.
//!
//! A [`Plan`] says where its trampoline may lie ([`Plan::windows`], [`Plan::stretches`]); [`Plan::assemble`] makes the
//! [`Patch`] for a place.
#![forbid(unsafe_code)]
#![no_std]

extern crate alloc;

mod analysis;
mod code_mode;
mod cpuid;
mod functions;
mod placement;
mod trampoline;

pub use analysis::{PatchKind, Plan, Site, analyse};
pub use code_mode::CodeMode;
pub use cpuid::CpuidLeaf;
pub use functions::{CPUID, Function, cpuids, functions};
pub use placement::{INVALID_OPCODES, PRIVILEGED_OPCODES};
pub use trampoline::{Code, FAR_CALL_LEN, FarHeader, Header, Patch, Target};

/// Bytes of a `jmp rel32`.
pub const JUMP_LEN: usize = 5;
/// Bytes of a `syscall`, and of an `int $0x80`.
pub const SYSCALL_LEN: usize = 2;
/// How many bytes before a site [`analyse`] likes to see.
pub const BYTES_BEFORE: usize = 96;
/// How many bytes from a site on it likes to see.
pub const BYTES_AFTER: usize = 32;

/// Has the decoder make its tables, which all later copies of the calling process share then. Each process would make
/// its own at its first site.
pub fn prepare() {
    let _ = iced_x86::Decoder::new(64, &[0x90], iced_x86::DecoderOptions::NONE).decode();
}

/// Why a site is not patched.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Refusal {
    /// There is no call at the address.
    NotSyscall,
    /// The code ends before the jump would.
    CutOff,
    /// An instruction behind the site does not decode.
    Undecodable,
    /// An instruction behind the site depends on where it lies: a call, an interrupt, another system call.
    Unmovable,
    /// Code ends inside the jump, and what follows may be something else.
    EndsEarly,
    /// What an instruction refers to is too far from the trampoline.
    TooFar,
}
