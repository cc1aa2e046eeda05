//! Classic BPF as filters of calls have it: checked once, as the kernel checks it, then run.
//!
//! A program that passed the check only jumps forward, reads words inside of its input and cells of its memory that it
//! has written before, and ends with a result. See the kernel's `Documentation/networking/filter.rst`.

use alloc::vec::Vec;

use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The most instructions that a program has (`BPF_MAXINSNS`).
pub const MOST_INSTRUCTIONS: usize = 4096;
/// 32-bit words of the input, `struct seccomp_data`.
pub const INPUT_WORDS: usize = 16;
/// Cells of a program's memory (`BPF_MEMWORDS`).
const CELLS: usize = 16;

/// Classes of instructions, the low three bits of a code.
mod class {
    pub const LD: u16 = 0;
    pub const LDX: u16 = 1;
    pub const ST: u16 = 2;
    pub const STX: u16 = 3;
    pub const ALU: u16 = 4;
    pub const JMP: u16 = 5;
    pub const RET: u16 = 6;
    pub const MISC: u16 = 7;
}

/// The other bits of a code: what is loaded, what is done, by which operand.
mod bits {
    pub const IMM: u16 = 0x00;
    pub const ABS: u16 = 0x20;
    pub const MEM: u16 = 0x60;
    pub const LEN: u16 = 0x80;
    pub const X: u16 = 0x08;
    pub const A: u16 = 0x10;
    pub const TAX: u16 = 0x00;
    pub const TXA: u16 = 0x80;
    pub const NEG: u16 = 0x80;
    pub const JA: u16 = 0x00;
}

/// `struct sock_filter`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Instruction {
    /// What is done.
    pub code: u16,
    /// Instructions to skip when a comparison holds.
    pub jt: u8,
    /// And when it does not.
    pub jf: u8,
    /// A number, for whatever it is good.
    pub k: u32,
}

impl Instruction {
    /// Loads the word of the input at this offset in bytes.
    pub const fn load(offset: u32) -> Self {
        Self { code: class::LD | bits::ABS, jt: 0, jf: 0, k: offset }
    }
    /// Keeps these bits of the accumulator.
    pub const fn and(mask: u32) -> Self {
        Self { code: class::ALU | 0x50, jt: 0, jf: 0, k: mask }
    }
    /// Compares the accumulator with a number, and skips as many instructions as `jt` or `jf` say.
    pub const fn branch(compare: Compare, k: u32, jt: u8, jf: u8) -> Self {
        Self { code: class::JMP | compare as u16, jt, jf, k }
    }
    /// Skips as many instructions.
    pub const fn jump(skip: u32) -> Self {
        Self { code: class::JMP | bits::JA, jt: 0, jf: 0, k: skip }
    }
    /// Ends with this result.
    pub const fn ret(result: u32) -> Self {
        Self { code: class::RET, jt: 0, jf: 0, k: result }
    }
}

/// Comparisons of the accumulator with an operand, by their bits in a code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
pub enum Compare {
    /// They are equal.
    Equal = 0x10,
    /// It is greater.
    Greater = 0x20,
    /// It is greater or equal.
    GreaterOrEqual = 0x30,
    /// They have bits in common.
    AnyBit = 0x40,
}

/// Arithmetic on the accumulator, by its bits in a code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u16)]
enum Operation {
    Add = 0x00,
    Subtract = 0x10,
    Multiply = 0x20,
    Divide = 0x30,
    Or = 0x40,
    And = 0x50,
    ShiftLeft = 0x60,
    ShiftRight = 0x70,
    Xor = 0xa0,
}

/// The second operand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Operand {
    Number(u32),
    Index,
}

/// A checked instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Op {
    /// A word of the input.
    LoadInput(u8),
    LoadNumber(u32),
    LoadCell(u8),
    LoadIndexNumber(u32),
    LoadIndexCell(u8),
    Store(u8),
    StoreIndex(u8),
    Arithmetic(Operation, Operand),
    Negate,
    ToIndex,
    FromIndex,
    Jump(u16),
    Branch(Compare, Operand, u8, u8),
    Return(u32),
    ReturnAccumulator,
}

/// A program is none (`EINVAL`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Invalid;

/// A checked program.
#[derive(Debug)]
pub struct Program {
    ops: Vec<Op>,
    kernel_len: usize,
}

fn cell(k: u32) -> Result<u8, Invalid> {
    if (k as usize) < CELLS { Ok(k as u8) } else { Err(Invalid) }
}

fn compare(code: u16) -> Option<Compare> {
    [Compare::Equal, Compare::Greater, Compare::GreaterOrEqual, Compare::AnyBit]
        .into_iter()
        .find(|compare| *compare as u16 == code)
}

fn operation(code: u16) -> Option<Operation> {
    use Operation::{Add, And, Divide, Multiply, Or, ShiftLeft, ShiftRight, Subtract, Xor};
    [Add, Subtract, Multiply, Divide, Or, And, ShiftLeft, ShiftRight, Xor].into_iter().find(|op| *op as u16 == code)
}

impl Op {
    /// What an instruction is, if filters of calls have it. Whether its jumps lead somewhere is not looked at.
    fn of(instruction: Instruction) -> Result<Self, Invalid> {
        const INPUT_BYTES: u32 = 4 * INPUT_WORDS as u32;
        let Instruction { code, k, jt, jf } = instruction;
        let rest = code & !7;
        let operand = if rest & bits::X == 0 { Operand::Number(k) } else { Operand::Index };
        let what = rest & !bits::X;
        Ok(match (code & 7, rest) {
            (class::LD, bits::ABS) if k < INPUT_BYTES && k % 4 == 0 => Self::LoadInput((k / 4) as u8),
            (class::LD, bits::IMM) => Self::LoadNumber(k),
            (class::LD, bits::LEN) => Self::LoadNumber(INPUT_BYTES),
            (class::LD, bits::MEM) => Self::LoadCell(cell(k)?),
            (class::LDX, bits::IMM) => Self::LoadIndexNumber(k),
            (class::LDX, bits::LEN) => Self::LoadIndexNumber(INPUT_BYTES),
            (class::LDX, bits::MEM) => Self::LoadIndexCell(cell(k)?),
            (class::ST, 0) => Self::Store(cell(k)?),
            (class::STX, 0) => Self::StoreIndex(cell(k)?),
            (class::ALU, bits::NEG) => Self::Negate,
            (class::ALU, _) => match (operation(what).ok_or(Invalid)?, operand) {
                (Operation::Divide, Operand::Number(0))
                | (Operation::ShiftLeft | Operation::ShiftRight, Operand::Number(32..)) => return Err(Invalid),
                (operation, operand) => Self::Arithmetic(operation, operand),
            },
            (class::JMP, bits::JA) => Self::Jump(u16::try_from(k).map_err(|_| Invalid)?),
            (class::JMP, _) => Self::Branch(compare(what).ok_or(Invalid)?, operand, jt, jf),
            (class::RET, 0) => Self::Return(k),
            (class::RET, bits::A) => Self::ReturnAccumulator,
            (class::MISC, bits::TAX) => Self::ToIndex,
            (class::MISC, bits::TXA) => Self::FromIndex,
            _ => return Err(Invalid),
        })
    }

    /// How many instructions of its own a Linux kernel makes of it. That is what it counts when it limits the programs
    /// of a task together.
    fn kernel_len(self) -> usize {
        match self {
            Self::Return(_) => 2,
            Self::Arithmetic(Operation::Divide, Operand::Index) => 5,
            Self::Branch(compare, operand, jt, jf) => {
                let wide = matches!(operand, Operand::Number(k) if k > i32::MAX as u32);
                let plain = jf == 0 || jt == 0 && compare != Compare::AnyBit;
                usize::from(wide) + if plain { 1 } else { 2 }
            }
            _ => 1,
        }
    }
}

/// The cells that have been written wherever a program can come from: one bit for each.
#[derive(Clone, Copy)]
struct Written(u16);

impl Written {
    const ALL: Self = Self(u16::MAX);

    fn has(self, cell: u8) -> bool {
        self.0 >> cell & 1 != 0
    }
    fn with(self, cell: u8) -> Self {
        Self(self.0 | 1 << cell)
    }
}

/// Checks that no cell is read before it was written, and that every jump stays inside. `reached` has an entry for each
/// instruction.
fn check_flow(ops: &[Op], reached: &mut [Written]) -> Result<(), Invalid> {
    let mut written = Written(0);
    for (at, op) in ops.iter().enumerate() {
        written.0 &= reached.get(at).ok_or(Invalid)?.0;
        let mut lead = |skip: usize, written: Written| {
            let target = reached.get_mut(at + 1 + skip).ok_or(Invalid)?;
            target.0 &= written.0;
            Ok(())
        };
        match *op {
            Op::LoadCell(cell) | Op::LoadIndexCell(cell) if !written.has(cell) => return Err(Invalid),
            Op::Store(cell) | Op::StoreIndex(cell) => written = written.with(cell),
            Op::Jump(skip) => {
                lead(skip.into(), written)?;
                written = Written::ALL;
            }
            Op::Branch(_, _, jt, jf) => {
                lead(jt.into(), written)?;
                lead(jf.into(), written)?;
                written = Written::ALL;
            }
            _ => {}
        }
    }
    Ok(())
}

impl Program {
    /// Checks a program. `None`: there is no memory for it.
    pub fn new(instructions: &[Instruction]) -> Option<Result<Self, Invalid>> {
        if instructions.is_empty() || instructions.len() > MOST_INSTRUCTIONS {
            return Some(Err(Invalid));
        }
        let (mut ops, mut reached) = (Vec::new(), Vec::new());
        ops.try_reserve_exact(instructions.len()).ok()?;
        reached.try_reserve_exact(instructions.len()).ok()?;
        for instruction in instructions {
            match Op::of(*instruction) {
                Ok(op) => ops.push(op),
                Err(invalid) => return Some(Err(invalid)),
            }
        }
        reached.resize(ops.len(), Written::ALL);
        let ends = matches!(ops.last(), Some(Op::Return(_) | Op::ReturnAccumulator));
        if !ends || check_flow(&ops, &mut reached).is_err() {
            return Some(Err(Invalid));
        }
        /// What a kernel puts before each program.
        const PROLOGUE: usize = 3;
        let kernel_len = PROLOGUE + ops.iter().map(|op| op.kernel_len()).sum::<usize>();
        Some(Ok(Self { ops, kernel_len }))
    }

    /// Its length as a Linux kernel counts it.
    pub fn kernel_len(&self) -> usize {
        self.kernel_len
    }

    /// Its result for an input.
    pub fn run(&self, input: &[u32; INPUT_WORDS]) -> u32 {
        // All words are there.
        self.run_with(|word| input.get(usize::from(word)).copied()).unwrap_or(0)
    }

    /// Its result where `load` knows all words that it reads; else `None`.
    pub fn run_with(&self, load: impl Fn(u8) -> Option<u32>) -> Option<u32> {
        let (mut a, mut x, mut cells, mut at) = (0u32, 0u32, [0u32; CELLS], 0usize);
        // Every step leads forward.
        while let Some(op) = self.ops.get(at) {
            at += 1;
            let of = |operand| match operand {
                Operand::Number(k) => k,
                Operand::Index => x,
            };
            let cell = |cell: u8| cells.get(usize::from(cell)).copied().unwrap_or(0);
            match *op {
                Op::LoadInput(word) => a = load(word)?,
                Op::LoadNumber(k) => a = k,
                Op::LoadCell(from) => a = cell(from),
                Op::LoadIndexNumber(k) => x = k,
                Op::LoadIndexCell(from) => x = cell(from),
                Op::Store(to) => put(&mut cells, to, a),
                Op::StoreIndex(to) => put(&mut cells, to, x),
                Op::Arithmetic(operation, operand) => match operation.apply(a, of(operand)) {
                    Some(result) => a = result,
                    // Divided by zero: that is the result of the program.
                    None => return Some(0),
                },
                Op::Negate => a = a.wrapping_neg(),
                Op::ToIndex => x = a,
                Op::FromIndex => a = x,
                Op::Jump(skip) => at += usize::from(skip),
                Op::Branch(compare, operand, jt, jf) => {
                    at += usize::from(if compare.holds(a, of(operand)) { jt } else { jf });
                }
                Op::Return(k) => return Some(k),
                Op::ReturnAccumulator => return Some(a),
            }
        }
        // The last instruction returns.
        Some(0)
    }
}

fn put(cells: &mut [u32; CELLS], at: u8, value: u32) {
    if let Some(cell) = cells.get_mut(usize::from(at)) {
        *cell = value;
    }
}

impl Compare {
    fn holds(self, a: u32, b: u32) -> bool {
        match self {
            Self::Equal => a == b,
            Self::Greater => a > b,
            Self::GreaterOrEqual => a >= b,
            Self::AnyBit => a & b != 0,
        }
    }
}

impl Operation {
    /// `None`: there is no result.
    fn apply(self, a: u32, b: u32) -> Option<u32> {
        Some(match self {
            Self::Add => a.wrapping_add(b),
            Self::Subtract => a.wrapping_sub(b),
            Self::Multiply => a.wrapping_mul(b),
            Self::Divide => a.checked_div(b)?,
            Self::Or => a | b,
            Self::And => a & b,
            // Of the number of bits, the low five bits count.
            Self::ShiftLeft => a.wrapping_shl(b),
            Self::ShiftRight => a.wrapping_shr(b),
            Self::Xor => a ^ b,
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    const fn plain(code: u16, k: u32) -> Instruction {
        Instruction { code, jt: 0, jf: 0, k }
    }
    const RET_A: Instruction = plain(0x16, 0);

    fn check(instructions: &[Instruction]) -> Option<Program> {
        Program::new(instructions)?.ok()
    }
    fn result(instructions: &[Instruction]) -> Option<u32> {
        Some(check(instructions)?.run(&core::array::from_fn(|word| 0x100 + word as u32)))
    }

    #[test]
    fn lengths_ends_and_codes_are_checked() {
        assert!(check(&[]).is_none());
        assert!(check(&vec![Instruction::ret(0); MOST_INSTRUCTIONS]).is_some());
        assert!(check(&vec![Instruction::ret(0); MOST_INSTRUCTIONS + 1]).is_none());
        assert!(check(&[Instruction::load(0)]).is_none());
        // A return without a result, modulo, loads of bytes and of packets: filters of calls have none.
        for code in [0x0e, 0x1e, 0x94, 0x9c, 0x28, 0x30, 0x40, 0x48, 0xb1, 0x87 | 0x40, 0x8c, 0x62, 0x0d] {
            assert!(check(&[plain(code, 0), RET_A]).is_none(), "{code:#x}");
        }
        for (code, k) in [(0x34, 0), (0x64, 32), (0x74, 33), (0x60, 16), (0x02, 16), (0x03, 16), (0x61, 16)] {
            assert!(check(&[plain(code, k), RET_A]).is_none(), "{code:#x} {k}");
        }
    }

    #[test]
    fn loads_are_aligned_and_inside() {
        for offset in 0..200 {
            assert_eq!(
                check(&[Instruction::load(offset), RET_A]).is_some(),
                offset < 64 && offset % 4 == 0,
                "{offset}"
            );
        }
        assert!(check(&[Instruction::load(u32::MAX - 3), RET_A]).is_none());
        assert_eq!(result(&[Instruction::load(60), RET_A]), Some(0x10f));
        assert_eq!(result(&[plain(0x80, 9), RET_A]), Some(64));
    }

    #[test]
    fn jumps_stay_inside() {
        assert!(check(&[Instruction::jump(0), RET_A]).is_some());
        assert!(check(&[Instruction::jump(1), RET_A]).is_none());
        assert!(check(&[Instruction::jump(u32::MAX), RET_A]).is_none());
        assert!(check(&[Instruction::branch(Compare::Equal, 0, 0, 1), RET_A]).is_none());
        assert!(check(&[Instruction::branch(Compare::Equal, 0, 1, 0), RET_A]).is_none());
        let taken = [Instruction::branch(Compare::Greater, 5, 1, 0), Instruction::ret(1), Instruction::ret(2)];
        assert_eq!(result(&taken), Some(1));
        let second = [
            Instruction::load(0),
            Instruction::branch(Compare::AnyBit, 0x100, 1, 0),
            Instruction::ret(1),
            Instruction::ret(2),
        ];
        assert_eq!(result(&second), Some(2));
    }

    #[test]
    fn no_cell_is_read_that_may_not_be_written() {
        assert!(check(&[plain(0x60, 3), RET_A]).is_none());
        assert_eq!(result(&[plain(0x00, 7), plain(0x02, 3), plain(0x00, 1), plain(0x60, 3), RET_A]), Some(7));
        // Written on one way of two.
        let one = [Instruction::branch(Compare::Equal, 0, 1, 0), plain(0x02, 3), plain(0x60, 3), RET_A];
        assert!(check(&one).is_none());
        let both = [
            Instruction::branch(Compare::Equal, 0, 2, 0),
            plain(0x02, 3),
            Instruction::jump(1),
            plain(0x03, 3),
            plain(0x60, 3),
            RET_A,
        ];
        assert!(check(&both).is_some());
    }

    #[test]
    fn arithmetic_is_that_of_32_bits() {
        let with = |code: u16, a: u32, x: u32| result(&[plain(0x00, a), plain(0x01, x), plain(code, 0), RET_A]);
        assert_eq!(with(0x0c, u32::MAX, 2), Some(1));
        assert_eq!(with(0x1c, 1, 2), Some(u32::MAX));
        assert_eq!(with(0x2c, 0x8000_0001, 2), Some(2));
        assert_eq!(with(0x3c, 7, 2), Some(3));
        assert_eq!(with(0x6c, 1, 33), Some(2));
        assert_eq!(with(0x7c, 0x8000_0000, 63), Some(1));
        assert_eq!(with(0xac, 6, 3), Some(5));
        assert_eq!(result(&[plain(0x00, 1), plain(0x84, 0), RET_A]), Some(u32::MAX));
        // A division by zero ends the program with zero, whatever comes behind it.
        assert_eq!(result(&[plain(0x00, 7), plain(0x3c, 0), Instruction::ret(5)]), Some(0));
    }

    /// As the fuzz target `filters`: programs of likely codes are none, or end with what they may read.
    #[test]
    fn any_program_is_none_or_ends() {
        const CODES: [u16; 16] =
            [0x20, 0x00, 0x01, 0x60, 0x61, 0x02, 0x03, 0x04, 0x3c, 0x6c, 0x05, 0x15, 0x1d, 0x45, 0x06, 0x16];
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut programs = 0;
        for _ in 0..20_000 {
            let len = 1 + next() as usize % 8;
            let mut code = vec![RET_A; len];
            for instruction in &mut code[..len - 1] {
                let bits = next();
                let k = (bits >> 8) as u32 % 20;
                let (jt, jf) = ((bits >> 40) as u8 % 5, (bits >> 48) as u8 % 5);
                *instruction = Instruction { code: CODES[bits as usize % CODES.len()], jt, jf, k };
            }
            if let Some(program) = check(&code) {
                programs += 1;
                let input = core::array::from_fn(|_| next() as u32);
                assert_eq!(program.run_with(|word| Some(input[usize::from(word)])), Some(program.run(&input)));
            }
        }
        assert!(programs > 1000, "{programs}");
    }

    #[test]
    fn an_unknown_word_is_no_result() {
        let first = |code: &[Instruction]| check(code).map(|program| program.run_with(|word| (word == 0).then_some(9)));
        assert_eq!(first(&[Instruction::load(0), Instruction::load(16), RET_A]), Some(None));
        assert_eq!(first(&[Instruction::load(0), RET_A]), Some(Some(9)));
    }
}
