//! Files: open(2), fcntl(2), stat(2) and their kin.

use super::layout::{Id16, structure};
use super::named;

named! {
    /// open(2)
    flags OpenFlags(i32) {
        O_RDONLY = 0 in 3, O_WRONLY = 1 in 3, O_RDWR = 2 in 3, O_ACCMODE = 3 in 3, O_CREAT = 0o100, O_EXCL = 0o200, O_NOCTTY = 0o400,
        O_TRUNC = 0o1000, O_APPEND = 0o2000, O_NONBLOCK = 0o4000, O_SYNC = 0o4_010_000, O_DSYNC = 0o10000, O_ASYNC = 0o20000,
        O_DIRECT = 0o40000, O_LARGEFILE = 0o100_000, O_NOFOLLOW = 0o400_000, O_NOATIME = 0o1_000_000, O_CLOEXEC = 0o2_000_000,
        O_PATH = 0o10_000_000, O_TMPFILE = 0o20_200_000, O_DIRECTORY = 0o200_000
    }
    /// `AT_*` flags of calls with a directory descriptor
    flags AtFlags(i32) {
        AT_SYMLINK_NOFOLLOW = 0x100, AT_EACCESS = 0x200, AT_SYMLINK_FOLLOW = 0x400, AT_NO_AUTOMOUNT = 0x800, AT_EMPTY_PATH = 0x1000,
        AT_STATX_FORCE_SYNC = 0x2000, AT_STATX_DONT_SYNC = 0x4000, AT_RECURSIVE = 0x8000
    }
    /// unlinkat(2), where `AT_EACCESS`'s bit means something else
    flags UnlinkFlags(i32) { AT_REMOVEDIR = 0x200 }
    /// renameat2(2)
    flags RenameFlags(u32) { RENAME_NOREPLACE = 1, RENAME_EXCHANGE = 2, RENAME_WHITEOUT = 4 }
    /// access(2)
    flags AccessMode(u32) { F_OK = 0 in 7, R_OK = 4, W_OK = 2, X_OK = 1 }
    /// statx(2)
    flags StatxMask(u32) {
        STATX_ALL = 0xfff, STATX_BASIC_STATS = 0x7ff, STATX_TYPE = 1, STATX_MODE = 2, STATX_NLINK = 4, STATX_UID = 8, STATX_GID = 0x10, STATX_ATIME = 0x20,
        STATX_MTIME = 0x40, STATX_CTIME = 0x80, STATX_INO = 0x100, STATX_SIZE = 0x200, STATX_BLOCKS = 0x400, STATX_BTIME = 0x800,
        STATX_MNT_ID = 0x1000, STATX_DIOALIGN = 0x2000
    }
    /// setxattr(2)
    flags XattrFlags(i32) { XATTR_CREATE = 1, XATTR_REPLACE = 2 }
    /// lseek(2)
    choice Whence(i32) { SEEK_SET = 0, SEEK_CUR = 1, SEEK_END = 2, SEEK_DATA = 3, SEEK_HOLE = 4 }
    /// fcntl(2)
    choice FcntlCommand(u32) {
        F_DUPFD = 0, F_GETFD = 1, F_SETFD = 2, F_GETFL = 3, F_SETFL = 4, F_GETLK = 5, F_SETLK = 6, F_SETLKW = 7, F_SETOWN = 8, F_GETOWN = 9,
        F_SETSIG = 10, F_GETSIG = 11, F_GETLK64 = 12, F_SETLK64 = 13, F_SETLKW64 = 14, F_SETOWN_EX = 15, F_GETOWN_EX = 16, F_OFD_GETLK = 36, F_OFD_SETLK = 37, F_OFD_SETLKW = 38,
        F_SETLEASE = 1024, F_GETLEASE = 1025, F_NOTIFY = 1026, F_DUPFD_CLOEXEC = 1030, F_SETPIPE_SZ = 1031, F_GETPIPE_SZ = 1032,
        F_ADD_SEALS = 1033, F_GET_SEALS = 1034, F_GETOWNER_UIDS = 17, F_DUPFD_QUERY = 1027, F_GET_RW_HINT = 1035, F_SET_RW_HINT = 1036
    }
    /// flock(2)
    flags LockOperation(i32) { LOCK_SH = 1, LOCK_EX = 2, LOCK_UN = 8, LOCK_NB = 4 }
    /// sync_file_range(2)
    flags SyncRangeFlags(u32) { SYNC_FILE_RANGE_WAIT_BEFORE = 1, SYNC_FILE_RANGE_WRITE = 2, SYNC_FILE_RANGE_WAIT_AFTER = 4 }
    /// posix_fadvise(2)
    choice FileAdvice(i32) {
        POSIX_FADV_NORMAL = 0, POSIX_FADV_RANDOM = 1, POSIX_FADV_SEQUENTIAL = 2, POSIX_FADV_WILLNEED = 3, POSIX_FADV_DONTNEED = 4,
        POSIX_FADV_NOREUSE = 5
    }
    /// inotify_init1(2)
    flags InotifyFlags(i32) { IN_NONBLOCK = 0o4000, IN_CLOEXEC = 0o2_000_000 }
    /// eventfd(2)
    flags EventFdFlags(i32) { EFD_SEMAPHORE = 1, EFD_NONBLOCK = 0o4000, EFD_CLOEXEC = 0o2_000_000 }
    /// fallocate(2)
    flags AllocateMode(i32) {
        FALLOC_FL_KEEP_SIZE = 1, FALLOC_FL_PUNCH_HOLE = 2, FALLOC_FL_COLLAPSE_RANGE = 8, FALLOC_FL_ZERO_RANGE = 0x10,
        FALLOC_FL_INSERT_RANGE = 0x20, FALLOC_FL_UNSHARE_RANGE = 0x40
    }
    /// close_range(2)
    flags CloseRangeFlags(u32) { CLOSE_RANGE_UNSHARE = 2, CLOSE_RANGE_CLOEXEC = 4 }
    /// preadv2(2)
    flags ReadWriteFlags(i32) { RWF_HIPRI = 1, RWF_DSYNC = 2, RWF_SYNC = 4, RWF_NOWAIT = 8, RWF_APPEND = 0x10, RWF_NOAPPEND = 0x20 }
    /// splice(2)
    flags SpliceFlags(u32) { SPLICE_F_MOVE = 1, SPLICE_F_NONBLOCK = 2, SPLICE_F_MORE = 4, SPLICE_F_GIFT = 8 }
    /// memfd_create(2)
    flags MemfdFlags(u32) {
        MFD_CLOEXEC = 1, MFD_ALLOW_SEALING = 2, MFD_HUGETLB = 4, MFD_NOEXEC_SEAL = 8, MFD_EXEC = 0x10
    }
}

/// The directory descriptor that stands for the working directory.
pub const AT_FDCWD: i32 = -100;
/// Flag of a descriptor, for fcntl(2).
pub const FD_CLOEXEC: u64 = 1;
/// Kind of a lock for fcntl(2): shared.
pub const F_RDLCK: i16 = 0;
/// Kind of a lock for fcntl(2): exclusive.
pub const F_WRLCK: i16 = 1;
/// Kind of a lock for fcntl(2): none.
pub const F_UNLCK: i16 = 2;

structure! {
    /// `struct flock`
    Flock [FlockX86_64 FlockX86] Flock {
        /// `F_RDLCK`, `F_WRLCK` or `F_UNLCK`.
        kind: i16 = i16, i16;
        /// What `start` counts from, as for lseek(2).
        whence: i16 = i16, i16;
        /// Between the fields.
        padding: u32 = u32, [u8; 0];
        /// The first byte.
        start: i64 = i64, i32;
        /// How many; 0: to the end, negative: before `start`.
        len: i64 = i64, i32;
        /// Who holds it.
        pid: i32 = i32, i32;
        /// Behind the fields.
        tail: u32 = u32, [u8; 0];
    }
    /// `struct flock64`
    Flock64 [Flock64X86_64 Flock64X86] Flock64 {
        /// As in [`Flock`].
        kind: i16 = i16, i16;
        /// As in [`Flock`].
        whence: i16 = i16, i16;
        /// Between the fields.
        padding: u32 = u32, [u8; 0];
        /// As in [`Flock`].
        start: i64 = i64, i64;
        /// As in [`Flock`].
        len: i64 = i64, i64;
        /// As in [`Flock`].
        pid: i32 = i32, i32;
        /// Behind the fields.
        tail: u32 = u32, [u8; 0];
    }
    /// `struct iovec`
    IoVec [IoVecX86_64 IoVecX86] Vectors {
        /// The first byte.
        base: u64 = u64, u32;
        /// How many: an `ssize_t`, below zero it is refused.
        len: i64 = i64, i32;
    }
    /// `struct stat`; its fields stand in another order on x86, but for that stat(2) is the same
    Stat [StatX86_64 StatX86] Stat {
        /// The device it is on.
        dev: u64 = u64, u32;
        /// Its inode.
        ino: u64 = u64, u32;
        /// Kind and permissions, for 32-bit programs.
        mode16: u32 = [u8; 0], u16;
        /// How many names it has.
        nlink: u64 = u64, u16;
        /// Kind and permissions, for 64-bit programs.
        mode: u32 = u32, [u8; 0];
        /// Its user.
        uid: u32 = u32, Id16;
        /// Its group.
        gid: u32 = u32, Id16;
        /// Between the fields.
        padding: () = [u8; 4], [u8; 0];
        /// The device it is.
        rdev: u64 = u64, u32;
        /// Its length in bytes.
        size: u64 = u64, u32;
        /// How many bytes are best read at once.
        blksize: u64 = u64, u32;
        /// Its length on the device, in units of 512 bytes.
        blocks: u64 = u64, u32;
        /// Seconds of the last access.
        atime: i64 = i64, i32;
        /// And nanoseconds.
        atime_nsec: u64 = u64, u32;
        /// Seconds of the last change of its bytes.
        mtime: i64 = i64, i32;
        /// And nanoseconds.
        mtime_nsec: u64 = u64, u32;
        /// Seconds of the last change of its attributes.
        ctime: i64 = i64, i32;
        /// And nanoseconds.
        ctime_nsec: u64 = u64, u32;
        /// Behind the fields.
        tail: () = [u8; 24], [u8; 8];
    }
    /// `struct stat64` of 32-bit programs; 64-bit ones have none
    Stat64 [Stat64X86_64 Stat64X86] Stat64 {
        /// As in [`Stat`].
        dev: u64 = u64, u64;
        /// Between the fields.
        padding: () = [u8; 4], [u8; 4];
        /// The inode, cut off.
        ino32: u64 = u32, u32;
        /// As in [`Stat`].
        mode: u32 = u32, u32;
        /// As in [`Stat`].
        nlink: u64 = u32, u32;
        /// As in [`Stat`].
        uid: u32 = u32, u32;
        /// As in [`Stat`].
        gid: u32 = u32, u32;
        /// As in [`Stat`].
        rdev: u64 = u64, u64;
        /// Between the fields.
        padding2: () = [u8; 4], [u8; 4];
        /// As in [`Stat`].
        size: u64 = u64, u64;
        /// As in [`Stat`].
        blksize: u64 = u32, u32;
        /// As in [`Stat`].
        blocks: u64 = u64, u64;
        /// As in [`Stat`].
        atime: i64 = i32, i32;
        /// As in [`Stat`].
        atime_nsec: u64 = u32, u32;
        /// As in [`Stat`].
        mtime: i64 = i32, i32;
        /// As in [`Stat`].
        mtime_nsec: u64 = u32, u32;
        /// As in [`Stat`].
        ctime: i64 = i32, i32;
        /// As in [`Stat`].
        ctime_nsec: u64 = u32, u32;
        /// The inode.
        ino: u64 = u64, u64;
    }
    /// `struct __old_kernel_stat`: what Linux 1.0 had, still there for 32-bit programs
    OldStat [OldStatX86_64 OldStatX86] Opaque {
        /// As in [`Stat`].
        dev: u64 = u16, u16;
        /// As in [`Stat`].
        ino: u64 = u16, u16;
        /// As in [`Stat`].
        mode: u32 = u16, u16;
        /// As in [`Stat`].
        nlink: u64 = u16, u16;
        /// As in [`Stat`].
        uid: u32 = Id16, Id16;
        /// As in [`Stat`].
        gid: u32 = Id16, Id16;
        /// As in [`Stat`].
        rdev: u64 = u16, u16;
        /// Between the fields.
        padding: () = [u8; 2], [u8; 2];
        /// As in [`Stat`].
        size: u64 = u32, u32;
        /// As in [`Stat`].
        atime: i64 = i32, i32;
        /// As in [`Stat`].
        mtime: i64 = i32, i32;
        /// As in [`Stat`].
        ctime: i64 = i32, i32;
    }
    /// `struct statx_timestamp`
    StatxTime [StatxTimeX86_64 StatxTimeX86] Opaque {
        /// Seconds.
        sec: i64 = i64, i64;
        /// Nanoseconds.
        nsec: u32 = u32, u32;
        /// Behind the fields.
        tail: () = [u8; 4], [u8; 4];
    }
    /// `struct statx`
    Statx [StatxX86_64 StatxX86] Statx {
        /// Which of the fields mean something: STATX_ flags.
        mask: u32 = u32, u32;
        /// How many bytes are best read at once.
        blksize: u32 = u32, u32;
        /// STATX_ATTR_ flags.
        attributes: u64 = u64, u64;
        /// How many names it has.
        nlink: u32 = u32, u32;
        /// Its user.
        uid: u32 = u32, u32;
        /// Its group.
        gid: u32 = u32, u32;
        /// Kind and permissions.
        mode: u32 = u16, u16;
        /// Between the fields.
        padding: () = [u8; 2], [u8; 2];
        /// Its inode.
        ino: u64 = u64, u64;
        /// Its length in bytes.
        size: u64 = u64, u64;
        /// Its length on the device, in units of 512 bytes.
        blocks: u64 = u64, u64;
        /// Which attributes mean something.
        attributes_mask: u64 = u64, u64;
        /// The last access.
        atime: StatxTime = StatxTimeX86_64, StatxTimeX86;
        /// When it was made.
        btime: StatxTime = StatxTimeX86_64, StatxTimeX86;
        /// The last change of any of this.
        ctime: StatxTime = StatxTimeX86_64, StatxTimeX86;
        /// The last write.
        mtime: StatxTime = StatxTimeX86_64, StatxTimeX86;
        /// The device it is.
        rdev: [u32; 2] = [u32; 2], [u32; 2];
        /// The device it is on.
        dev: [u32; 2] = [u32; 2], [u32; 2];
        /// The mount it was found in.
        mount: u64 = u64, u64;
        /// Behind the fields.
        tail: () = [u8; 104], [u8; 104];
    }
    /// `struct open_how`
    OpenHow [OpenHowX86_64 OpenHowX86] OpenHow {
        /// Flags of open(2).
        flags: u64 = u64, u64;
        /// Permissions of a new file.
        mode: u64 = u64, u64;
        /// RESOLVE_ flags.
        resolve: u64 = u64, u64;
    }
    /// `struct xattr_args`
    XattrArgs [XattrArgsX86_64 XattrArgsX86] Opaque {
        /// Where the value is.
        value: u64 = u64, u64;
        /// How many bytes.
        size: u32 = u32, u32;
        /// XATTR_ flags.
        flags: i32 = i32, i32;
    }
    /// `struct f_owner_ex`
    FOwnerEx [FOwnerExX86_64 FOwnerExX86] Opaque {
        /// F_OWNER_ value.
        kind: i32 = i32, i32;
        /// Whose number it is.
        pid: i32 = i32, i32;
    }
    /// `struct file_handle`
    FileHandle [FileHandleX86_64 FileHandleX86] Opaque {
        /// How many bytes follow.
        size: u32 = u32, u32;
        /// What they mean.
        kind: i32 = i32, i32;
    }
    /// `struct fiemap`
    Fiemap [FiemapX86_64 FiemapX86] Opaque {
        /// From which byte.
        start: u64 = u64, u64;
        /// How many.
        len: u64 = u64, u64;
        /// FIEMAP_FLAG_ flags.
        flags: u32 = u32, u32;
        /// How many extents were told.
        told: u32 = u32, u32;
        /// How many there is room for.
        room: u32 = u32, u32;
        /// Nothing.
        reserved: u32 = u32, u32;
    }
    /// `struct fiemap_extent`
    FiemapExtent [FiemapExtentX86_64 FiemapExtentX86] Opaque {
        /// From which byte of the file.
        logical: u64 = u64, u64;
        /// Where on the device.
        physical: u64 = u64, u64;
        /// How many bytes.
        len: u64 = u64, u64;
        /// Nothing.
        reserved: [u64; 2] = [u64; 2], [u64; 2];
        /// FIEMAP_EXTENT_ flags.
        flags: u32 = u32, u32;
        /// Nothing.
        reserved2: [u32; 3] = [u32; 3], [u32; 3];
    }
    /// `struct statfs`
    StatFs [StatFsX86_64 StatFsX86] StatFs {
        /// What kind of file system.
        kind: u64 = u64, u32;
        /// Bytes of a block.
        block_size: u64 = u64, u32;
        /// Blocks.
        blocks: u64 = u64, u32;
        /// Of them, free.
        free: u64 = u64, u32;
        /// Of them, for everybody.
        available: u64 = u64, u32;
        /// Inodes.
        files: u64 = u64, u32;
        /// Of them, free.
        files_free: u64 = u64, u32;
        /// Its number.
        id: u64 = u64, u64;
        /// The longest name.
        name_max: u64 = u64, u32;
        /// Bytes of a fragment.
        fragment_size: u64 = u64, u32;
        /// How it is mounted.
        flags: u64 = u64, u32;
        /// Behind the fields.
        tail: () = [u8; 32], [u8; 16];
    }
    /// `struct statfs64`
    StatFs64 [StatFs64X86_64 StatFs64X86] Opaque {
        /// As in [`StatFs`].
        kind: u64 = u64, u32;
        /// As in [`StatFs`].
        block_size: u64 = u64, u32;
        /// As in [`StatFs`].
        blocks: u64 = u64, u64;
        /// As in [`StatFs`].
        free: u64 = u64, u64;
        /// As in [`StatFs`].
        available: u64 = u64, u64;
        /// As in [`StatFs`].
        files: u64 = u64, u64;
        /// As in [`StatFs`].
        files_free: u64 = u64, u64;
        /// As in [`StatFs`].
        id: u64 = u64, u64;
        /// As in [`StatFs`].
        name_max: u64 = u64, u32;
        /// As in [`StatFs`].
        fragment_size: u64 = u64, u32;
        /// As in [`StatFs`].
        flags: u64 = u64, u32;
        /// Behind the fields.
        tail: () = [u8; 32], [u8; 16];
    }
    /// `struct utimbuf`
    Utimbuf [UtimbufX86_64 UtimbufX86] Opaque {
        /// Seconds of the last access.
        atime: i64 = i64, i32;
        /// Seconds of the last change.
        mtime: i64 = i64, i32;
    }
}
