//! The one error type of the core, and its numbers.

/// Makes [`Error`] and both directions of its numbers from one list.
macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident = $number:literal,)*) => {
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
                match errno {
                    $($number => Self::$name,)*
                    other => Self::Host(other),
                }
            }
            /// Its Linux errno.
            pub const fn errno(self) -> i32 {
                match self {
                    $(Self::$name => $number,)*
                    Self::Host(number) => number,
                }
            }
        }
    };
}

errors! {
    /// EPERM
    NotPermitted = 1,
    /// ENOENT
    NotFound = 2,
    /// EINTR: a signal arrived first. Whether the call restarts is decided in the North, in one place.
    Interrupted = 4,
    /// EIO
    Io = 5,
    /// ENXIO
    NoSuchDevice = 6,
    /// E2BIG
    TooBig = 7,
    /// ENOEXEC
    NotExecutable = 8,
    /// EBADF
    BadDescriptor = 9,
    /// EAGAIN: would block
    WouldBlock = 11,
    /// ENOMEM
    NoMemory = 12,
    /// EACCES
    Access = 13,
    /// EFAULT: a user pointer did not point to memory
    Fault = 14,
    /// EBUSY
    Busy = 16,
    /// EEXIST
    Exists = 17,
    /// EXDEV
    CrossDevice = 18,
    /// ENODEV
    NoDevice = 19,
    /// ENOTDIR
    NotDirectory = 20,
    /// EISDIR
    IsDirectory = 21,
    /// EINVAL
    Invalid = 22,
    /// ENFILE
    TooManyFilesInSystem = 23,
    /// EMFILE
    TooManyFiles = 24,
    /// ENOTTY
    NotTerminal = 25,
    /// ETXTBSY
    TextBusy = 26,
    /// EFBIG
    FileTooBig = 27,
    /// ENOSPC
    NoSpace = 28,
    /// ESPIPE
    NotSeekable = 29,
    /// EROFS
    ReadOnly = 30,
    /// EMLINK
    TooManyLinks = 31,
    /// EPIPE
    BrokenPipe = 32,
    /// ERANGE
    Range = 34,
    /// EDEADLK
    Deadlock = 35,
    /// ENAMETOOLONG
    NameTooLong = 36,
    /// ENOSYS
    NotImplemented = 38,
    /// ENOTEMPTY
    NotEmpty = 39,
    /// ELOOP
    Loop = 40,
    /// ENODATA
    NoData = 61,
    /// EOVERFLOW
    Overflow = 75,
    /// EOPNOTSUPP
    NotSupported = 95,
    /// ETIMEDOUT
    TimedOut = 110,
    /// ESTALE
    Stale = 116,
    /// ELIBBAD
    BadLibrary = 80,
    /// ESRCH
    NoProcess = 3,
    /// EDQUOT
    Quota = 122,
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
