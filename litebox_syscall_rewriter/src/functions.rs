//! Functions as a program's call frame tables name them, and the `cpuid` instructions in them.
//!
//! Nothing traps at a `cpuid`, so nothing proves that the bytes `0f a2` are one. But the tables that unwinders read
//! (`.eh_frame`) say where each function begins and ends, and compilers put no data into functions: decoding one from
//! its beginning meets every instruction of it.

use alloc::vec::Vec;

use iced_x86::{Code, Decoder, DecoderOptions};

use crate::{CodeMode, JUMP_LEN, PatchKind};

/// Bytes of a `cpuid`.
pub const CPUID: [u8; 2] = [0x0f, 0xa2];
/// First byte of `mov $value,%eax`, which is as long as a jump.
pub(crate) const LOAD_EAX: u8 = 0xb8;
/// Addresses in the tables are relative to their own place, four bytes, signed (`DW_EH_PE_pcrel | DW_EH_PE_sdata4`).
const PC_RELATIVE: u8 = 0x1b;
/// From an entry's start to the augmentation of a common one.
const AUGMENTATION_AT: usize = 9;

/// A function: its first address and its length.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Function {
    /// Its first byte.
    pub start: u64,
    /// Its bytes.
    pub len: u64,
}

impl Function {
    /// Whether it has a byte at `address`.
    pub fn contains(&self, address: u64) -> bool {
        address.wrapping_sub(self.start) < self.len
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.first_chunk::<4>().map(|b| u32::from_le_bytes(*b))
}

/// The functions that a table in `bytes`, which lie at `start`, has entries for. The table begins anywhere in them,
/// with the first common entry as compilers write it.
pub fn functions(bytes: &[u8], start: u64) -> Vec<Function> {
    let first = start.wrapping_neg() as usize % 4;
    let table = (first..bytes.len()).step_by(4).find(|at| is_common(bytes, *at));
    let mut found = Vec::new();
    let mut at = table.unwrap_or(bytes.len());
    while let (Some(len), Some(back)) = (word(bytes, at), word(bytes, at + 4)) {
        // A length of zero ends the table; one of all ones is followed by a longer one, which nobody needs.
        let Some(next) = (at + 4).checked_add(len as usize).filter(|next| len >= 12 && *next <= bytes.len()) else {
            break;
        };
        let common = (at + 4).checked_sub(back as usize).filter(|_| back != 0);
        if let (Some(_), Some(begin), Some(len)) =
            (common.filter(|at| is_common(bytes, *at)), word(bytes, at + 8), word(bytes, at + 12))
        {
            let place = start.wrapping_add(at as u64 + 8);
            found.push(Function { start: place.wrapping_add_signed(i64::from(begin as i32)), len: len.into() });
        }
        at = next;
    }
    found
}

/// Whether a common entry is at `at` whose functions' addresses are relative.
fn is_common(bytes: &[u8], at: usize) -> bool {
    let Some(augmentation) = bytes.get(at + AUGMENTATION_AT..) else { return false };
    let head = (word(bytes, at + 4), bytes.get(at + 8));
    if head != (Some(0), Some(&1)) || augmentation.first() != Some(&b'z') {
        return false;
    }
    let Some(letters) = augmentation.iter().take(8).position(|b| *b == 0) else { return false };
    // Behind it: factors of code and data, the register of the return address, the length of the augmentation's data;
    // one byte each. Then the data, in the order of the letters.
    let mut data = letters + 1 + 4;
    for letter in augmentation.get(1..letters).unwrap_or_default() {
        match letter {
            b'R' => return augmentation.get(data) == Some(&PC_RELATIVE),
            b'L' => data += 1,
            // The encoding of the personality routine's address, and that.
            b'P' => data += 1 + 4,
            b'S' => {}
            _ => return false,
        }
    }
    false
}

/// The `cpuid` instructions of a function whose `bytes` lie at `start`, and what can make room for a jump there; `None`
/// when they are not instructions all through. Those that code jumps right behind are left out, unless they are loaded
/// for.
pub fn cpuids(bytes: &[u8], start: u64, mode: CodeMode) -> Option<Vec<(u64, PatchKind)>> {
    let mut decoder = Decoder::with_ip(mode.bitness(), bytes, start, DecoderOptions::NONE);
    let (mut found, mut targets) = (Vec::new(), Vec::new());
    let mut loads = false;
    while decoder.can_decode() {
        let instruction = decoder.decode();
        if instruction.is_invalid() {
            return None;
        }
        match instruction.code() {
            Code::Cpuid => found.push((instruction.ip(), if loads { PatchKind::CpuidLoad } else { PatchKind::Cpuid })),
            _ if instruction.is_jcc_short_or_near() || instruction.is_jmp_short_or_near() => {
                targets.push(instruction.near_branch_target());
            }
            _ => {}
        }
        let at = (instruction.ip() - start) as usize;
        loads = instruction.len() == JUMP_LEN && bytes.get(at) == Some(&LOAD_EAX);
    }
    let behind = |at: u64| targets.iter().any(|target| (at + 1..at + JUMP_LEN as u64).contains(target));
    found.retain(|(at, kind)| *kind == PatchKind::CpuidLoad || !behind(*at));
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 0x40_1000;

    fn entry(bytes: &mut Vec<u8>, body: &[u8]) {
        let len = body.len().next_multiple_of(4);
        bytes.extend((len as u32).to_le_bytes());
        bytes.extend(body);
        bytes.resize(bytes.len() + len - body.len(), 0);
    }

    /// Other data, a common entry of functions with a handler, one without, and a function of each.
    fn table() -> Vec<u8> {
        let mut bytes = Vec::from([0xffu8; 24]);
        for (augmentation, function) in
            [(&b"zPLR\0\x01\x78\x10\x07\x9b\0\0\0\0\x1b\x1b"[..], 0x100i32), (b"zR\0\x01\x78\x10\x01\x1b", 0x200)]
        {
            let common = bytes.len();
            let body = [&[0, 0, 0, 0, 1], augmentation].concat();
            entry(&mut bytes, &body);
            let at = bytes.len();
            let back = (at + 4 - common) as u32;
            let begin = function - (at as i32 + 8);
            entry(&mut bytes, &[back.to_le_bytes(), begin.to_le_bytes(), 32u32.to_le_bytes()].concat());
        }
        bytes.extend([0; 4]);
        bytes
    }

    #[test]
    fn functions_are_found_in_their_table() {
        let found = functions(&table(), START);
        let expected = [0x100, 0x200].map(|at| Function { start: START + at, len: 32 });
        assert_eq!(found, expected);
        assert!(found[0].contains(START + 0x11f) && !found[0].contains(START + 0x120));
    }

    #[test]
    fn no_table_is_too_strange() {
        let good = table();
        for cut in 0..good.len() {
            assert!(functions(&good[..cut], START).len() <= 2, "cut off at {cut}");
        }
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = good.clone();
                bytes[at] = value;
                let _ = functions(&bytes, START);
                bytes[(at * 7 + 3) % good.len()] = !value;
                let _ = functions(&bytes, u64::MAX - 20);
            }
        }
    }

    #[test]
    fn only_instructions_count() {
        // mov $0xa20f0f,%eax; cpuid; ret
        let code = [0xb8, 0x0f, 0x0f, 0xa2, 0x00, 0x0f, 0xa2, 0xc3];
        assert_eq!(cpuids(&code, START, CodeMode::Long), Some(Vec::from([(START + 5, PatchKind::CpuidLoad)])));
        // nop; cpuid; nop; jmp to the cpuid, then to the nop behind it.
        let code = [0x90, 0x0f, 0xa2, 0x90, 0xeb, 0xfb];
        assert_eq!(cpuids(&code, START, CodeMode::Compat), Some(Vec::from([(START + 1, PatchKind::Cpuid)])));
        assert_eq!(cpuids(&[0x90, 0x0f, 0xa2, 0x90, 0xeb, 0xfd], START, CodeMode::Long), Some(Vec::new()));
        assert_eq!(cpuids(&code[..2], START, CodeMode::Long), None, "it ends inside an instruction");
    }
}
