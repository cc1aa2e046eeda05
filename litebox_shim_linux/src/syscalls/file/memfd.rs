//! Memory files: files that lie in no directory.

use litebox::fs::memory::{MemoryFileSpec, memory_file};
use litebox::fs::{Access, NewAttr, Seals, StatusFlags};
use litebox::{Error, Result};
use litebox_common_linux::abi::file::MemfdFlags;
use litebox_common_linux::argument::UserStr;

use crate::Task;
use crate::user::read_string;

/// The longest name, with its zero: what is left of a file name behind `memfd:`.
const LONGEST_NAME: usize = 250;

/// Base-2 logarithm of the page size, with `MFD_HUGETLB`.
const HUGE_SIZE: MemfdFlags = MemfdFlags(0x3f << 26);

impl Task<'_, '_> {
    /// memfd_create(2)
    pub(crate) fn memfd_create(&mut self, name: UserStr, flags: MemfdFlags) -> Result<usize> {
        if !(MemfdFlags::all() | HUGE_SIZE).contains(flags) {
            return Err(Error::Invalid);
        }
        if flags.intersects(HUGE_SIZE) && !flags.contains(MemfdFlags::MFD_HUGETLB) {
            return Err(Error::Invalid);
        }
        if flags.contains(MemfdFlags::MFD_EXEC | MemfdFlags::MFD_NOEXEC_SEAL) {
            return Err(Error::Invalid);
        }
        let name = read_string(name, LONGEST_NAME, Error::Invalid)?;
        if flags.contains(MemfdFlags::MFD_HUGETLB) {
            // Pages come in no other size here.
            return Err(Error::NoDevice);
        }
        let (mut permissions, mut seals) = (0o777, Seals::SEAL);
        if flags.contains(MemfdFlags::MFD_NOEXEC_SEAL) {
            (permissions, seals) = (0o666, Seals::EXEC);
        } else if flags.contains(MemfdFlags::MFD_ALLOW_SEALING) {
            seals = Seals::empty();
        }
        let process = self.process().clone();
        let creds = self.creds();
        let attr = NewAttr { permissions, uid: creds.fsuid, gid: creds.fsgid, ..NewAttr::default() };
        let spec =
            MemoryFileSpec { name: &[b"memfd:", &*name].concat(), ino: self.kernel().vfs.next_open_id(), attr, seals };
        let file = memory_file(process.mm.arena(), &spec)?;
        let file = self.nameless(file, Access::READ | Access::WRITE, StatusFlags::LARGEFILE);
        self.install(file, flags.contains(MemfdFlags::MFD_CLOEXEC))
    }
}
