//! Fixed-size values in guest memory. Every value is read once.

use alloc::vec::Vec;
use core::time::Duration;
use litebox_common_linux::abi::memory::PAGE;

use litebox::platform::host;
use litebox::platform::north::north;
use litebox::{Error, Result};
use litebox_common_linux::abi::layout::{Field, Layout, Layouts};
use litebox_common_linux::abi::time::Timespec;
use litebox_common_linux::argument::{UserMut, UserRef, UserStr};
use smallvec::SmallVec;
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

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
        let n = host().copy_from_user(dest, at);
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
        let n = host().copy_to_user(at, source);
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

/// Checks that `N` bytes at a guest address can be written: they are written as they are.
pub(crate) fn check_writable<const N: usize>(addr: u64) -> Result<()> {
    write_bytes(addr, &read_bytes::<N>(addr)?)
}

/// Reading a structure by its typed address.
pub(crate) trait UserRead<T>: Copy {
    /// The structure there.
    fn read(self) -> Result<T>;
    /// The same; `None` when no address was given.
    fn read_if_given(self) -> Result<Option<T>>;
    /// The address of the `index`th of several.
    fn nth(self, index: usize) -> Result<Self>;
}

/// Writing one.
pub(crate) trait UserWrite<T>: Copy {
    /// Writes the structure there.
    fn write(self, value: T) -> Result<()>;
    /// The same, unless no address was given.
    fn write_if_given(self, value: T) -> Result<()>;
}

fn read_raw<T: Field<Raw>, Raw: FromBytes + IntoBytes>(addr: usize) -> Result<T> {
    let mut raw = Raw::new_zeroed();
    read_into(addr as u64, raw.as_mut_bytes())?;
    Ok(T::of(raw))
}

fn write_raw<T: Field<Raw>, Raw: IntoBytes + Immutable>(addr: usize, value: T) -> Result<()> {
    write_bytes(addr as u64, value.raw().as_bytes())
}

macro_rules! reads {
    ($($pointer:ident)*) => {
        $(impl<T: Layout> UserRead<T> for $pointer<T> {
            #[inline]
            fn read(self) -> Result<T> {
                match self.layouts() {
                    Layouts::X86_64 => read_raw::<T, T::X86_64>(self.address()),
                    Layouts::X86 => read_raw::<T, T::X86>(self.address()),
                    Layouts::X86Time64 => read_raw::<T, T::Time64>(self.address()),
                }
            }
            fn read_if_given(self) -> Result<Option<T>> {
                if self.is_null() { Ok(None) } else { self.read().map(Some) }
            }
            fn nth(self, index: usize) -> Result<Self> {
                let far = index.checked_mul(T::size(self.layouts()));
                let at = far.and_then(|far| self.address().checked_add(far));
                Ok(self.at(at.ok_or(Error::Fault)?))
            }
        })*
    };
}
reads!(UserRef UserMut);

impl<T: Layout> UserWrite<T> for UserMut<T> {
    #[inline]
    fn write(self, value: T) -> Result<()> {
        match self.layouts() {
            Layouts::X86_64 => write_raw::<T, T::X86_64>(self.address(), value),
            Layouts::X86 => write_raw::<T, T::X86>(self.address(), value),
            Layouts::X86Time64 => write_raw::<T, T::Time64>(self.address(), value),
        }
    }
    fn write_if_given(self, value: T) -> Result<()> {
        if self.is_null() { Ok(()) } else { self.write(value) }
    }
}

/// The address of a field of the structure at an address, by its offsets in both layouts.
macro_rules! field_at {
    ($pointer:expr, $long:ident $short:ident . $field:ident: $type:ty) => {{
        let offset = match $pointer.layouts() {
            litebox_common_linux::abi::layout::Layouts::X86_64 => core::mem::offset_of!($long, $field),
            _ => core::mem::offset_of!($short, $field),
        };
        $pointer.at::<$type>($pointer.address().wrapping_add(offset))
    }};
}
pub(crate) use field_at;

/// A structure that grew since it was made, of which the program has `size` bytes and every version `least`
/// (`copy_struct_from_user`): what the program does not have is zero, and what it has more must be: E2BIG.
pub(crate) fn read_extensible<T: Layout>(addr: u64, size: usize, least: usize) -> Result<T> {
    let known = size_of::<T::X86_64>();
    if size < least {
        return Err(Error::Invalid);
    }
    if size > PAGE {
        return Err(Error::TooBig);
    }
    let mut rest = alloc::vec![0u8; size.saturating_sub(known)];
    read_into(addr.wrapping_add(known as u64), &mut rest)?;
    if rest.iter().any(|byte| *byte != 0) {
        return Err(Error::TooBig);
    }
    let mut raw = T::X86_64::new_zeroed();
    read_into(addr, raw.as_mut_bytes().get_mut(..size.min(known)).unwrap_or_default())?;
    Ok(T::of(raw))
}

/// The time that a `struct timespec` says; out of range fields are `Invalid`.
pub(crate) fn duration_of(time: Timespec) -> Result<Duration> {
    time.duration().ok_or(Error::Invalid)
}

/// The time at an address; out of range fields are `Invalid`, no address is no time.
pub(crate) fn duration_at(time: impl UserRead<Timespec>) -> Result<Option<Duration>> {
    time.read_if_given()?.map(duration_of).transpose()
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
pub(crate) fn read_string(addr: UserStr, most: usize, too_long: Error) -> Result<Vec<u8>> {
    let mut string = Vec::new();
    read_string_pieces(addr, most, too_long, |piece| string.extend_from_slice(piece))?;
    Ok(string)
}

/// As [`read_string`], for strings that are short as a rule.
pub(crate) fn read_short_string(addr: UserStr, most: usize, too_long: Error) -> Result<ShortString> {
    let mut string = ShortString::new();
    read_string_pieces(addr, most, too_long, |piece| string.extend_from_slice(piece))?;
    Ok(string)
}

/// Gives `take` the bytes of a string one piece after the other.
fn read_string_pieces(addr: UserStr, most: usize, too_long: Error, mut take: impl FnMut(&[u8])) -> Result<()> {
    const PIECE: usize = 128;
    let mut at = addr.0;
    let mut total = 0;
    let mut piece = [0u8; PIECE];
    loop {
        // Never over a page's end: the next page may be none, and the string may end before it.
        let len = (PAGE - at % PAGE).min(PIECE);
        let n = host().copy_from_user(piece.get_mut(..len).unwrap_or_default(), at);
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
