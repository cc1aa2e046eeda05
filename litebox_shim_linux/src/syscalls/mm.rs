//! The calls themselves: each goes to the map of the calling process.

mod membarrier;
mod process_vm;

use litebox::platform::host;
use litebox::{Error, Result};
use litebox_common_linux::prelude::*;

use crate::Task;
use crate::task::Capability;

impl Task<'_, '_> {
    fn is_privileged(&self) -> bool {
        self.creds().can(Capability::IpcLock)
    }

    /// mmap(2)
    pub(crate) fn mmap(
        &mut self,
        address: Address,
        len: usize,
        protection: Protection,
        flags: MapFlags,
        fd: RawFd,
        offset: usize,
    ) -> Result<usize> {
        let process = self.process();
        let file = || self.thread.files.get(fd.0);
        process.mm.mmap(address.pass(), len.pass(), protection.pass(), flags.pass(), offset.pass(), file)
    }

    /// munmap(2)
    pub(crate) fn munmap(&mut self, address: Address, len: usize) -> Result<usize> {
        self.process().mm.munmap(address.pass(), len.pass()).map(|()| 0)
    }

    /// mprotect(2)
    pub(crate) fn mprotect(&mut self, address: Address, len: usize, protection: Protection) -> Result<usize> {
        self.process().mm.mprotect(address.pass(), len.pass(), protection.pass()).map(|()| 0)
    }

    /// mremap(2)
    pub(crate) fn mremap(
        &mut self,
        old: Address,
        old_len: usize,
        new_len: usize,
        flags: RemapFlags,
        new: Address,
    ) -> Result<usize> {
        self.process().mm.mremap(old.pass(), old_len.pass(), new_len.pass(), flags.pass(), new.pass())
    }

    /// brk(2)
    #[expect(clippy::unnecessary_wraps, reason = "handlers of calls have one shape")]
    pub(crate) fn brk(&mut self, address: Address) -> Result<usize> {
        Ok(self.process().mm.brk(address.pass()))
    }

    /// madvise(2)
    pub(crate) fn madvise(&mut self, address: Address, len: usize, advice: Advice) -> Result<usize> {
        self.process().mm.madvise(address.pass(), len.pass(), advice.pass()).map(|()| 0)
    }

    /// msync(2)
    pub(crate) fn msync(&mut self, address: Address, len: usize, flags: SyncFlags) -> Result<usize> {
        self.process().mm.msync(address.pass(), len.pass(), flags.pass()).map(|()| 0)
    }

    /// mincore(2)
    pub(crate) fn mincore(&mut self, address: Address, len: usize, residency: UserMut<u8>) -> Result<usize> {
        const RESIDENT: [u8; 64] = [1; 64];
        let pages = self.process().mm.mincore(address.pass(), len.pass())?;
        let mut done = 0;
        while done < pages {
            let n = RESIDENT.len().min(pages - done);
            let to = residency.address().checked_add(done).ok_or(Error::Fault)?;
            // SAFETY: `n` is at most the length of the source.
            if unsafe { host().copy_to_user(to, RESIDENT.as_ptr(), n) } != n {
                return Err(Error::Fault);
            }
            done += n;
        }
        Ok(0)
    }

    /// mlock(2)
    pub(crate) fn mlock(&mut self, address: Address, len: usize) -> Result<usize> {
        self.mlock2(address, len, 0)
    }

    /// mlock2(2)
    pub(crate) fn mlock2(&mut self, address: Address, len: usize, flags: usize) -> Result<usize> {
        self.process().mm.mlock(address.pass(), len.pass(), flags.pass(), self.is_privileged()).map(|()| 0)
    }

    /// munlock(2)
    pub(crate) fn munlock(&mut self, address: Address, len: usize) -> Result<usize> {
        self.process().mm.munlock(address.pass(), len.pass()).map(|()| 0)
    }

    /// mlockall(2)
    pub(crate) fn mlockall(&mut self, flags: usize) -> Result<usize> {
        self.process().mm.mlockall(flags.pass(), self.is_privileged()).map(|()| 0)
    }

    /// munlockall(2)
    pub(crate) fn munlockall(&mut self) -> Result<usize> {
        self.process().mm.munlockall().map(|()| 0)
    }
}
