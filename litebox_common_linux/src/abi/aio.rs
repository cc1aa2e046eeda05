//! Asynchronous I/O: io_submit(2), io_getevents(2).

use super::layout::structure;

/// Of a request: pread(2).
pub const IOCB_CMD_PREAD: u16 = 0;
/// Of a request: pwrite(2).
pub const IOCB_CMD_PWRITE: u16 = 1;
/// Of a request: fsync(2).
pub const IOCB_CMD_FSYNC: u16 = 2;
/// Of a request: fdatasync(2).
pub const IOCB_CMD_FDSYNC: u16 = 3;
/// Of a request: preadv(2).
pub const IOCB_CMD_PREADV: u16 = 7;
/// Of a request: pwritev(2).
pub const IOCB_CMD_PWRITEV: u16 = 8;

bitflags::bitflags! {
    /// What else a request says.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct IocbFlags: u32 {
        /// An eventfd(2) counts its end.
        const IOCB_FLAG_RESFD = 1;
        /// It has a priority.
        const IOCB_FLAG_IOPRIO = 2;
    }
}

structure! {
    /// `struct iocb`
    Iocb [IocbX86_64 IocbX86] Opaque {
        /// What the event is to tell.
        data: u64 = u64, u64;
        /// The kernel's: 0.
        key: u32 = u32, u32;
        /// RWF_ flags.
        rw_flags: i32 = i32, i32;
        /// IOCB_CMD_ value.
        opcode: u16 = u16, u16;
        /// As for ioprio_set(2).
        priority: i16 = i16, i16;
        /// The file.
        fd: i32 = i32, i32;
        /// Where the bytes, or their buffers, are.
        buffer: u64 = u64, u64;
        /// How many.
        len: u64 = u64, u64;
        /// From which byte of the file.
        offset: i64 = i64, i64;
        /// Nothing.
        reserved: u64 = u64, u64;
        /// IOCB_FLAG_ flags.
        flags: u32 = u32, u32;
        /// The eventfd(2).
        result_fd: i32 = i32, i32;
    }
    /// `struct io_event`
    IoEvent [IoEventX86_64 IoEventX86] Opaque {
        /// What the request said.
        data: u64 = u64, u64;
        /// Where the request was.
        request: u64 = u64, u64;
        /// What came of it: a number of bytes, or an error below 0.
        result: i64 = i64, i64;
        /// Nothing.
        result2: i64 = i64, i64;
    }
    /// What io_pgetevents(2) has for a sixth argument: `struct __aio_sigset`
    AioSigSet [AioSigSetX86_64 AioSigSetX86] Opaque {
        /// The address of a `sigset_t`.
        set: u64 = u64, u32;
        /// Its size.
        size: u64 = u64, u32;
    }
}
