//! The one error type of the core. The numbers are those of [`Errno`].

use core::fmt;
use core::num::NonZeroU64;

use litebox_common_linux::Errno;

/// What tells an error that is [`Error::reported`] from that of the same number that has a name.
const REPORTED: u64 = 1 << 32;

const EIO: NonZeroU64 = NonZeroU64::MIN.saturating_add(Errno::EIO.0 as u64 - 1);

/// Why a core operation failed. The names are POSIX's in words; the comment gives the errno, whose number is Linux's on
/// x86. What has no name here is made [from its number](Error::from_errno).
///
/// It is as wide as a register: so the result of most operations, a number or a pointer or an error, comes back in two
/// registers. Were it narrower, each would be written to memory in pieces and read as a whole, for which the processor
/// waits until the pieces have left its store buffer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Error(NonZeroU64);

/// Makes the constants of [`Error`] and their names from one list.
macro_rules! errors {
    ($($(#[$doc:meta])* $name:ident = $errno:ident,)*) => {
        #[expect(non_upper_case_globals, reason = "they are used as the variants of an enumeration")]
        impl Error {
            $($(#[$doc])* pub const $name: Self = Self::from_errno(Errno::$errno.0);)*
            /// EPIPE, without the signal that it comes with.
            pub const SilentlyBrokenPipe: Self = Self::reported(Errno::EPIPE.0);

            /// Its name; `None`: it has only its number.
            const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

impl Error {
    /// The error with this Linux errno.
    #[inline]
    pub const fn from_errno(errno: i32) -> Self {
        match NonZeroU64::new(errno as u32 as u64) {
            Some(number) => Self(number),
            // Nobody says of a failure that it is none.
            None => Self(EIO),
        }
    }
    /// What a file or a connection says of itself. It has the number, and is not taken for what befell the call: a
    /// connection that timed out is no call that waited too long ([`Error::TimedOut`]).
    pub const fn reported(errno: i32) -> Self {
        let error = Self::from_errno(errno);
        if error.name().is_some() { Self(error.0.saturating_add(REPORTED)) } else { error }
    }
    /// Its Linux errno.
    #[inline]
    pub const fn errno(self) -> i32 {
        self.0.get() as u32 as i32
    }
}

/// Errors that have no name in words here, by the names of their numbers (errno(3)).
pub mod errno {
    use super::{Errno, Error};

    macro_rules! by_number {
        ($($name:ident)*) => {
            $(
                #[doc = stringify!($name)]
                pub const $name: Error = Error::from_errno(Errno::$name.0);
            )*
        };
    }
    by_number! {
        EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EALREADY EBADR ECONNABORTED ECONNREFUSED EDESTADDRREQ EDOM EIDRM
        EINPROGRESS EISCONN EMSGSIZE ENETUNREACH ENOBUFS ENOMSG ENOPKG ENOPROTOOPT ENOTCONN ENOTSOCK EPROTO
        EPROTONOSUPPORT EPROTOTYPE ESOCKTNOSUPPORT ETOOMANYREFS
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "Host({})", self.errno()),
        }
    }
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
    use super::{Error, Result};

    #[test]
    fn every_number_leads_to_its_error_and_back() {
        for number in 1..=133 {
            assert_eq!(Error::from_errno(number).errno(), number);
        }
        assert_eq!(Error::from_errno(2), Error::NotFound);
        assert_eq!(Error::from_errno(0), Error::Io);
    }

    #[test]
    fn what_is_reported_is_not_what_befell_the_call() {
        for number in 1..=133 {
            let (reported, plain) = (Error::reported(number), Error::from_errno(number));
            assert_eq!(reported.errno(), number);
            assert_eq!(reported == plain, plain.name().is_none());
        }
    }

    #[test]
    fn they_are_printed_by_name_or_number() {
        assert_eq!(alloc::format!("{:?} {:?}", Error::NotFound, Error::from_errno(133)), "NotFound Host(133)");
    }

    /// What comes back in two registers is no larger, and has its error where its value is.
    #[test]
    fn a_result_is_two_words() {
        assert_eq!(size_of::<Result<usize>>(), 16);
        assert_eq!(size_of::<Result<()>>(), 8);
    }
}
