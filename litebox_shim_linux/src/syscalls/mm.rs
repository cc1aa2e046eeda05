//! The calls themselves: each goes to the map of the calling process.

mod membarrier;
mod process_vm;

use core::sync::atomic::Ordering;

use litebox::mm::PAGE;
use litebox::platform::{Prot, host};
use litebox::{Error, Result};
use litebox_common_linux::prelude::*;

use crate::Task;
use crate::syscalls::system::Personality;
use crate::task::Capability;

const SIGSEGV: i32 = 11;

impl Task<'_, '_> {
    /// Makes a change of the map between `start` and `start + len`. A kernel that cannot write a thread's rseq vma ends the process. The host would end
    /// it anywhere, in our kernel too: so it does not use the calling thread's vma meanwhile, and the process dies here when nobody can
    /// write there any more.
    fn around_rseq<T>(&mut self, start: u64, len: u64, change: impl FnOnce(&Self) -> T) -> T {
        let vma = self.thread.rseq_area.load(Ordering::Relaxed);
        let end = start.saturating_add(len).saturating_add(PAGE as u64 - 1);
        if vma == 0 || !(start..end).contains(&(vma as u64)) {
            return change(self);
        }
        self.thread.suspend_rseq();
        let result = change(self);
        let usable = Prot::READ | Prot::WRITE;
        if self.process().mm.core().with_vma(vma, |found| found.prot.contains(usable)) == Some(true) {
            self.thread.resume_rseq();
            return result;
        }
        self.thread.rseq_area.store(0, Ordering::Relaxed);
        self.die_of(SIGSEGV)
    }

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
        let (start, len): (u64, u64) = (address.pass(), len.pass());
        let replaced = if flags.contains(MapFlags::MAP_FIXED) { len } else { 0 };
        let protection = self.with_execution(protection.pass());
        self.process().check_execution(protection, || false)?;
        let flags = self.placed(flags);
        self.around_rseq(start, replaced, |task| {
            let file = || task.file(fd.0);
            task.process().mm.mmap(start, len, protection, flags.pass(), offset.pass(), file)
        })
    }

    /// `MAP_32BIT` as it is meant: all memory of a 32-bit program is low, and a 64-bit program that makes a call of 32 bits cannot be told of any other.
    fn placed(&self, flags: MapFlags) -> MapFlags {
        match (self.abi(), self.process().arch()) {
            (Arch::X86_64, _) => flags,
            (Arch::X86, Arch::X86) => flags - MapFlags::MAP_32BIT,
            (Arch::X86, Arch::X86_64) => flags | MapFlags::MAP_32BIT,
        }
    }

    /// The protection that is asked for, with the execution that reading implies for some (personality(2)).
    fn with_execution(&self, protection: usize) -> usize {
        let implied =
            protection & PROT_READ != 0 && self.process().personality().contains(Personality::READ_IMPLIES_EXEC);
        if implied { protection | PROT_EXEC } else { protection }
    }

    /// munmap(2)
    pub(crate) fn munmap(&mut self, address: Address, len: usize) -> Result<usize> {
        let (start, len) = (address.pass(), len.pass());
        self.around_rseq(start, len, |task| task.process().mm.munmap(start, len)).map(|()| 0)
    }

    /// mprotect(2)
    pub(crate) fn mprotect(&mut self, address: Address, len: usize, protection: Protection) -> Result<usize> {
        let (start, len) = (address.pass(), len.pass());
        let protection = self.with_execution(protection.pass());
        let end = address.0.saturating_add(len);
        let gains = || {
            let vmas = self.process().mm.vmas();
            vmas.iter().any(|vma| vma.start < end && address.0 < vma.end && !vma.prot.contains(Prot::EXEC))
        };
        self.process().check_execution(protection, gains)?;
        self.around_rseq(start, len as u64, |task| task.process().mm.mprotect(start, len as u64, protection))
            .map(|()| 0)
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
        let (from, old_len, new_len): (u64, u64, u64) = (old.pass(), old_len.pass(), new_len.pass());
        self.around_rseq(from, old_len, |task| {
            task.process().mm.mremap(from, old_len, new_len, flags.pass(), new.pass())
        })
    }

    /// brk(2)
    #[expect(clippy::unnecessary_wraps, reason = "handlers of calls have one shape")]
    pub(crate) fn brk(&mut self, address: Address) -> Result<usize> {
        let (start, end) = self.process().mm.core().brk_range();
        let wanted: u64 = address.pass();
        let given_back = if wanted < start as u64 { 0 } else { (end as u64).saturating_sub(wanted) };
        Ok(self.around_rseq(wanted, given_back, |task| task.process().mm.brk(wanted)))
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
        let pages = self.process().mm.mincore(address.pass(), len.pass(), residency.pass())?;
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
        self.process().mm.mlock(address.pass(), len.pass(), (flags as u32).pass(), self.is_privileged()).map(|()| 0)
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
