//! What unwinders know of the code that signal handlers return to.
//!
//! That code (`mov $15,%eax; syscall`) is on the stack of every handler as its return address. Unwinders look for an
//! entry of the program's call frame tables that covers the address and says that the frame is a signal's; where there
//! is none, they recognise the very bytes. So the bytes may be changed only where the tables speak of them.
//!
//! Static programs have no index of the tables, and section headers are not in memory. But what compilers write is
//! found by itself: a common entry (CIE) with the augmentation `zRS`, and behind it the entries (FDE) of the functions
//! that share it.

use alloc::collections::BTreeMap;
use alloc::vec;

use litebox::mm::ObjectId;
use litebox::platform::{Prot, host};
use litebox::sync::Mutex;

use crate::mm::MemoryMap;
use crate::user::read_bytes;

/// The augmentation, and from the start of a common entry to it.
const AUGMENTATION: [u8; 4] = *b"zRS\0";
const AUGMENTATION_AT: usize = 9;
/// Relative to the place of the number, four bytes, signed.
const PC_RELATIVE: u8 = 0x1b;
/// Entries lie on multiples of this.
const ALIGNED: usize = 4;
/// Bytes that are looked at together; entries that belong together may lie across the end of a piece when they are
/// shorter than the overlap.
const PIECE: usize = 64 << 10;
const OVERLAP: usize = 2 << 10;
/// What is searched of one object.
const MOST: usize = 64 << 20;
/// Functions that share a common entry.
const MOST_FUNCTIONS: usize = 32;

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.first_chunk::<4>().map(|b| u32::from_le_bytes(*b))
}

/// Whether a table in `bytes`, which lie at `start`, says of `pc` and of the byte before it (where unwinders look for
/// the caller of a handler) that its frame is a signal's.
pub(crate) fn is_signal_frame(bytes: &[u8], start: u64, pc: u64) -> bool {
    let first = start.wrapping_neg() as usize % ALIGNED;
    (first..bytes.len())
        .step_by(ALIGNED)
        .any(|at| common_entry(bytes, at).is_some_and(|next| covers(bytes, start, at, next, pc)))
}

/// The end of the common entry at `at`, if there is one with the augmentation and the encoding that are known here.
fn common_entry(bytes: &[u8], at: usize) -> Option<usize> {
    let augmentation = at.checked_add(AUGMENTATION_AT)?;
    if bytes.get(augmentation..augmentation + AUGMENTATION.len())? != AUGMENTATION {
        return None;
    }
    let version = *bytes.get(at + 8)?;
    if word(bytes, at + 4)? != 0 || !matches!(version, 1 | 3) {
        return None;
    }
    // Behind it: factors of code and data, the register of the return address, the length of the augmentation's data,
    // and that. All are one byte.
    let [code, data, register, data_len, encoding] =
        *bytes.get(augmentation + AUGMENTATION.len()..)?.first_chunk::<5>()?;
    let short = |byte: u8| byte & 0x80 == 0;
    if ![code, data, register].into_iter().all(short) || data_len != 1 || encoding != PC_RELATIVE {
        return None;
    }
    after(bytes, at)
}

/// Behind the entry at `at`.
fn after(bytes: &[u8], at: usize) -> Option<usize> {
    let len = word(bytes, at)? as usize;
    at.checked_add(4)?.checked_add(len).filter(|next| len > 0 && *next <= bytes.len())
}

/// Whether a function whose entry follows the common entry covers the address.
fn covers(bytes: &[u8], start: u64, common: usize, next: usize, pc: u64) -> bool {
    let mut at = next;
    for _ in 0..MOST_FUNCTIONS {
        let (Some(next), Some(back)) = (after(bytes, at), word(bytes, at + 4)) else { return false };
        if back == 0 || (at + 4).checked_sub(back as usize) != Some(common) {
            return false;
        }
        let (Some(begin), Some(len)) = (word(bytes, at + 8), word(bytes, at + 12)) else { return false };
        let begin = start.wrapping_add(at as u64 + 8).wrapping_add_signed(i64::from(begin as i32));
        let inside = |address: u64| address.wrapping_sub(begin) < u64::from(len);
        if inside(pc) && inside(pc.wrapping_sub(1)) {
            return true;
        }
        at = next;
    }
    false
}

/// Files that are remembered.
const MOST_KNOWN: usize = 4096;

/// What is known of the ends of handlers in files.
#[derive(Default)]
pub(crate) struct Restorers(Mutex<BTreeMap<(ObjectId, u64), bool>>);

impl Restorers {
    /// A handler ended by the `syscall` at `at`. Whether unwinders know the code there without looking at its bytes: by
    /// a table in the same file.
    pub(crate) fn are_in_tables(&self, memory: &MemoryMap, at: u64) -> bool {
        let Some(pc) = beginning(at) else { return false };
        let place =
            memory.core().with_vma(at as usize, |vma| Some((vma.object.id()?, vma.offset + (at - vma.start as u64))));
        let Some(key) = place.flatten() else { return false };
        let known = self.0.lock().get(&key).copied();
        known.unwrap_or_else(|| {
            let found = in_tables(memory, key.0, pc);
            let mut files = self.0.lock();
            if files.len() < MOST_KNOWN {
                files.insert(key, found);
            }
            found
        })
    }
}

/// Where the code begins that a handler returned to: with the load of the number.
fn beginning(syscall: u64) -> Option<u64> {
    const LOADS: [&[u8]; 2] = [&[0x48, 0xc7, 0xc0, 15, 0, 0, 0], &[0xb8, 15, 0, 0, 0]];
    let before = read_bytes::<7>(syscall.checked_sub(7)?).ok()?;
    LOADS.iter().find(|load| before.ends_with(load)).map(|load| syscall - load.len() as u64)
}

fn in_tables(memory: &MemoryMap, object: ObjectId, pc: u64) -> bool {
    let vmas = memory.vmas();
    let mut piece = vec![0u8; PIECE];
    let mut left = MOST;
    for vma in vmas.iter().filter(|a| a.object.id() == Some(object) && a.prot == Prot::READ) {
        let mut at = vma.start;
        while at < vma.filled && left > 0 {
            let wanted = (vma.filled - at).min(PIECE);
            let got = host().copy_from_user(piece.get_mut(..wanted).unwrap_or_default(), at);
            if is_signal_frame(piece.get(..got).unwrap_or_default(), at as u64, pc) {
                return true;
            }
            if got < wanted || wanted < PIECE {
                break;
            }
            at += PIECE - OVERLAP;
            left = left.saturating_sub(PIECE);
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const START: u64 = 0x7f00_0000_0000;
    const PC: u64 = START - 0x1000;

    /// A common entry and one function of ten bytes that begins a byte before `pc`, as the assembler writes them.
    fn table(pc: u64) -> Vec<u8> {
        let mut bytes = Vec::from([0u8; 8]);
        let common = bytes.len();
        bytes.extend(20u32.to_le_bytes());
        bytes.extend(0u32.to_le_bytes());
        bytes.extend(b"\x01zRS\0\x01\x78\x10\x01\x1b");
        bytes.resize(common + 24, 0);
        let function = bytes.len();
        bytes.extend(28u32.to_le_bytes());
        bytes.extend(((function + 4 - common) as u32).to_le_bytes());
        let begin = (pc - 1).wrapping_sub(START + bytes.len() as u64) as i64 as i32;
        bytes.extend(begin.to_le_bytes());
        bytes.extend(10u32.to_le_bytes());
        bytes.resize(function + 32, 0);
        bytes
    }

    #[test]
    fn what_the_assembler_writes_is_found() {
        assert!(is_signal_frame(&table(PC), START, PC));
        assert!(!is_signal_frame(&table(PC), START, PC + 9), "behind the function");
        assert!(!is_signal_frame(&table(PC), START, PC - 1), "the byte before is somebody else's");
        assert!(!is_signal_frame(&table(PC), START + 8, PC), "somewhere else");
    }

    #[test]
    fn no_bytes_are_too_strange() {
        let good = table(PC);
        for cut in 0..good.len() {
            assert!(!is_signal_frame(&good[..cut], START, PC), "cut off at {cut}");
        }
        // Whatever one or two changed bytes say, they are read without a panic.
        for at in 0..good.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = good.clone();
                bytes[at] = value;
                let _ = is_signal_frame(&bytes, START, PC);
                bytes[(at * 7 + 3) % good.len()] = !value;
                let _ = is_signal_frame(&bytes, u64::MAX - 20, PC);
            }
        }
    }
}
