//! How the result of a handler stands in a register.

use litebox::Result;
use litebox_common_linux::Errno;

/// The highest number that an error can have in the register.
const MOST: u64 = 4095;

/// What the result of a handler, if it returns, is in the register.
#[inline]
pub(crate) fn in_register(handler: impl FnOnce() -> Result<usize>) -> u64 {
    match handler() {
        Ok(value) => value as u64,
        Err(error) => Errno(error.errno()).in_register(),
    }
}

/// The result that a register holds.
pub(crate) fn from_register(value: u64) -> core::result::Result<usize, Errno> {
    match value.wrapping_neg() {
        number @ 1..=MOST => Err(Errno(number as i32)),
        _ => Ok(value as usize),
    }
}
