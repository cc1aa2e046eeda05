//! The calls themselves: each goes to the map of the calling process.

mod membarrier;
mod process_vm;

use litebox::mm::{PAGE, Reach};
use litebox::platform::{Prot, host};
use litebox::{Error, Result};
use litebox_common_linux::prelude::*;

use crate::Task;
use crate::mm::{MmapCall, MremapCall};
use crate::syscalls::system::Personality;
use crate::task::Capability;
use crate::task::rseq::Fate;

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
        let (start, len): (u64, u64) = (address.pass(), len.pass());
        let replaced = if flags.contains(MapFlags::MAP_FIXED) { len } else { 0 };
        let protection = self.with_execution(protection);
        self.process().check_execution(protection, || false)?;
        // It means nothing in calls of 32 bits.
        let flags = if self.abi() == Arch::X86 { flags - MapFlags::MAP_32BIT } else { flags };
        let fate = Fate::of_mapping(protection, flags);
        let reach = self.reach();
        let loads = protection.contains(Protection::PROT_EXEC) && self.is_in_interpreter();
        let call = MmapCall { addr: start, len, prot: protection, flags, offset: offset.pass(), loads, reach };
        self.around_rseq(&[(start, replaced)], fate, |task| {
            let file = || task.file(fd.0);
            task.process().mm.mmap(&call, file)
        })?
    }

    /// Whether the program's interpreter makes the call: what it maps is executed where it lies. Anybody else may be a
    /// translator that reads code, and must find the file's bytes there.
    fn is_in_interpreter(&self) -> bool {
        let (start, end) = self.process().image.read().interpreter_range;
        // The processor leaves the address behind the call there.
        usize::try_from(self.frame.regs.rcx).is_ok_and(|caller| start <= caller && caller < end)
    }

    /// Where memory is placed: a 64-bit program that makes a call of 32 bits can be told of no other.
    pub(crate) fn reach(&self) -> Reach {
        match (self.abi(), self.process().arch()) {
            (Arch::X86, Arch::X86_64) => Reach::Compat,
            _ => Reach::Whole,
        }
    }

    /// The protection that is asked for, with the execution that reading implies for some (personality(2)).
    fn with_execution(&self, protection: Protection) -> Protection {
        let implied = protection.contains(Protection::PROT_READ)
            && self.process().personality().contains(Personality::READ_IMPLIES_EXEC);
        if implied { protection | Protection::PROT_EXEC } else { protection }
    }

    /// munmap(2)
    pub(crate) fn munmap(&mut self, address: Address, len: usize) -> Result<usize> {
        let (start, len) = (address.pass(), len.pass());
        self.around_rseq(&[(start, len)], Fate::Gone, |task| task.process().mm.munmap(start, len))?.map(|()| 0)
    }

    /// mprotect(2)
    pub(crate) fn mprotect(&mut self, address: Address, len: usize, protection: Protection) -> Result<usize> {
        let (start, len) = (address.pass(), len.pass());
        let protection = self.with_execution(protection);
        let end = address.0.saturating_add(len);
        let gains = || {
            let vmas = self.process().mm.vmas();
            vmas.iter().any(|vma| vma.start < end && address.0 < vma.end && !vma.prot.contains(Prot::EXEC))
        };
        self.process().check_execution(protection, gains)?;
        let fate = Fate::of_protection(protection);
        self.around_rseq(&[(start, len as u64)], fate, |task| {
            task.process().mm.mprotect(start, len as u64, protection)
        })?
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
        let (old, old_len, new_len): (u64, u64, u64) = (old.pass(), old_len.pass(), new_len.pass());
        let new: u64 = new.pass();
        let replaced = if flags.contains(RemapFlags::MREMAP_FIXED) { new_len } else { 0 };
        let call = MremapCall { old, old_len, new_len, flags, new, reach: self.reach() };
        self.around_rseq(&[(old, old_len), (new, replaced)], Fate::Gone, |task| task.process().mm.mremap(&call))?
    }

    /// brk(2)
    pub(crate) fn brk(&mut self, address: Address) -> Result<usize> {
        let (start, end) = self.process().mm.core().brk_range();
        let wanted: u64 = address.pass();
        let first = wanted.checked_next_multiple_of(PAGE as u64).unwrap_or(u64::MAX);
        let given_back = if wanted < start as u64 { 0 } else { (end as u64).saturating_sub(first) };
        self.around_rseq(&[(first, given_back)], Fate::Gone, |task| task.process().mm.brk(wanted))
    }

    /// madvise(2)
    pub(crate) fn madvise(&mut self, address: Address, len: usize, advice: Advice) -> Result<usize> {
        self.process().mm.madvise(address.pass(), len.pass(), advice).map(|()| 0)
    }

    /// msync(2)
    pub(crate) fn msync(&mut self, address: Address, len: usize, flags: MsyncFlags) -> Result<usize> {
        self.process().mm.msync(address.pass(), len.pass(), flags).map(|()| 0)
    }

    /// mincore(2)
    pub(crate) fn mincore(&mut self, address: Address, len: usize, residency: UserMut<u8>) -> Result<usize> {
        const RESIDENT: [u8; 64] = [1; 64];
        let pages = self.process().mm.mincore(address.pass(), len.pass(), residency.pass())?;
        let mut done = 0;
        while done < pages {
            let n = RESIDENT.len().min(pages - done);
            let to = residency.address().checked_add(done).ok_or(Error::Fault)?;
            if host().copy_to_user(to, RESIDENT.get(..n).unwrap_or_default()) != n {
                return Err(Error::Fault);
            }
            done += n;
        }
        Ok(0)
    }

    /// mlock(2)
    pub(crate) fn mlock(&mut self, address: Address, len: usize) -> Result<usize> {
        self.mlock2(address, len, MlockFlags::empty())
    }

    /// mlock2(2)
    pub(crate) fn mlock2(&mut self, address: Address, len: usize, flags: MlockFlags) -> Result<usize> {
        self.process().mm.mlock(address.pass(), len.pass(), flags, self.is_privileged()).map(|()| 0)
    }

    /// munlock(2)
    pub(crate) fn munlock(&mut self, address: Address, len: usize) -> Result<usize> {
        self.process().mm.munlock(address.pass(), len.pass()).map(|()| 0)
    }

    /// mseal(2)
    pub(crate) fn mseal(&mut self, address: Address, len: usize, flags: usize) -> Result<usize> {
        self.process().mm.mseal(address.pass(), len.pass(), flags.pass()).map(|()| 0)
    }

    /// mlockall(2)
    pub(crate) fn mlockall(&mut self, flags: MlockallFlags) -> Result<usize> {
        self.process().mm.mlockall(flags, self.is_privileged()).map(|()| 0)
    }

    /// munlockall(2)
    pub(crate) fn munlockall(&mut self) -> Result<usize> {
        self.process().mm.munlockall().map(|()| 0)
    }
}
