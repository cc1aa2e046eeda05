//! The one error type of the core. The numbers are those of [`Errno`].

use litebox_common_linux::Errno;

/// Makes [`Error`] and both directions of its numbers from one list of their names.
macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident = $errno:ident,)*) => {
        /// Why a core operation failed. The names are POSIX's in words; the comment gives the errno, whose number is
        /// Linux's on x86.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[non_exhaustive]
        pub enum Error {
            $($(#[$doc])* $name,)*
            /// Anything else the host said, by its Linux errno.
            Host(i32),
        }

        impl Error {
            /// The error with this Linux errno.
            pub const fn from_errno(errno: i32) -> Self {
                $(const $errno: i32 = Errno::$errno.0;)*
                match errno {
                    $($errno => Self::$name,)*
                    other => Self::Host(other),
                }
            }
            /// Its Linux errno.
            pub const fn errno(self) -> i32 {
                match self {
                    $(Self::$name => Errno::$errno.0,)*
                    Self::Host(number) => number,
                }
            }
        }
    };
}

errors! {
    /// EPERM
    NotPermitted = EPERM,
    /// ENOENT
    NotFound = ENOENT,
    /// EINTR: a signal arrived first. Whether the call restarts is decided in the North, in one place.
    Interrupted = EINTR,
    /// EIO
    Io = EIO,
    /// ENXIO
    NoSuchDevice = ENXIO,
    /// E2BIG
    TooBig = E2BIG,
    /// ENOEXEC
    NotExecutable = ENOEXEC,
    /// EBADF
    BadDescriptor = EBADF,
    /// EAGAIN: would block
    WouldBlock = EAGAIN,
    /// ENOMEM
    NoMemory = ENOMEM,
    /// EACCES
    Access = EACCES,
    /// EFAULT: a user pointer did not point to memory
    Fault = EFAULT,
    /// EBUSY
    Busy = EBUSY,
    /// EEXIST
    Exists = EEXIST,
    /// EXDEV
    CrossDevice = EXDEV,
    /// ENODEV
    NoDevice = ENODEV,
    /// ENOTDIR
    NotDirectory = ENOTDIR,
    /// EISDIR
    IsDirectory = EISDIR,
    /// EINVAL
    Invalid = EINVAL,
    /// ENFILE
    TooManyFilesInSystem = ENFILE,
    /// EMFILE
    TooManyFiles = EMFILE,
    /// ENOTTY
    NotTerminal = ENOTTY,
    /// ETXTBSY
    TextBusy = ETXTBSY,
    /// EFBIG
    FileTooBig = EFBIG,
    /// ENOSPC
    NoSpace = ENOSPC,
    /// ESPIPE
    NotSeekable = ESPIPE,
    /// EROFS
    ReadOnly = EROFS,
    /// EMLINK
    TooManyLinks = EMLINK,
    /// EPIPE
    BrokenPipe = EPIPE,
    /// ERANGE
    Range = ERANGE,
    /// EDEADLK
    Deadlock = EDEADLK,
    /// ENAMETOOLONG
    NameTooLong = ENAMETOOLONG,
    /// ENOSYS
    NotImplemented = ENOSYS,
    /// ENOTEMPTY
    NotEmpty = ENOTEMPTY,
    /// ELOOP
    Loop = ELOOP,
    /// ENODATA
    NoData = ENODATA,
    /// EOVERFLOW
    Overflow = EOVERFLOW,
    /// EOPNOTSUPP
    NotSupported = EOPNOTSUPP,
    /// ETIMEDOUT
    TimedOut = ETIMEDOUT,
    /// ESTALE
    Stale = ESTALE,
    /// ELIBBAD
    BadLibrary = ELIBBAD,
    /// ESRCH
    NoProcess = ESRCH,
    /// EDQUOT
    Quota = EDQUOT,
}

/// Result of a core operation.
pub type Result<T, E = Error> = core::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::Error;

    #[test]
    fn every_number_leads_to_its_error_and_back() {
        for number in 1..=133 {
            assert_eq!(Error::from_errno(number).errno(), number);
        }
        assert_eq!(Error::from_errno(2), Error::NotFound);
        assert_eq!(Error::from_errno(133), Error::Host(133));
    }
}
