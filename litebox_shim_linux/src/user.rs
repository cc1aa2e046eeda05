//! Fixed-size values in guest memory. Every value is read once.

use alloc::vec::Vec;
use litebox_common_linux::abi::memory::PAGE;

use litebox::platform::host;
use litebox::platform::north::north;
use litebox::{Error, Result};
use smallvec::SmallVec;

/// Reads `N` bytes at a guest address.
pub(crate) fn read_bytes<const N: usize>(addr: u64) -> Result<[u8; N]> {
    let mut out = [0u8; N];
    read_into(addr, &mut out)?;
    Ok(out)
}

/// Fills `out` from a guest address.
pub(crate) fn read_into(addr: u64, out: &mut [u8]) -> Result<()> {
    let wanted = out.len();
    if read_some(addr, out) == wanted { Ok(()) } else { Err(Error::Fault) }
}

/// As [`read_into`], up to the first byte that cannot be read: how many there are before it.
pub(crate) fn read_some(addr: u64, out: &mut [u8]) -> usize {
    let Ok(mut at) = usize::try_from(addr) else { return 0 };
    let mut done = 0;
    let mut dest = out;
    loop {
        // SAFETY: `dest` is valid for writes of its length.
        let n = unsafe { host().copy_from_user(dest.as_mut_ptr(), at, dest.len()) };
        done += n;
        at = at.wrapping_add(n);
        if n == dest.len() || !north().resolve_fault(at, false) {
            return done;
        }
        dest = dest.get_mut(n..).unwrap_or_default();
    }
}

/// Writes `bytes` to a guest address.
pub(crate) fn write_bytes(addr: u64, bytes: &[u8]) -> Result<()> {
    if write_some(addr, bytes) == bytes.len() { Ok(()) } else { Err(Error::Fault) }
}

/// As [`write_bytes`], up to the first byte that cannot be written: how many there are before it.
pub(crate) fn write_some(addr: u64, bytes: &[u8]) -> usize {
    let Ok(mut at) = usize::try_from(addr) else { return 0 };
    let mut done = 0;
    let mut source = bytes;
    loop {
        // SAFETY: `source` is valid for reads of its length.
        let n = unsafe { host().copy_to_user(at, source.as_ptr(), source.len()) };
        done += n;
        at = at.wrapping_add(n);
        if n == source.len() || !north().resolve_fault(at, true) {
            return done;
        }
        source = source.get(n..).unwrap_or_default();
    }
}

/// Writes numbers of 16 bits, one every `stride` bytes from a guest address on; what lies between them is not touched.
pub(crate) fn write_halves(addr: u64, stride: usize, halves: &[u16]) -> Result<()> {
    let to = usize::try_from(addr).map_err(|_| Error::Fault)?;
    let done = host().put_halves(to, stride, halves);
    let mut at = to.wrapping_add(done * stride);
    // One by one from where it stopped.
    for half in halves.get(done..).unwrap_or_default() {
        write_bytes(at as u64, &half.to_le_bytes())?;
        at = at.wrapping_add(stride);
    }
    Ok(())
}

/// Reads a 64-bit word.
pub(crate) fn read_u64(addr: u64) -> Result<u64> {
    read_bytes(addr).map(u64::from_le_bytes)
}

/// Reads a `struct timespec`; out of range fields are `Invalid`.
pub(crate) fn read_timespec(addr: u64) -> Result<core::time::Duration> {
    timespec_of(&read_bytes::<16>(addr)?, 0)
}

/// Checks that `N` bytes at a guest address can be written: they are written as they are.
pub(crate) fn check_writable<const N: usize>(addr: u64) -> Result<()> {
    write_bytes(addr, &read_bytes::<N>(addr)?)
}

/// The `struct timespec` of `raw` at `at`; out of range fields are `Invalid`.
pub(crate) fn timespec_of(raw: &[u8], at: usize) -> Result<core::time::Duration> {
    let seconds = i64::from_le_bytes(word(raw, at));
    let nanos = i64::from_le_bytes(word(raw, at + 8));
    let seconds = u64::try_from(seconds).map_err(|_| Error::Invalid)?;
    let nanos = u32::try_from(nanos).ok().filter(|n| *n < 1_000_000_000).ok_or(Error::Invalid)?;
    Ok(core::time::Duration::new(seconds, nanos))
}

/// The `N` bytes of `raw` at `at`; zeros where it is too short.
pub(crate) fn word<const N: usize>(raw: &[u8], at: usize) -> [u8; N] {
    let mut out = [0u8; N];
    if let Some(part) = raw.get(at..at + N) {
        out.copy_from_slice(part);
    }
    out
}

/// A path or another short string: on the stack when it is as short as most are.
pub(crate) type ShortString = SmallVec<[u8; 128]>;

/// A string at a guest address, without its zero. With its zero longer than `most`: `too_long`.
pub(crate) fn read_string(addr: u64, most: usize, too_long: Error) -> Result<Vec<u8>> {
    let mut string = Vec::new();
    read_string_pieces(addr, most, too_long, |piece| string.extend_from_slice(piece))?;
    Ok(string)
}

/// As [`read_string`], for strings that are short as a rule.
pub(crate) fn read_short_string(addr: u64, most: usize, too_long: Error) -> Result<ShortString> {
    let mut string = ShortString::new();
    read_string_pieces(addr, most, too_long, |piece| string.extend_from_slice(piece))?;
    Ok(string)
}

/// Gives `take` the bytes of a string one piece after the other.
fn read_string_pieces(addr: u64, most: usize, too_long: Error, mut take: impl FnMut(&[u8])) -> Result<()> {
    const PIECE: usize = 128;
    let mut at = usize::try_from(addr).map_err(|_| Error::Fault)?;
    let mut total = 0;
    let mut piece = [0u8; PIECE];
    loop {
        // Never over a page's end: the next page may be none, and the string may end before it.
        let len = (PAGE - at % PAGE).min(PIECE);
        // SAFETY: `len` is at most the piece's length.
        let n = unsafe { host().copy_from_user(piece.as_mut_ptr(), at, len) };
        let got = piece.get(..n).unwrap_or_default();
        let end = got.iter().position(|byte| *byte == 0);
        let part = got.get(..end.unwrap_or(n)).unwrap_or_default();
        total += part.len();
        if total >= most {
            return Err(too_long);
        }
        take(part);
        if end.is_some() {
            return Ok(());
        }
        if n < len {
            return Err(Error::Fault);
        }
        at = at.checked_add(n).ok_or(Error::Fault)?;
    }
}
