//! The floating-point registers as `fsave` leaves them (`struct _fpstate` of 32-bit programs), from an xsave area and
//! back.

use crate::user::word;

/// Length of the image with its status word and what tells whether more follows.
pub(super) const FSAVE: usize = 112;
/// Where an xsave area of a frame says how long all of it is.
pub(super) const EXTENDED_SIZE: usize = 468;

/// Offsets in an fxsave area.
const CONTROL: usize = 0;
const STATUS: usize = 2;
const TAGS: usize = 4;
const OPCODE: usize = 6;
const INSTRUCTION: usize = 8;
const OPERAND: usize = 16;
const REGISTERS: usize = 32;
const REGISTER_ROOM: usize = 16;
/// Where the components that are not in their initial state are named: x87 and SSE.
const PRESENT: usize = 512;
const X87_AND_SSE: u8 = 3;

/// Indices of the words of the older image.
const OLD_CONTROL: usize = 0;
const OLD_STATUS: usize = 1;
const OLD_TAGS: usize = 2;
const OLD_INSTRUCTION: usize = 3;
const OLD_CODE: usize = 4;
const OLD_OPERAND: usize = 5;
const OLD_REGISTERS: usize = 28;
const REGISTER: usize = 10;
const OLD_END: usize = OLD_REGISTERS + 8 * REGISTER;

/// The unused halves of words of the older image.
const UNUSED: u32 = 0xffff_0000;

/// What the xsave area of a 32-bit program's frame says of its length: the older image counts.
pub(super) fn extended_size(fp: &[u8]) -> u32 {
    u32::from_le_bytes(word(fp, EXTENDED_SIZE)).wrapping_add(FSAVE as u32)
}

/// The older image of what is in an xsave area. `code` and `data` are the selectors of the interrupted code.
pub(super) fn of(fp: &[u8], code: u32, data: u32) -> [u8; FSAVE] {
    let half = |at| u32::from(u16::from_le_bytes(word(fp, at)));
    let full = |at| u32::from_le_bytes(word(fp, at));
    let words = [
        half(CONTROL) | UNUSED,
        half(STATUS) | UNUSED,
        full_tags(fp) | UNUSED,
        full(INSTRUCTION),
        code,
        full(OPERAND),
        data | UNUSED,
    ];
    let mut raw = [0u8; FSAVE];
    for (to, word) in raw.chunks_exact_mut(4).zip(words) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    for (to, from) in registers_mut(&mut raw, OLD_REGISTERS, REGISTER).zip(registers(fp, REGISTERS, REGISTER_ROOM)) {
        to.copy_from_slice(from);
    }
    // The status again; zeros behind it say that the newer image follows.
    let status: [u8; 2] = word(fp, STATUS);
    if let Some(to) = raw.get_mut(OLD_END..OLD_END + 2) {
        to.copy_from_slice(&status);
    }
    raw
}

/// Puts what the older image says into an xsave area.
pub(super) fn put_into(fp: &mut [u8], old: &[u8; FSAVE]) {
    let get = |index: usize| u32::from_le_bytes(word(old, index * 4));
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(to) = fp.get_mut(at..at + bytes.len()) {
            to.copy_from_slice(bytes);
        }
    };
    put(CONTROL, &(get(OLD_CONTROL) as u16).to_le_bytes());
    put(STATUS, &(get(OLD_STATUS) as u16).to_le_bytes());
    put(TAGS, &u16::from(short_tags(get(OLD_TAGS) as u16)).to_le_bytes());
    put(OPCODE, &((get(OLD_CODE) >> 16) as u16).to_le_bytes());
    put(INSTRUCTION, &u64::from(get(OLD_INSTRUCTION)).to_le_bytes());
    put(OPERAND, &u64::from(get(OLD_OPERAND)).to_le_bytes());
    for (to, from) in registers_mut(fp, REGISTERS, REGISTER_ROOM).zip(registers(old, OLD_REGISTERS, REGISTER)) {
        to.copy_from_slice(from);
    }
    if let Some(present) = fp.get_mut(PRESENT) {
        *present |= X87_AND_SSE;
    }
}

fn registers(area: &[u8], at: usize, room: usize) -> impl Iterator<Item = &[u8]> {
    area.get(at..).unwrap_or_default().chunks(room).take(8).filter_map(|each| each.get(..REGISTER))
}

fn registers_mut(area: &mut [u8], at: usize, room: usize) -> impl Iterator<Item = &mut [u8]> {
    area.get_mut(at..).unwrap_or_default().chunks_mut(room).take(8).filter_map(|each| each.get_mut(..REGISTER))
}

/// The tags of two bits for each register, of which an fxsave area says only whether it is empty.
fn full_tags(fp: &[u8]) -> u32 {
    let top = usize::from(u16::from_le_bytes(word(fp, STATUS)) >> 11 & 7);
    let used = u16::from_le_bytes(word(fp, TAGS));
    (0..8).fold(0, |tags, register| {
        let at = REGISTERS + REGISTER_ROOM * ((register + 8 - top) % 8);
        let (significand, exponent) = (u64::from_le_bytes(word(fp, at)), u16::from_le_bytes(word(fp, at + 8)));
        let tag = if used >> register & 1 == 0 { EMPTY } else { tag(significand, exponent) };
        tags | tag << (2 * register)
    })
}

const EMPTY: u32 = 3;

/// 0: a number; 1: zero; 2: infinity, no number, or one that is not normalised.
fn tag(significand: u64, sign_and_exponent: u16) -> u32 {
    match sign_and_exponent & 0x7fff {
        0 if significand == 0 => 1,
        1..0x7fff if significand >> 63 != 0 => 0,
        _ => 2,
    }
}

/// A bit for each register that is not empty.
fn short_tags(full: u16) -> u8 {
    (0..8).filter(|register| full >> (2 * register) & 3 != 3).fold(0, |tags, register| tags | 1 << register)
}

#[cfg(test)]
mod tests {
    use super::{FSAVE, OLD_END, of, put_into};

    /// An area with 1.0 in the first of two registers and 0.0 in the second, on a stack that begins at 6.
    fn area() -> [u8; 576] {
        let mut fp = [0u8; 576];
        fp[0..2].copy_from_slice(&0x37fu16.to_le_bytes());
        fp[2..4].copy_from_slice(&(6u16 << 11).to_le_bytes());
        fp[4] = 0xc0;
        fp[32 + 7] = 0x80;
        fp[40..42].copy_from_slice(&0x3fffu16.to_le_bytes());
        fp
    }

    #[test]
    fn the_older_image_says_the_same() {
        let raw = of(&area(), 0x23, 0x2b);
        let word = |i: usize| u32::from_le_bytes([raw[4 * i], raw[4 * i + 1], raw[4 * i + 2], raw[4 * i + 3]]);
        // Registers 6 and 7 are the stack's first and second: a number and zero.
        assert_eq!([0, 1, 2, 4, 6].map(word), [0xffff_037f, 0xffff_3000, 0xffff_4fff, 0x23, 0xffff_002b]);
        assert_eq!(&raw[28..38], &[0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x3f]);
        assert_eq!(&raw[OLD_END..FSAVE], &[0, 0x30, 0, 0]);
    }

    #[test]
    fn it_can_be_put_back() {
        let mut fp = area();
        let mut raw = of(&fp, 0x23, 0x2b);
        put_into(&mut fp, &raw);
        assert_eq!((&fp[..6], &fp[32..48], fp[512]), (&area()[..6], &area()[32..48], 3));
        // Everything empty.
        raw[8..10].fill(0xff);
        put_into(&mut fp, &raw);
        assert_eq!(fp[4], 0);
    }
}
