//! Memory: mmap(2), madvise(2) and their kin.

use super::layout::structure;
use super::named;

named! {
    /// mmap(2), what may be done with the pages
    flags Protection(usize) {
        PROT_NONE = 0 in 0xf, PROT_READ = 1, PROT_WRITE = 2, PROT_EXEC = 4, PROT_SEM = 8, PROT_GROWSDOWN = 0x100_0000, PROT_GROWSUP = 0x200_0000
    }
    /// mmap(2), how
    flags MapFlags(usize) {
        MAP_SHARED = 1 in 0xf, MAP_PRIVATE = 2 in 0xf, MAP_SHARED_VALIDATE = 3 in 0xf, MAP_FIXED = 0x10, MAP_ANONYMOUS = 0x20, MAP_32BIT = 0x40,
        MAP_GROWSDOWN = 0x100, MAP_DENYWRITE = 0x800, MAP_EXECUTABLE = 0x1000, MAP_LOCKED = 0x2000, MAP_NORESERVE = 0x4000, MAP_POPULATE = 0x8000,
        MAP_NONBLOCK = 0x1_0000, MAP_STACK = 0x2_0000, MAP_HUGETLB = 0x4_0000, MAP_SYNC = 0x8_0000, MAP_FIXED_NOREPLACE = 0x10_0000
    }
    /// mremap(2)
    flags RemapFlags(usize) { MREMAP_MAYMOVE = 1, MREMAP_FIXED = 2, MREMAP_DONTUNMAP = 4 }
    /// msync(2)
    flags MsyncFlags(usize) { MS_SYNC = 4, MS_ASYNC = 1, MS_INVALIDATE = 2 }
    /// mlock2(2)
    flags MlockFlags(usize) { MLOCK_ONFAULT = 1 }
    /// mlockall(2)
    flags MlockallFlags(usize) { MCL_CURRENT = 1, MCL_FUTURE = 2, MCL_ONFAULT = 4 }
    /// madvise(2)
    choice Advice(i32) {
        MADV_NORMAL = 0, MADV_RANDOM = 1, MADV_SEQUENTIAL = 2, MADV_WILLNEED = 3, MADV_DONTNEED = 4, MADV_FREE = 8, MADV_REMOVE = 9,
        MADV_DONTFORK = 10, MADV_DOFORK = 11, MADV_MERGEABLE = 12, MADV_UNMERGEABLE = 13, MADV_HUGEPAGE = 14, MADV_NOHUGEPAGE = 15,
        MADV_DONTDUMP = 16, MADV_DODUMP = 17, MADV_WIPEONFORK = 18, MADV_KEEPONFORK = 19, MADV_COLD = 20, MADV_PAGEOUT = 21,
        MADV_POPULATE_READ = 22, MADV_POPULATE_WRITE = 23, MADV_DONTNEED_LOCKED = 24, MADV_COLLAPSE = 25, MADV_HWPOISON = 100,
        MADV_SOFT_OFFLINE = 101
    }
}

/// Bytes of a page.
pub const PAGE: usize = 4096;
/// Which kind of mapping it is, of the flags of mmap(2).
pub const MAP_TYPE: usize = 0xf;
/// Where the logarithm of the size of huge pages stands in the flags of mmap(2), and its bits.
pub const MAP_HUGE_SHIFT: u32 = 26;
/// See [`MAP_HUGE_SHIFT`].
pub const MAP_HUGE_MASK: usize = 0x3f;
structure! {
    /// The arguments of mmap(2) as the first 32-bit programs gave them: in memory
    MapArguments [MapArgumentsX86_64 MapArgumentsX86] Opaque {
        /// Where.
        address: u64 = u64, u32;
        /// How many bytes.
        len: u64 = u64, u32;
        /// PROT_ flags.
        protection: u64 = u64, u32;
        /// MAP_ flags.
        flags: u64 = u64, u32;
        /// The file.
        fd: i32 = i32, i32;
        /// Between the fields.
        padding: () = [u8; 4], [u8; 0];
        /// From which byte.
        offset: u64 = u64, u32;
    }
}
