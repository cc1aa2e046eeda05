//! The one place where an error of the core gets its Linux number.

use litebox::{Error, Result};
use litebox_common_linux::Errno;

/// The highest number that an error can have in the register.
const MOST: u64 = 4095;

/// What the result of a handler, if it returns, is in the register.
#[inline]
pub(crate) fn in_register(handler: impl FnOnce() -> Result<usize>) -> u64 {
    match handler() {
        Ok(value) => value as u64,
        Err(error) => errno_of(error).in_register(),
    }
}

/// The result that a register holds.
pub(crate) fn from_register(value: u64) -> core::result::Result<usize, Errno> {
    match value.wrapping_neg() {
        number @ 1..=MOST => Err(Errno(number as i32)),
        _ => Ok(value as usize),
    }
}

/// The Linux errno of a core error.
#[cold]
pub(crate) fn errno_of(error: Error) -> Errno {
    match error {
        Error::NotPermitted => Errno::EPERM,
        Error::NotFound => Errno::ENOENT,
        Error::NoProcess => Errno::ESRCH,
        Error::Interrupted => Errno::EINTR,
        Error::NoSuchDevice => Errno::ENXIO,
        Error::TooBig => Errno::E2BIG,
        Error::NotExecutable => Errno::ENOEXEC,
        Error::BadDescriptor => Errno::EBADF,
        Error::WouldBlock => Errno::EAGAIN,
        Error::NoMemory => Errno::ENOMEM,
        Error::Access => Errno::EACCES,
        Error::Fault => Errno::EFAULT,
        Error::Busy => Errno::EBUSY,
        Error::Exists => Errno::EEXIST,
        Error::CrossDevice => Errno::EXDEV,
        Error::NoDevice => Errno::ENODEV,
        Error::NotDirectory => Errno::ENOTDIR,
        Error::IsDirectory => Errno::EISDIR,
        Error::Invalid => Errno::EINVAL,
        Error::TooManyFilesInSystem => Errno::ENFILE,
        Error::TooManyFiles => Errno::EMFILE,
        Error::NotTerminal => Errno::ENOTTY,
        Error::TextBusy => Errno::ETXTBSY,
        Error::FileTooBig => Errno::EFBIG,
        Error::NoSpace => Errno::ENOSPC,
        Error::NotSeekable => Errno::ESPIPE,
        Error::ReadOnly => Errno::EROFS,
        Error::TooManyLinks => Errno::EMLINK,
        Error::BrokenPipe => Errno::EPIPE,
        Error::Range => Errno::ERANGE,
        Error::Deadlock => Errno::EDEADLK,
        Error::NameTooLong => Errno::ENAMETOOLONG,
        Error::NotImplemented => Errno::ENOSYS,
        Error::NotEmpty => Errno::ENOTEMPTY,
        Error::Loop => Errno::ELOOP,
        Error::NoData => Errno::ENODATA,
        Error::Overflow => Errno::EOVERFLOW,
        Error::BadLibrary => Errno::ELIBBAD,
        Error::NotSupported => Errno::EOPNOTSUPP,
        Error::TimedOut => Errno::ETIMEDOUT,
        Error::Stale => Errno::ESTALE,
        Error::Quota => Errno::EDQUOT,
        Error::Host(number) => Errno(number),
        // Io, and what a later core may add.
        _ => Errno::EIO,
    }
}
