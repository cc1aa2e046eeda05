//! Where a trampoline may lie: in reach of the jump, and so that overwritten instruction boundaries read as opcodes
//! that raise an exception.

use core::ops::RangeInclusive;

use crate::analysis::Plan;
use crate::{CodeMode, JUMP_LEN, Refusal};

/// First bytes that are no instruction in 64-bit mode, on any processor: `#UD` at their own address. Bytes that became
/// prefixes of newer instructions (62, c4, c5, d5) are not among them.
pub const INVALID_OPCODES: [u8; 19] =
    [0x06, 0x07, 0x0e, 0x16, 0x17, 0x1e, 0x1f, 0x27, 0x2f, 0x37, 0x3f, 0x60, 0x61, 0x82, 0x9a, 0xce, 0xd4, 0xd6, 0xea];

/// First bytes of instructions that 32-bit code of programs may not execute: input, output, `hlt`, `cli`, `sti` raise
/// `#GP` at their own address, whatever follows. All other bytes are, or begin, instructions there.
pub const PRIVILEGED_OPCODES: [u8; 15] =
    [0x6c, 0x6d, 0x6e, 0x6f, 0xe4, 0xe5, 0xe6, 0xe7, 0xec, 0xed, 0xee, 0xef, 0xf4, 0xfa, 0xfb];

/// Opcodes by byte.
const fn by_byte(opcodes: &[u8]) -> [bool; 256] {
    let mut found = [false; 256];
    let mut i = 0;
    while i < opcodes.len() {
        found[opcodes[i] as usize] = true;
        i += 1;
    }
    found
}
const INVALID: [bool; 256] = by_byte(&INVALID_OPCODES);
const PRIVILEGED: [bool; 256] = by_byte(&PRIVILEGED_OPCODES);

/// Bytes of a distance that have to be opcodes that raise an exception: the lowest is the first.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Wanted {
    bytes: [bool; 4],
    opcodes: &'static [bool; 256],
}

/// Distances stay this far below 2 GiB, so that what a trampoline refers to is in reach, too.
const REACH: i64 = (1 << 31) - (1 << 24);
/// Addresses of one value of the upper half of the jump's distance.
const STRETCH: i64 = 1 << 16;
/// Stretches of one value of its highest byte.
const GROUP: i64 = 1 << 8;
/// Addresses of one value of all its bytes but the lowest.
const WINDOW: i64 = 1 << 8;

/// Whether the distance is in reach, and its bytes from number `from` on are such opcodes where that is wanted.
fn suits(distance: i64, wanted: Wanted, from: usize) -> bool {
    let bytes = (distance as i32).to_le_bytes();
    let is_one = |byte: &u8| wanted.opcodes[usize::from(*byte)];
    distance.abs() <= REACH && bytes.iter().zip(wanted.bytes).skip(from).all(|(byte, wanted)| !wanted || is_one(byte))
}

impl Plan {
    fn origin(&self) -> i64 {
        (self.jump + JUMP_LEN as u64) as i64
    }

    /// Which bytes of the distance must be opcodes that raise an exception. Byte `n` of the distance is byte `n + 1` of
    /// the jump.
    fn constrained(&self) -> Wanted {
        let mut bytes = [false; 4];
        for at in self.inner_boundaries() {
            if let Some(byte) = at.checked_sub(1).and_then(|n| bytes.get_mut(n)) {
                *byte = true;
            }
        }
        let opcodes = match self.mode {
            CodeMode::Long => &INVALID,
            CodeMode::Compat => &PRIVILEGED,
        };
        Wanted { bytes, opcodes }
    }

    /// Whether the trampoline may lie at `address`.
    pub fn allows(&self, address: u64) -> bool {
        suits((address as i64).wrapping_sub(self.origin()), self.constrained(), 0)
    }

    /// The ranges of addresses in `[low, high]` where the trampoline may begin, ascending.
    pub fn windows(&self, low: u64, high: u64) -> impl Iterator<Item = RangeInclusive<u64>> + '_ {
        let clip = |address: u64| (address as i64).saturating_sub(self.origin()).clamp(-REACH, REACH);
        let (low, high) = (clip(low), clip(high));
        let wanted = self.constrained();
        let free = wanted.bytes == [false; 4];
        let whole = (free && low <= high).then_some((low, high));
        let stretches = low.div_euclid(STRETCH)..=high.div_euclid(STRETCH);
        let suitable = move |stretch: &i64| suits((stretch * STRETCH).clamp(low, high), wanted, 2);
        let stretches = (!free).then_some(stretches).into_iter().flatten().filter(suitable);
        let blocks =
            stretches.flat_map(|stretch| (stretch * STRETCH..(stretch + 1) * STRETCH).step_by(WINDOW as usize));
        let pieces = blocks.filter_map(move |start| {
            let (from, to) = (start.max(low), (start + WINDOW - 1).min(high));
            (from <= to && suits(from, wanted, 1)).then_some((from, to))
        });
        let address = |distance: i64| self.origin().wrapping_add(distance) as u64;
        whole.into_iter().chain(pieces).map(move |(from, to)| address(from)..=address(to))
    }

    /// Stretches of 64 KiB in which [`Plan::windows`] finds something: those below, then those above, the nearest
    /// first; none nearer than `below` or `above` bytes.
    pub fn stretches(&self, below: u64, above: u64) -> impl Iterator<Item = RangeInclusive<u64>> + '_ {
        let number = |keep: u64| i64::try_from(keep).unwrap_or(REACH).div_euclid(STRETCH) + 1;
        let farthest = REACH / STRETCH - 1;
        // Nothing lies below address zero.
        let lowest = farthest.min(self.origin() / STRETCH);
        let below = self.side(-1, number(below), lowest);
        below.chain(self.side(1, number(above), farthest)).filter_map(|distance| {
            let start = self.origin().checked_add(distance).filter(|start| *start > 0)?;
            Some(start as u64..=(start + STRETCH - 1) as u64)
        })
    }

    /// Distances of stretches of one side (`sign`), from number `nearest` to number `farthest`.
    fn side(&self, sign: i64, nearest: i64, farthest: i64) -> impl Iterator<Item = i64> + '_ {
        let wanted = self.constrained();
        // Numbers of stretches that agree in all but the lowest byte: the highest byte of the distance is the same, or
        // one less below.
        let highest = move |n: i64| [sign * n * STRETCH, sign * n * STRETCH - 1];
        let groups = (nearest.div_euclid(GROUP)..=farthest.div_euclid(GROUP)).map(|group| group * GROUP);
        let groups = groups.filter(move |first| highest(*first).iter().any(|distance| suits(*distance, wanted, 3)));
        let numbers = groups.flat_map(move |first| first.max(nearest)..=(first + GROUP - 1).min(farthest));
        numbers.map(move |n| sign * n * STRETCH).filter(move |distance| suits(*distance, wanted, 2))
    }

    /// The jump to a trampoline at `address`.
    pub(crate) fn jump_to(&self, address: u64) -> Result<[u8; JUMP_LEN], Refusal> {
        if !self.allows(address) {
            return Err(Refusal::TooFar);
        }
        let [a, b, c, d] = ((address as i64).wrapping_sub(self.origin()) as i32).to_le_bytes();
        Ok([0xe9, a, b, c, d])
    }
}
