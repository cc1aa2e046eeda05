//! The one error type of the core. A North maps each variant to its own code in exactly one place.

/// Why a core operation failed. The names are POSIX's in words; the comment gives the usual errno.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Error {
    /// EPERM
    NotPermitted,
    /// ENOENT
    NotFound,
    /// EINTR: a signal arrived first. Whether the call restarts is decided in the North, in one place.
    Interrupted,
    /// EIO
    Io,
    /// ENXIO
    NoSuchDevice,
    /// E2BIG
    TooBig,
    /// ENOEXEC
    NotExecutable,
    /// EBADF
    BadDescriptor,
    /// EAGAIN: would block
    WouldBlock,
    /// ENOMEM
    NoMemory,
    /// EACCES
    Access,
    /// EFAULT: a user pointer did not point to memory
    Fault,
    /// EBUSY
    Busy,
    /// EEXIST
    Exists,
    /// EXDEV
    CrossDevice,
    /// ENODEV
    NoDevice,
    /// ENOTDIR
    NotDirectory,
    /// EISDIR
    IsDirectory,
    /// EINVAL
    Invalid,
    /// ENFILE
    TooManyFilesInSystem,
    /// EMFILE
    TooManyFiles,
    /// ENOTTY
    NotTerminal,
    /// ETXTBSY
    TextBusy,
    /// EFBIG
    FileTooBig,
    /// ENOSPC
    NoSpace,
    /// ESPIPE
    NotSeekable,
    /// EROFS
    ReadOnly,
    /// EMLINK
    TooManyLinks,
    /// EPIPE
    BrokenPipe,
    /// ERANGE
    Range,
    /// EDEADLK
    Deadlock,
    /// ENAMETOOLONG
    NameTooLong,
    /// ENOSYS
    NotImplemented,
    /// ENOTEMPTY
    NotEmpty,
    /// ELOOP
    Loop,
    /// ENODATA
    NoData,
    /// EOVERFLOW
    Overflow,
    /// EOPNOTSUPP
    NotSupported,
    /// ETIMEDOUT
    TimedOut,
    /// ESTALE
    Stale,
    /// ELIBBAD
    BadLibrary,
    /// ESRCH
    NoProcess,
    /// EDQUOT
    Quota,
    /// Anything else the host said, by its Linux errno.
    Host(i32),
}

/// Result of a core operation.
pub type Result<T, E = Error> = core::result::Result<T, E>;
