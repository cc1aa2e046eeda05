//! What the bytes around a site allow.

use alloc::vec::Vec;

use iced_x86::{Code, ConditionCode, Decoder, DecoderOptions, FlowControl, Instruction, OpKind, Register};

use crate::functions::{CPUID, LOAD_EAX};
use crate::{CodeMode, JUMP_LEN, Refusal, SYSCALL_LEN};

/// A `syscall` that trapped, and the bytes around it.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// Executable bytes around it.
    pub bytes: &'a [u8],
    /// Address of the first of them.
    pub start: u64,
    /// How they are decoded.
    pub mode: CodeMode,
    /// Address of the `syscall`, or of what else makes the call.
    pub syscall: u64,
    /// `rax` when it trapped.
    pub number: u64,
    /// What [`analyse`] found when these bytes were looked at before.
    pub known: Option<PatchKind>,
}

/// Which instructions make room for the jump.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PatchKind {
    /// The load of the number before the `syscall`.
    Before,
    /// The `syscall` and instructions behind it.
    After,
    /// It is no `syscall` but a `cpuid`, which is answered from a table; instructions behind it make room.
    Cpuid,
    /// The same, and the load of `eax` before it makes room.
    CpuidLoad,
}

impl PatchKind {
    /// Whether it is a `cpuid`.
    pub fn is_cpuid(self) -> bool {
        matches!(self, Self::Cpuid | Self::CpuidLoad)
    }
    /// Whether an instruction before the site makes room.
    pub(crate) fn is_before(self) -> bool {
        matches!(self, Self::Before | Self::CpuidLoad)
    }
}

/// How a site can be patched.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(crate) mode: CodeMode,
    pub(crate) kind: PatchKind,
    pub(crate) syscall: u64,
    /// Where the jump goes.
    pub(crate) jump: u64,
    /// The instructions that the jump overwrites, as they are.
    pub(crate) original: Vec<u8>,
    /// The instructions that go into the trampoline, behind the call.
    pub(crate) moved: Vec<Moved>,
    /// Code goes on behind them.
    pub(crate) falls_through: bool,
}

impl Plan {
    /// How its code is decoded.
    pub fn mode(&self) -> CodeMode {
        self.mode
    }
    /// Which instructions make room.
    pub fn kind(&self) -> PatchKind {
        self.kind
    }
    /// Address of the `syscall`.
    pub fn syscall(&self) -> u64 {
        self.syscall
    }
    /// Where the jump goes.
    pub fn jump(&self) -> u64 {
        self.jump
    }
    /// The bytes of the instructions it overwrites, from there on. Longer than the jump when the last one is not
    /// overwritten whole.
    pub fn original(&self) -> &[u8] {
        &self.original
    }
    /// Offsets from the jump of the instruction boundaries inside it.
    pub(crate) fn inner_boundaries(&self) -> impl Iterator<Item = usize> + '_ {
        let first = if self.kind.is_before() { JUMP_LEN } else { SYSCALL_LEN };
        let rest = self.moved.iter().map(|moved| (moved.ip - self.jump) as usize);
        core::iter::once(first).chain(rest).filter(|at| *at < JUMP_LEN)
    }
}

impl Site<'_> {
    fn slice(&self, from: u64, len: usize) -> Option<&[u8]> {
        let at = usize::try_from(from.checked_sub(self.start)?).ok()?;
        self.bytes.get(at..at.checked_add(len)?)
    }
    /// What a load of `eax` had loaded: 32-bit code has no more of the register.
    fn number_in_eax(&self) -> u64 {
        match self.mode {
            CodeMode::Long => self.number,
            CodeMode::Compat => u64::from(self.number as u32),
        }
    }
    fn tail(&self, from: u64) -> &[u8] {
        let at = from.checked_sub(self.start).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.bytes.get(at..)).unwrap_or_default()
    }
}

/// How `site` can be patched, or why not.
pub fn analyse(site: &Site<'_>) -> Result<Plan, Refusal> {
    let cpuid = site.known.is_some_and(PatchKind::is_cpuid);
    let expected = if cpuid { CPUID } else { site.mode.call() };
    if site.slice(site.syscall, SYSCALL_LEN) != Some(&expected) {
        return Err(Refusal::NotSyscall);
    }
    let before = match site.known {
        Some(PatchKind::After | PatchKind::Cpuid) => None,
        Some(PatchKind::CpuidLoad) => Some(load_before(site).ok_or(Refusal::CutOff)?),
        _ => number_before(site),
    };
    match before {
        Some(original) => Ok(Plan {
            mode: site.mode,
            kind: if cpuid { PatchKind::CpuidLoad } else { PatchKind::Before },
            syscall: site.syscall,
            jump: site.syscall - original.len() as u64,
            original,
            moved: Vec::new(),
            falls_through: true,
        }),
        None => instructions_after(site),
    }
}

/// `mov $leaf,%eax`, which is known to be an instruction.
fn load_before(site: &Site<'_>) -> Option<Vec<u8>> {
    let load = site.slice(site.syscall.checked_sub(JUMP_LEN as u64)?, JUMP_LEN)?;
    load.starts_with(&[LOAD_EAX]).then(|| load.to_vec())
}

/// The instruction before the site, if it is the load of the number.
fn number_before(site: &Site<'_>) -> Option<Vec<u8>> {
    let long = site.syscall.checked_sub(7).and_then(|at| site.slice(at, 7));
    let short = site.syscall.checked_sub(5).and_then(|at| site.slice(at, 5));
    let immediate = |bytes: &[u8]| bytes.last_chunk::<4>().map(|b| i32::from_le_bytes(*b));
    let candidates = [
        // mov $nr,%rax: the number is sign-extended.
        long.filter(|b| site.mode == CodeMode::Long && b.starts_with(&[0x48, 0xc7, 0xc0]))
            .filter(|b| immediate(b).is_some_and(|n| i64::from(n) as u64 == site.number)),
        // mov $nr,%eax: it is zero-extended.
        short
            .filter(|b| b.starts_with(&[0xb8]))
            .filter(|b| immediate(b).is_some_and(|n| u64::from(n as u32) == site.number_in_eax())),
    ];
    let sure = |address: u64| site.known == Some(PatchKind::Before) || starts_instruction(site, address);
    let found = candidates.into_iter().flatten().find(|b| sure(site.syscall - b.len() as u64))?;
    Some(found.to_vec())
}

/// Whether code before `address` decodes to an instruction that starts there. Decoding from a wrong place falls into
/// step with the true instructions soon, so most of many starting points agree on the truth.
fn starts_instruction(site: &Site<'_>, address: u64) -> bool {
    const FARTHEST: usize = 80;
    const NEAREST: usize = 16;
    let available = address.saturating_sub(site.start).min(FARTHEST as u64) as usize;
    let nearest = if available > 2 * NEAREST { NEAREST } else { 1 };
    let mut decoder = Decoder::new(site.mode.bitness(), site.tail(address - available as u64), DecoderOptions::NONE);
    let mut instruction = Instruction::default();
    // Where decoding leads from each distance before the address: there, past it, or to bytes that are no instruction.
    // It is known for all that is nearer, so one instruction tells.
    let mut leads = [Some(true); FARTHEST + 1];
    let (mut votes, mut agreeing) = (0u32, 0u32);
    for distance in 1..=available {
        if decoder.set_position(available - distance).is_err() {
            return false;
        }
        decoder.decode_out(&mut instruction);
        let nearer = if instruction.is_invalid() {
            None
        } else {
            distance.checked_sub(instruction.len()).map_or(Some(false), |left| leads.get(left).copied().flatten())
        };
        if let Some(slot) = leads.get_mut(distance) {
            *slot = nearer;
        }
        if distance >= nearest {
            votes += u32::from(nearer.is_some());
            agreeing += u32::from(nearer == Some(true));
        }
    }
    // Nothing before it: code begins here.
    agreeing * 3 >= votes * 2
}

fn instructions_after(site: &Site<'_>) -> Result<Plan, Refusal> {
    let mut at = site.syscall + SYSCALL_LEN as u64;
    let end = site.syscall + JUMP_LEN as u64;
    let mut moved = Vec::new();
    let (mut ended, mut falls_through) = (false, true);
    while at < end {
        let bytes = site.tail(at);
        if bytes.is_empty() {
            return Err(Refusal::CutOff);
        }
        let mut decoder = Decoder::with_ip(site.mode.bitness(), bytes, at, DecoderOptions::NONE);
        let instruction = decoder.decode();
        if instruction.is_invalid() {
            // No instruction is longer than 15 bytes.
            return Err(if bytes.len() < 15 { Refusal::CutOff } else { Refusal::Undecodable });
        }
        if ended && !is_padding(&instruction) {
            return Err(Refusal::EndsEarly);
        }
        match flow(&instruction) {
            Flow::On => {}
            Flow::Away => ended = true,
            Flow::Stays if ended => {}
            Flow::Stays => return Err(Refusal::Unmovable),
        }
        // Padding does, should somebody jump there.
        falls_through = !matches!(flow(&instruction), Flow::Away);
        at = instruction.next_ip();
        moved.push(Moved::of(&instruction, decoder.get_constant_offsets(&instruction).displacement_offset())?);
    }
    let len = (at - site.syscall) as usize;
    let original = site.slice(site.syscall, len).ok_or(Refusal::CutOff)?.to_vec();
    let kind = if site.known == Some(PatchKind::Cpuid) { PatchKind::Cpuid } else { PatchKind::After };
    let syscall = site.syscall;
    Ok(Plan { mode: site.mode, kind, syscall, jump: syscall, original, moved, falls_through })
}

/// An instruction that goes to the trampoline.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Moved {
    /// Its address.
    pub(crate) ip: u64,
    /// Its bytes.
    pub(crate) len: usize,
    /// What of it depends on where it lies.
    pub(crate) dependence: Dependence,
}

/// What of an instruction depends on where it lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Dependence {
    /// Nothing.
    Anywhere,
    /// It names memory by its distance, in the four bytes at `offset`.
    Memory {
        /// From the instruction's first byte.
        offset: usize,
        /// The address it names.
        target: u64,
    },
    /// It jumps there.
    Jump(u64),
    /// It jumps there on a condition, which is numbered as in the instruction.
    Branch {
        /// 0 to 15.
        condition: u8,
        /// Where to.
        target: u64,
    },
}

impl Moved {
    fn of(instruction: &Instruction, displacement: usize) -> Result<Self, Refusal> {
        let dependence = if instruction.is_ip_rel_memory_operand() {
            // Addressed by EIP: wraps at 4 GiB.
            if instruction.memory_base() != Register::RIP {
                return Err(Refusal::Unmovable);
            }
            Dependence::Memory { offset: displacement, target: instruction.ip_rel_memory_address() }
        } else if instruction.is_jmp_short_or_near() || instruction.is_jcc_short_or_near() {
            // With a prefix for 16 bits, processors differ.
            if !matches!(instruction.op0_kind(), OpKind::NearBranch64 | OpKind::NearBranch32) {
                return Err(Refusal::Unmovable);
            }
            let target = instruction.near_branch_target();
            match instruction.condition_code() {
                ConditionCode::None => Dependence::Jump(target),
                condition => Dependence::Branch { condition: condition as u8 - 1, target },
            }
        } else {
            Dependence::Anywhere
        };
        Ok(Self { ip: instruction.ip(), len: instruction.len(), dependence })
    }

    /// Where the next instruction is.
    pub(crate) fn next_ip(&self) -> u64 {
        self.ip + self.len as u64
    }
}

/// Where control goes from an instruction, and whether the instruction may be moved.
enum Flow {
    /// To the next, or as well.
    On,
    /// Never to the next.
    Away,
    /// It may not be moved.
    Stays,
}

fn flow(instruction: &Instruction) -> Flow {
    match instruction.flow_control() {
        // Its length says how far RIP is; nothing else of an ordinary instruction depends on its place.
        FlowControl::Next if !matches!(instruction.code(), Code::Hlt) => Flow::On,
        FlowControl::ConditionalBranch if instruction.is_jcc_short_or_near() => Flow::On,
        FlowControl::UnconditionalBranch if instruction.is_jmp_short_or_near() => Flow::Away,
        FlowControl::IndirectBranch if instruction.is_jmp_near_indirect() => Flow::Away,
        FlowControl::Return if is_plain_return(instruction.code()) => Flow::Away,
        _ => Flow::Stays,
    }
}

/// A near return of the code's own width.
fn is_plain_return(code: Code) -> bool {
    matches!(code, Code::Retnq | Code::Retnq_imm16 | Code::Retnd | Code::Retnd_imm16)
}

/// What compilers put between functions.
fn is_padding(instruction: &Instruction) -> bool {
    // Of 32-bit code: a register is loaded with itself.
    let itself = instruction.code() == Code::Lea_r32_m
        && instruction.memory_base() == instruction.op0_register()
        && instruction.memory_index() == Register::None
        && instruction.memory_displacement64() == 0;
    let nop = matches!(
        instruction.code(),
        Code::Nopw | Code::Nopd | Code::Nopq | Code::Nop_rm16 | Code::Nop_rm32 | Code::Nop_rm64 | Code::Int3
    );
    itself || nop && instruction.memory_base() != Register::RIP
}
