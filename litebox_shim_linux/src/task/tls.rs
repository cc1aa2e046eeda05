//! The segments that a thread of a 32-bit program makes for its thread-local storage: set_thread_area(2).
//!
//! What it asks for is kept and told; of that, only where a segment begins has an effect (`litebox::platform::compat`).

use litebox::platform::compat::{FIRST_TLS_ENTRY, Segments, TLS_ENTRIES};
use litebox::platform::host;
use litebox::{Error, Result};
use litebox_common_linux::Arch;

use super::{Task, Thread};
use crate::user::{read_bytes, word, write_bytes};

/// The three entries of a thread.
pub(crate) type Entries = [Descriptor; TLS_ENTRIES];

/// The number by which a free entry is asked for.
const ANY: u32 = u32::MAX;
/// Length of `struct user_desc`.
const LEN: usize = 16;
const SEG_32BIT: u32 = 1;
const CONTENTS: u32 = 6;
const SEG_NOT_PRESENT: u32 = 0x20;
/// What is told of an entry nobody uses: read_exec_only, seg_not_present. With these flags alone one is given up, too.
const EMPTY: u32 = 0x28;
const FLAGS: u32 = 0x7f;
const LIMIT: u32 = 0xf_ffff;

/// `struct user_desc` without its number; all zeros: nothing.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct Descriptor {
    base: u32,
    limit: u32,
    flags: u32,
}

impl Descriptor {
    /// Number and content of what lies at a guest address.
    fn read(at: u64) -> Result<(u32, Self)> {
        let raw: [u8; LEN] = read_bytes(at)?;
        let field = |i: usize| u32::from_le_bytes(word(&raw, 4 * i));
        let asked = Self { base: field(1), limit: field(2), flags: field(3) & FLAGS };
        Ok((field(0), asked.checked()?))
    }

    /// What may be asked for: 32-bit data, or nothing.
    fn checked(self) -> Result<Self> {
        let nothing = self.base == 0 && self.limit == 0 && (self.flags == 0 || self.flags == EMPTY);
        if nothing {
            return Ok(Self::default());
        }
        let fits = self.flags & SEG_32BIT != 0 && self.flags & CONTENTS <= 2 && self.flags & SEG_NOT_PRESENT == 0;
        if fits { Ok(Self { limit: self.limit & LIMIT, ..self }) } else { Err(Error::Invalid) }
    }

    fn to_bytes(self, number: u32) -> [u8; LEN] {
        let flags = if self == Self::default() { EMPTY } else { self.flags };
        let mut raw = [0; LEN];
        for (to, field) in raw.chunks_exact_mut(4).zip([number, self.base, self.limit, flags]) {
            to.copy_from_slice(&field.to_le_bytes());
        }
        raw
    }
}

/// Which of a thread's own entries has this number.
fn index_of(number: u32) -> Result<usize> {
    let index = number.checked_sub(FIRST_TLS_ENTRY).and_then(|index| usize::try_from(index).ok());
    index.filter(|index| *index < TLS_ENTRIES).ok_or(Error::Invalid)
}

impl Thread {
    /// It has none.
    pub(crate) fn forget_tls(&self) {
        *self.tls.lock() = Entries::default();
    }

    /// A new thread has those of the one that made it.
    pub(crate) fn inherit_tls(&self, parent: &Self) {
        let entries = *parent.tls.lock();
        *self.tls.lock() = entries;
    }

    /// As a new thread starts with the descriptor at a guest address (CLONE_SETTLS of 32-bit calls).
    pub(crate) fn set_tls(&self, at: u64) -> Result<()> {
        let (number, descriptor) = Descriptor::read(at)?;
        let index = index_of(number)?;
        if let Some(entry) = self.tls.lock().get_mut(index) {
            *entry = descriptor;
        }
        Ok(())
    }

    /// `segments` with what the thread has in its entries.
    pub(crate) fn segments_from(&self, segments: Segments) -> Segments {
        Segments { tls: self.tls.lock().map(|entry| entry.base), ..segments }
    }
}

impl Task<'_, '_> {
    /// set_thread_area(2).
    pub(crate) fn set_thread_area(&mut self, at: u64) -> Result<usize> {
        if self.abi() == Arch::X86_64 {
            return Err(Error::NotImplemented);
        }
        let (mut number, descriptor) = Descriptor::read(at)?;
        let mut entries = *self.thread.tls.lock();
        if number == ANY {
            let free = entries.iter().position(|entry| *entry == Descriptor::default()).ok_or(Error::NoProcess)?;
            number = FIRST_TLS_ENTRY + free as u32;
            write_bytes(at, &number.to_le_bytes())?;
        }
        if let Some(entry) = entries.get_mut(index_of(number)?) {
            *entry = descriptor;
        }
        *self.thread.tls.lock() = entries;
        if let Some(segments) = host().segments() {
            host().set_segments(Some(self.thread.segments_from(segments)));
        }
        Ok(0)
    }

    /// get_thread_area(2).
    pub(crate) fn get_thread_area(&mut self, at: u64) -> Result<usize> {
        if self.abi() == Arch::X86_64 {
            return Err(Error::NotImplemented);
        }
        let number = u32::from_le_bytes(read_bytes(at)?);
        let entry = self.thread.tls.lock().get(index_of(number)?).copied().unwrap_or_default();
        write_bytes(at, &entry.to_bytes(number))?;
        Ok(0)
    }
}
