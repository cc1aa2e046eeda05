//! madvise(2) and mincore(2).

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::syscalls::file::check_range;
use litebox::fs::OpenFile;
use litebox::mm::{Advise, Object, PAGE, Vma, VmaFlags, page_up};
use litebox::platform::{Advice, Prot};
use litebox::{Error, Result};
use litebox_common_linux::abi::memory;

use super::{MemoryMap, aligned};

/// fallocate(2): keep the size, punch a hole.
const PUNCH_HOLE: i32 = 1 | 2;

fn locked(vma: &Vma) -> Result<()> {
    if vma.flags.contains(VmaFlags::LOCKED) { Err(Error::Invalid) } else { Ok(()) }
}

/// What drops pages may not be done to sealed memory that the guest could not empty by writing (mseal(2)).
fn may_drop(vma: &Vma) -> Result<()> {
    let kept = vma.flags.contains(VmaFlags::SEALED) && vma.object.is_anonymous() && !vma.prot.contains(Prot::WRITE);
    if kept { Err(Error::NotPermitted) } else { Ok(()) }
}

fn anonymous(vma: &Vma) -> Result<()> {
    if vma.object.is_anonymous() { Ok(()) } else { Err(Error::Invalid) }
}

#[expect(clippy::unnecessary_wraps, reason = "one of the checks, which may refuse")]
fn not_special(_: &Vma) -> Result<()> {
    Ok(())
}

fn flags(set: VmaFlags, clear: VmaFlags) -> Advise {
    Advise::Flags { set, clear }
}

impl MemoryMap {
    /// madvise(2). `privileged` may simulate memory errors on Linux; here nobody may.
    pub fn madvise(&self, addr: u64, len: u64, advice: memory::Advice) -> Result<()> {
        let reading = VmaFlags::RANDOM | VmaFlags::SEQUENTIAL;
        let huge = VmaFlags::HUGEPAGE | VmaFlags::NOHUGEPAGE;
        let none = VmaFlags::empty();
        let mut then = None;
        let (advise, check): (Advise, fn(&Vma) -> Result<()>) = match advice.0 {
            memory::MADV_NORMAL => (flags(none, reading), not_special),
            memory::MADV_RANDOM => (flags(VmaFlags::RANDOM, reading), not_special),
            memory::MADV_SEQUENTIAL => (flags(VmaFlags::SEQUENTIAL, reading), not_special),
            memory::MADV_WILLNEED => (Advise::Host(Advice::WillNeed), not_special),
            memory::MADV_DONTNEED => (Advise::Host(Advice::DontNeed), |a| may_drop(a).and(locked(a))),
            memory::MADV_FREE => (Advise::Host(Advice::Free), |a| may_drop(a).and(locked(a)).and(anonymous(a))),
            memory::MADV_REMOVE => return self.remove_range(addr, len),
            memory::MADV_DONTFORK => (flags(VmaFlags::DONTFORK, none), may_drop),
            memory::MADV_DOFORK => (flags(none, VmaFlags::DONTFORK), not_special),
            // Pages are not merged, which nobody can see.
            memory::MADV_MERGEABLE | memory::MADV_UNMERGEABLE => (Advise::Nothing, not_special),
            memory::MADV_HUGEPAGE => {
                then = Some(Advice::HugePage);
                (flags(VmaFlags::HUGEPAGE, huge), not_special)
            }
            memory::MADV_NOHUGEPAGE => {
                then = Some(Advice::NoHugePage);
                (flags(VmaFlags::NOHUGEPAGE, huge), not_special)
            }
            memory::MADV_DONTDUMP => (flags(VmaFlags::DONTDUMP, none), not_special),
            memory::MADV_DODUMP => (flags(none, VmaFlags::DONTDUMP), not_special),
            memory::MADV_WIPEONFORK => (flags(VmaFlags::WIPEONFORK, none), |a| {
                may_drop(a).and(anonymous(a)).and(if a.shared() { Err(Error::Invalid) } else { Ok(()) })
            }),
            memory::MADV_KEEPONFORK => (flags(none, VmaFlags::WIPEONFORK), not_special),
            memory::MADV_COLD | memory::MADV_PAGEOUT => (Advise::Nothing, locked),
            memory::MADV_POPULATE_READ => {
                (Advise::Host(Advice::PopulateRead), |a| if a.prot.is_empty() { Err(Error::Invalid) } else { Ok(()) })
            }
            memory::MADV_POPULATE_WRITE => (Advise::Host(Advice::PopulateWrite), |a| {
                if a.prot.contains(Prot::WRITE) { Ok(()) } else { Err(Error::Invalid) }
            }),
            // As MADV_DONTNEED, of locked pages too.
            memory::MADV_DONTNEED_LOCKED => (Advise::Host(Advice::DontNeed), may_drop),
            // They need CAP_SYS_ADMIN.
            memory::MADV_HWPOISON | memory::MADV_SOFT_OFFLINE => return Err(Error::NotPermitted),
            _ => return Err(Error::Invalid),
        };
        let Some((start, len)) = range(addr, len)? else { return Ok(()) };
        self.core.advise(start, len, advise, check)?;
        if let Some(advice) = then {
            // A host without huge pages refuses; the wish is recorded all the same.
            let _ = self.core.advise(start, len, Advise::Host(advice), not_special);
        }
        Ok(())
    }

    /// Fails as advice about `[addr, addr + len)` does that nothing comes of.
    pub fn check_covered(&self, addr: u64, len: u64) -> Result<()> {
        match range(addr, len)? {
            Some((start, len)) => self.core.advise(start, len, Advise::Nothing, not_special),
            None => Ok(()),
        }
    }

    /// `MADV_REMOVE`: a hole in the shared file below.
    fn remove_range(&self, addr: u64, len: u64) -> Result<()> {
        let Some((start, len)) = range(addr, len)? else { return Ok(()) };
        let end = start + len;
        let vmas: Vec<Vma> = self.core.vmas().into_iter().filter(|a| a.start < end && start < a.end).collect();
        let mut at = start;
        let mut holes = false;
        for vma in vmas {
            holes |= vma.start > at;
            at = vma.end;
            may_drop(&vma)?;
            locked(&vma)?;
            let file: Option<&Arc<OpenFile>> = vma.object.file();
            let (from, to) = (vma.start.max(start), vma.end.min(end));
            match (&vma.object, file) {
                (Object::Anonymous, _) => return Err(Error::Invalid),
                _ if !vma.shared() || !vma.max_prot.contains(Prot::WRITE) => return Err(Error::Access),
                (_, Some(file)) => file.file.allocate(PUNCH_HOLE, vma.offset_of(from), (to - from) as u64)?,
                (Object::Pages { pages, .. }, None) => pages.file().punch(vma.offset_of(from), (to - from) as u64),
                (_, None) => return Err(Error::Invalid),
            }
        }
        if holes || at < end { Err(Error::NoMemory) } else { Ok(()) }
    }

    /// mincore(2): number of bytes of the answer. Every mapped page counts as resident: nothing is swapped out here,
    /// and which untouched pages exist already is not known.
    pub fn mincore(&self, addr: u64, len: u64, residency: u64) -> Result<usize> {
        if !aligned(addr) {
            return Err(Error::Invalid);
        }
        let within = |start: u64, len: usize| check_range(start as usize, len);
        within(addr, len as usize).map_err(|_| Error::NoMemory)?;
        let len = usize::try_from(len).ok().and_then(page_up).ok_or(Error::NoMemory)?;
        within(residency, len / PAGE)?;
        if len == 0 {
            return Ok(0);
        }
        if self.core.covered(addr as usize, len) { Ok(len / PAGE) } else { Err(Error::NoMemory) }
    }
}

/// The pages that a call means; `None`: nothing.
fn range(addr: u64, len: u64) -> Result<Option<(usize, usize)>> {
    if !aligned(addr) {
        return Err(Error::Invalid);
    }
    let len = usize::try_from(len).ok().and_then(page_up).ok_or(Error::Invalid)?;
    if (addr as usize).checked_add(len).is_none() {
        return Err(Error::Invalid);
    }
    Ok((len > 0).then_some((addr as usize, len)))
}
