//! The bytes of a patch.
//!
//! A trampoline: `[load of the number] lea HEADER(%rip),%r11; jmp *ENTRY(%rip)`, the [`Header`], and behind it a
//! `syscall` of its own for threads that the entry does not know, then the moved instructions and the way back. The
//! entry stub finds all it needs through `r11`, which the guest's `syscall` would have overwritten anyway.
//!
//! One of 32-bit code: `[load of the number] lcall $0x33,$GATE`, the [`FarHeader`], the moved instructions and the way
//! back. All eight registers of such code may be arguments, so the gate finds the header through what the far call
//! leaves on the stack.

use smallvec::SmallVec;

use crate::analysis::{Dependence, Moved, PatchKind, Plan};
use crate::cpuid::{LOOKUP_LEN, append_lookup};
use crate::{CodeMode, JUMP_LEN, Refusal, SYSCALL_LEN};

/// The words of a trampoline that the entry stub reads, in their order. Places in the guest's code are told by their
/// distance from the header: code and trampolines that move together need no change.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Header {
    /// Address of the entry stub.
    pub entry: u64,
    /// How far it is to what the guest finds in `rcx`: the address behind its `syscall`.
    pub next: u64,
    /// How far it is to where it continues: the same, or the moved instructions.
    pub resume: u64,
}

/// The words behind the far call of 32-bit code, in their order: how far it is from the first of them.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FarHeader {
    /// To the address behind the guest's `int $0x80`.
    pub next: i32,
    /// To where it continues: the same, or the moved instructions.
    pub resume: i32,
}

/// Bytes of a far call out of 32-bit code.
pub const FAR_CALL_LEN: usize = 7;
/// Segment of 64-bit code of programs.
const CODE64: u16 = 0x33;

/// Where trampolines lead.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// To the entry stub, or to the gate of 32-bit code.
    pub call: u64,
    /// For a `cpuid`, to the table of [`CpuidLeaf`](crate::CpuidLeaf)s, or to the gate that looks it up.
    pub cpuid: u64,
}

/// What is written where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Patch {
    /// How the code is decoded.
    pub mode: CodeMode,
    /// Address of the jump.
    pub jump: u64,
    /// The jump.
    pub jump_bytes: [u8; JUMP_LEN],
    /// What is there now; longer than the jump when the last instruction is not overwritten whole.
    pub original: SmallVec<[u8; 16]>,
    /// Address of the trampoline.
    pub trampoline: u64,
    /// The trampoline.
    pub trampoline_bytes: Code,
    /// Address of the `syscall` that was patched.
    pub syscall: u64,
    /// Address of the trampoline's own `syscall`; of the far call of 32-bit code; for another `cpuid` that of the
    /// trampoline.
    pub fallback: u64,
    /// What was patched.
    pub kind: PatchKind,
    /// Where a call continues in the trampoline or behind the site.
    pub resume: u64,
    /// Address of every moved instruction, of its copy, and at last of what follows them and of the way back there.
    pub moved: SmallVec<[(u64, u64); 4]>,
}

/// Bytes of a trampoline.
pub type Code = SmallVec<[u8; 96]>;

impl Patch {
    /// Where execution goes on that was at `address`, a boundary of the overwritten instructions that the jump does not
    /// keep.
    pub fn copy_of(&self, address: u64) -> Option<u64> {
        let inside = self.jump < address && address < self.jump + JUMP_LEN as u64;
        self.moved.iter().find(|(original, _)| inside && *original == address).map(|(_, copy)| *copy)
    }

    /// The same patch where code and trampolines lie `by` bytes higher (modulo 2^64).
    #[must_use]
    pub fn moved_by(&self, by: u64) -> Self {
        let up = |address: u64| address.wrapping_add(by);
        Self {
            jump: up(self.jump),
            trampoline: up(self.trampoline),
            syscall: up(self.syscall),
            fallback: up(self.fallback),
            resume: up(self.resume),
            moved: self.moved.iter().map(|(original, copy)| (up(*original), up(*copy))).collect(),
            ..self.clone()
        }
    }

    /// What address of the guest's own code stands for `address` inside the trampoline.
    pub fn original_of(&self, address: u64) -> Option<u64> {
        let end = self.trampoline + self.trampoline_bytes.len() as u64;
        if !(self.trampoline..end).contains(&address) {
            return None;
        }
        if address == self.trampoline {
            return Some(self.jump);
        }
        if address <= self.fallback {
            return Some(self.syscall);
        }
        self.moved.iter().find(|(_, copy)| *copy == address).map(|(original, _)| *original)
    }
}

impl Plan {
    /// The most bytes its trampoline can need.
    pub fn room(&self) -> usize {
        const FIXED: usize = 7 + 7 + 6 + 7 + size_of::<Header>() + SYSCALL_LEN + JUMP_LEN;
        const FAR: usize = FAR_CALL_LEN + size_of::<FarHeader>() + 2 * JUMP_LEN;
        let fixed = match self.mode {
            CodeMode::Compat => FAR,
            CodeMode::Long if self.kind.is_cpuid() => LOOKUP_LEN + 2 * JUMP_LEN,
            CodeMode::Long => FIXED,
        };
        fixed + self.moved.len() * 16
    }

    /// The patch with its trampoline at `address` (16-byte aligned).
    pub fn assemble(&self, address: u64, target: Target) -> Result<Patch, Refusal> {
        let mut code = Code::new();
        if self.kind.is_before() {
            code.extend_from_slice(&self.original);
        }
        if self.mode == CodeMode::Compat {
            return self.assemble_far(address, code, target);
        }
        if self.kind.is_cpuid() {
            append_lookup(&mut code, target.cpuid);
            let behind = address + code.len() as u64;
            return self.finish(address, code, (address, behind, behind));
        }
        let header = (code.len() + 13).next_multiple_of(8);
        let from_lea = (header - code.len() - 7) as u32;
        code.extend_from_slice(&[0x4c, 0x8d, 0x1d]);
        code.extend_from_slice(&from_lea.to_le_bytes());
        code.extend_from_slice(&[0xff, 0x25]);
        code.extend_from_slice(&(from_lea - 6).to_le_bytes());
        code.resize(header, 0xcc);
        let next = self.syscall + SYSCALL_LEN as u64;
        let fallback = address + (header + size_of::<Header>()) as u64;
        let behind = fallback + SYSCALL_LEN as u64;
        let resume = if self.kind == PatchKind::Before { next } else { behind };
        let at = address + header as u64;
        for word in [target.call, next.wrapping_sub(at), resume.wrapping_sub(at)] {
            code.extend_from_slice(&word.to_le_bytes());
        }
        code.extend_from_slice(&[0x0f, 0x05]);
        self.finish(address, code, (fallback, behind, resume))
    }

    /// The rest of the trampoline of 32-bit code, behind the load of the number.
    fn assemble_far(&self, address: u64, mut code: Code, target: Target) -> Result<Patch, Refusal> {
        let gate = if self.kind.is_cpuid() { target.cpuid } else { target.call };
        let fallback = address + code.len() as u64;
        code.push(0x9a);
        code.extend_from_slice(&u32::try_from(gate).map_err(|_| Refusal::TooFar)?.to_le_bytes());
        code.extend_from_slice(&CODE64.to_le_bytes());
        let header = fallback + FAR_CALL_LEN as u64;
        let next = self.syscall + SYSCALL_LEN as u64;
        if self.kind.is_cpuid() {
            return self.finish(address, code, (fallback, header, header));
        }
        let behind = header + size_of::<FarHeader>() as u64;
        let resume = if self.kind == PatchKind::Before { next } else { behind };
        for place in [next, resume] {
            code.extend_from_slice(&distance(header, place)?.to_le_bytes());
        }
        self.finish(address, code, (fallback, behind, resume))
    }

    /// Behind the call: the moved instructions and the way back. `places` are those of the trampoline's own `syscall`,
    /// of what follows it, and where a call continues.
    fn finish(&self, address: u64, mut code: Code, places: (u64, u64, u64)) -> Result<Patch, Refusal> {
        let jump_bytes = self.jump_to(address)?;
        let (fallback, behind, resume) = places;
        let next = self.syscall + SYSCALL_LEN as u64;
        let mut moved = SmallVec::new();
        let mut at = behind;
        for instruction in &self.moved {
            moved.push((instruction.ip, at));
            let from = (instruction.ip - self.jump) as usize;
            let bytes = self.original.get(from..from + instruction.len).ok_or(Refusal::CutOff)?;
            at += append(&mut code, bytes, instruction, at)? as u64;
        }
        let follows = self.moved.last().map_or(next, Moved::next_ip);
        if self.falls_through {
            moved.push((follows, at));
            append_jump(&mut code, &[0xe9], at, follows)?;
        }
        Ok(Patch {
            mode: self.mode,
            jump: self.jump,
            jump_bytes,
            original: SmallVec::from_slice(&self.original),
            trampoline: address,
            trampoline_bytes: code,
            syscall: self.syscall,
            fallback,
            kind: self.kind,
            resume,
            moved,
        })
    }
}

/// Appends the copy of an instruction for address `at`. Its length.
fn append(code: &mut Code, bytes: &[u8], instruction: &Moved, at: u64) -> Result<usize, Refusal> {
    match instruction.dependence {
        Dependence::Anywhere => {
            code.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        Dependence::Memory { offset, target } => {
            let start = code.len();
            code.extend_from_slice(bytes);
            let distance = distance(at + bytes.len() as u64, target)?;
            let word = code.get_mut(start + offset..start + offset + 4).ok_or(Refusal::Undecodable)?;
            word.copy_from_slice(&distance.to_le_bytes());
            Ok(bytes.len())
        }
        Dependence::Jump(target) => append_jump(code, &[0xe9], at, target),
        Dependence::Branch { condition, target } => append_jump(code, &[0x0f, 0x80 + condition], at, target),
    }
}

/// Appends a jump with a distance of 32 bits. Its length.
fn append_jump(code: &mut Code, opcode: &[u8], at: u64, target: u64) -> Result<usize, Refusal> {
    let len = opcode.len() + 4;
    let distance = distance(at + len as u64, target)?;
    code.extend_from_slice(opcode);
    code.extend_from_slice(&distance.to_le_bytes());
    Ok(len)
}

/// How far it is to `target` for an instruction that is followed by the one at `next`.
fn distance(next: u64, target: u64) -> Result<i32, Refusal> {
    i32::try_from((target as i64).wrapping_sub(next as i64)).map_err(|_| Refusal::TooFar)
}
