//! The calls themselves: each goes to the map of the calling process.

use litebox::Result;

use crate::Task;

impl Task<'_, '_> {
    fn is_privileged(&self) -> bool {
        self.process().creds().euid == 0
    }

    /// mmap(2)
    pub(crate) fn mmap(&mut self, addr: u64, len: u64, prot: u64, flags: u64, fd: i32, offset: u64) -> Result<usize> {
        let process = self.process();
        process.mm.mmap(addr, len, prot, flags, offset, || process.files.get(fd))
    }

    /// munmap(2)
    pub(crate) fn munmap(&mut self, addr: u64, len: u64) -> Result<usize> {
        self.process().mm.munmap(addr, len).map(|()| 0)
    }

    /// mprotect(2)
    pub(crate) fn mprotect(&mut self, addr: u64, len: u64, prot: u64) -> Result<usize> {
        self.process().mm.mprotect(addr, len, prot).map(|()| 0)
    }

    /// mremap(2)
    pub(crate) fn mremap(&mut self, old: u64, old_len: u64, new_len: u64, flags: u64, new: u64) -> Result<usize> {
        self.process().mm.mremap(old, old_len, new_len, flags, new)
    }

    /// brk(2)
    #[expect(clippy::unnecessary_wraps, reason = "handlers of calls have one shape")]
    pub(crate) fn brk(&mut self, addr: u64) -> Result<usize> {
        Ok(self.process().mm.brk(addr))
    }

    /// madvise(2)
    pub(crate) fn madvise(&mut self, addr: u64, len: u64, advice: i32) -> Result<usize> {
        self.process().mm.madvise(addr, len, advice).map(|()| 0)
    }

    /// msync(2)
    pub(crate) fn msync(&mut self, addr: u64, len: u64, flags: u64) -> Result<usize> {
        self.process().mm.msync(addr, len, flags).map(|()| 0)
    }

    /// mlock(2)
    pub(crate) fn mlock(&mut self, addr: u64, len: u64) -> Result<usize> {
        self.mlock2(addr, len, 0)
    }

    /// mlock2(2)
    pub(crate) fn mlock2(&mut self, addr: u64, len: u64, flags: u64) -> Result<usize> {
        self.process().mm.mlock(addr, len, flags, self.is_privileged()).map(|()| 0)
    }

    /// munlock(2)
    pub(crate) fn munlock(&mut self, addr: u64, len: u64) -> Result<usize> {
        self.process().mm.munlock(addr, len).map(|()| 0)
    }

    /// mlockall(2)
    pub(crate) fn mlockall(&mut self, flags: u64) -> Result<usize> {
        self.process().mm.mlockall(flags, self.is_privileged()).map(|()| 0)
    }

    /// munlockall(2)
    pub(crate) fn munlockall(&mut self) -> Result<usize> {
        self.process().mm.munlockall().map(|()| 0)
    }
}
