//! The host's view of a guest's memory: what it maps and how, and the operations on it.

use super::{HostFd, north};
use crate::Result;

bitflags::bitflags! {
    /// Memory protection.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Prot: u8 {
        /// Readable.
        const READ = 1;
        /// Writable.
        const WRITE = 2;
        /// Executable.
        const EXEC = 4;
    }
}

/// What a mapping shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Backing {
    /// Private zero pages.
    Anonymous,
    /// A host file from `offset` (page aligned).
    File {
        /// The file.
        fd: HostFd,
        /// Byte offset of the first page.
        offset: u64,
    },
    /// Pages of the arena from `offset` (page aligned).
    Arena {
        /// Byte offset in the arena.
        offset: u64,
    },
}

/// Advice that reaches the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Advice {
    /// Drop private pages; they read as zeros (anonymous) or as the file again.
    DontNeed,
    /// May be dropped under pressure.
    Free,
    /// Populate readable / read ahead.
    WillNeed,
    /// Use huge pages.
    HugePage,
    /// Do not use huge pages.
    NoHugePage,
    /// Fault in, readable.
    PopulateRead,
    /// Fault in, writable.
    PopulateWrite,
    /// Any other Linux advice that only hints (NORMAL, RANDOM, SEQUENTIAL, COLD, PAGEOUT), by number.
    Hint(i32),
}

bitflags::bitflags! {
    /// How [`AddressSpace::map`] maps.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct MapMode: u8 {
        /// What is written is the object's, not the mapping's own.
        const SHARED = 1;
        /// What was there goes.
        const REPLACE = 2;
    }
}

/// What an access that faulted did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultAccess {
    /// It read.
    Read,
    /// It wrote.
    Write,
    /// It fetched an instruction.
    Fetch,
}

/// The host's view of the calling process's guest memory. All addresses and lengths are page aligned by the caller and
/// lie in the user range; the map of areas in [`crate::mm`] decides, this executes.
pub trait AddressSpace {
    /// The span of addresses where guests may map: `(lowest, end)`.
    fn user_span(&self) -> (usize, usize);
    /// Maps `len` bytes at exactly `addr`. Without [`MapMode::REPLACE`] an occupied page is
    /// [`Exists`](crate::Error::Exists) (host mappings unknown to the guest's map, such as the vDSO, are found this
    /// way).
    fn map(&self, addr: usize, len: usize, prot: Prot, mode: MapMode, backing: Backing) -> Result<()>;
    /// Unmaps.
    fn unmap(&self, addr: usize, len: usize) -> Result<()>;
    /// Changes protection.
    fn protect(&self, addr: usize, len: usize, prot: Prot) -> Result<()>;
    /// Moves or resizes a mapping; `new_addr` is where it must end up (equal to `addr`: in place).
    fn remap(&self, addr: usize, old_len: usize, new_len: usize, new_addr: usize, keep_old: bool) -> Result<()>;
    /// Gives advice.
    fn advise(&self, addr: usize, len: usize, advice: Advice) -> Result<()>;
    /// Writes back a shared file mapping.
    fn sync(&self, addr: usize, len: usize, wait: bool) -> Result<()>;
    /// Unmaps all that the calling process has where guests may map, what the host put there for itself included.
    /// `false`: areas are to be unmapped one by one.
    fn unmap_all(&self) -> bool {
        false
    }
    /// The calling process is about to be copied; `code` gives what it has mapped of files for executing. `true`: that
    /// happens so often that [`AddressSpace::share_code`] pays.
    fn code_forks(&self, _code: &mut dyn Iterator<Item = north::Code>) -> bool {
        false
    }
    /// Shows a patched copy of code that the guest has not changed and threads may be executing. `false`: there is
    /// none.
    fn share_code(&self, _code: &north::Code, _backing: Backing) -> bool {
        false
    }
    /// A program or its interpreter was mapped whole: its executable pages, and the (start, end) of those areas of the
    /// same file that are only for reading.
    fn program_mapped(&self, _code: &north::Code, _tables: &[(usize, usize)]) {}
    /// Executable pages of a file are about to be mapped: maps a copy of them in which calls are patched, if there is
    /// one. `false`: there is none.
    fn map_patched(&self, _code: &north::Code, _replace: bool) -> Result<bool> {
        Ok(false)
    }
    /// Executable pages of a file were mapped. `true`: they show a patched copy now.
    fn code_mapped(&self, _code: &north::Code, _backing: Backing) -> bool {
        false
    }
    /// The guest is about to change pages that show a patched copy: they show the file itself from now on.
    fn map_original(&self, _code: &north::Code, _backing: Backing) -> Result<()> {
        Ok(())
    }
}
